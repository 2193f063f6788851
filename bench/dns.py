"""What a DNS answer costs: CPU per query beside dnsmasq, unbound, dnslib's own server, and an echo written in C.

    python -m bench.dns [--quick] [--only WORD]

Every server runs at once with one worker on the first processor; the client, a C program with 64 queries in flight,
and the upstream are on the second.  ``steered`` names get the inspector's address, ``cached`` ones are bypassed and
were asked before; half of the queries are of each kind.  The echo is what the sockets alone cost.  Ours is ``steering
serve`` with its counters on and its query log off, as the peers' are.  Servers are asked in turn within each round;
ratios are those of the same round.
"""

import random
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from bench.certificates import make_ca, make_leaf
from bench.cost import cpu_ns
from bench.load import Load, Loaded, dnsperf, h2load, program, run
from bench.outcome import say
from bench.part import Found, main
from bench.peers import Running, dnsdist, dnslib_server, dnsmasq, steering, unbound
from bench.processes import CLIENT_CPU, Stage
from bench.queries import AAAA, HTTPS, A, query, random_case, shuffled, write
from bench.rounds import FAILED, P99, Case, Failed, Measuring, Sample, run_rounds
from bench.targets import Target
from steering.control.listening import Role
from tests.kit import free_port, free_port_both
from tests.service import LiveService, Settings

STEERED, INSPECTOR, REAL = "steered.example", "192.0.2.1", "93.184.215.14"
KNOWN = 1000  # names of each kind
DOMAINS, MANY_DOMAINS, MANY_NAMES = 100, 100_000, 1_000_000
SEED = 20_260_101
DOH_REQUESTS = 8000
WARM_S = 120  # answers are kept for 300 s at most

PLAIN, MIXED, CASE_0X20 = "steered and cached, A", "the same, A AAAA HTTPS with EDNS DO", "the same, random case"
DOT, DOH = "DoT, pipelined", "DoH, posted over HTTP/2"
SCALE, MISSES, LOGGED = "a million names, by domains in the rules", "not cached, forwarded", "query log on"
SWAP, WORKERS = f"swap of {MANY_DOMAINS:,} domains at 5,000 queries a second", "steered and cached, A, by workers"
BY_FEW, BY_MANY = "steering, 100 domains", "steering, 100,000 domains"
ENCRYPTED = "steering, DoT and DoH"
ONE_WORKER, TWO_WORKERS = "steering, one worker", "steering, two workers"

TARGETS = (
    Target(case=PLAIN, against=("dnsmasq", "unbound"), must=1.5, aim=0.95),
    Target(case=PLAIN, against=("echo in C",), must=2.2, aim=1.5),
    Target(case=PLAIN, against=("dnslib",), must=1 / 15),
    Target(case=MIXED, against=("dnsmasq", "unbound"), must=1.5, aim=0.95),
    Target(case=MIXED, against=("echo in C",), must=2.2, aim=1.5),
    Target(case=CASE_0X20, against=("dnsmasq", "unbound"), must=1.5, aim=0.95),
    Target(case=CASE_0X20, against=("echo in C",), must=2.2, aim=1.5),
    Target(case=SCALE, ours=BY_MANY, against=(BY_FEW,), must=1.2, aim=1.05),
    Target(case=MISSES, against=("unbound",), must=1.6, aim=1.0),
    Target(case=DOT, against=("unbound",), must=1.0, aim=0.5),
    Target(case=DOH, against=("unbound",), must=6, aim=1.7),
    Target(case=LOGGED, against=("dnsmasq", "unbound"), must=1.5, aim=1.0),
    Target(case=SWAP, figure=P99, must=10, aim=3, unit="ms"),
    Target(case=SWAP, figure=FAILED, must=0, unit="lost"),
    Target(case=WORKERS, ours=TWO_WORKERS, against=(ONE_WORKER,), must=1.1),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """upstream: the port of a name server that knows every name.  certificate: with its key, for DoT and DoH."""

    stage: Stage
    upstream: int
    settings: Settings
    certificate: tuple[Path, Path]

    def write(self, name: str, packets: Sequence[bytes]) -> Path:
        return write(self.stage.folder / f"{name}.queries", packets)


def start_world(stage: Stage) -> World:
    upstream = free_port_both()
    stage.start([program("dnsanswer"), "127.0.0.1", str(upstream), REAL], cpu=CLIENT_CPU)
    settings: Settings = {"dns": {"inspector_addresses": [INSPECTOR], "upstreams": [f"udp://127.0.0.1:{upstream}"]}}
    _, ca = make_ca(stage.folder, "dns-ca")
    certificate = make_leaf(stage.folder, ca, "dns.bench.example")
    return World(stage=stage, upstream=upstream, settings=settings, certificate=certificate)


def bypassed_domain(number: int) -> str:
    return f"b{number}.example"


class Rule(TypedDict):
    name: str
    domains: list[str]


def rules(domains: int, revision: int = 0) -> list[Rule]:
    """A hundred domains that are asked for, and others up to so many.  revision: other ones in each."""
    others = [f"host{i}.r{revision}-{i % 977}.example" for i in range(domains - DOMAINS)]
    parts = {f"others {start}": others[start : start + 1000] for start in range(0, len(others), 1000)}
    asked = {"asked": list(map(bypassed_domain, range(DOMAINS)))}
    return [Rule(name=name, domains=listed) for name, listed in (asked | parts).items()]


class Fleet:
    """Servers by name, each started when it is first asked for; what cannot be had is noted once."""

    def __init__(self, world: World, notes: list[str]) -> None:
        self.world, self._notes = world, notes
        self._found: dict[str, Running | None] = {}
        self.services: dict[str, LiveService] = {}

    def __getitem__(self, name: str) -> Running | None:
        if name not in self._found:
            self._found[name] = self._start(name)
        return self._found[name]

    def _start(self, name: str) -> Running | None:
        say(f"starting {name}")
        try:
            server = self._ours(name) if name in OURS else self._peer(name)
        except Failed as failure:
            self._notes.append(str(failure))
            return None
        if not answers(server):
            self._notes.append(f"{name} does not answer")
            return None
        return server

    def _ours(self, name: str) -> Running:
        domains, workers, dns = OURS[name]
        world = self.world
        ports = {"tls": free_port(), "https": free_port()} if name == ENCRYPTED else {}
        listen = {f"{kind}_listen": f"127.0.0.1:{port}" for kind, port in ports.items()}
        settings = {**world.settings, "dns": {**world.settings["dns"], **dns, **listen}}
        folder = f"steering-{len(self._found)}"
        server, service = steering.start(world.stage, folder, rules(domains), settings, workers=workers)
        self.services[name] = service
        return Running(pid=server.pid, port=server.ports[Role.DNS_UDP.value], ports=ports)

    def _peer(self, name: str) -> Running:
        world, log = self.world, self.world.stage.folder / f"{name}.queries.log"
        asked = (world.stage, STEERED, INSPECTOR, world.upstream)
        starting: dict[str, tuple[Callable[[], str | None], Callable[[], Running]]] = {
            "dnsmasq": (dnsmasq.lacking, lambda: dnsmasq.start(*asked)),
            "unbound": (unbound.lacking, lambda: unbound.start(*asked, certificate=world.certificate)),
            "dnsdist": (
                dnsdist.lacking,
                lambda: dnsdist.start(world.stage, INSPECTOR, world.upstream, world.certificate),
            ),
            "dnsmasq, log": (dnsmasq.lacking, lambda: dnsmasq.start(*asked, log=log)),
            "unbound, log": (unbound.lacking, lambda: unbound.start(*asked, log=log)),
            "dnslib": (lambda: None, lambda: dnslib_server.start(world.stage, INSPECTOR)),
            "echo in C": (lambda: None, lambda: echo(world.stage)),
        }
        lacking, start = starting[name]
        if missing := lacking():
            raise Failed(missing)
        return start()


# Ours -> domains in the rules, workers, [dns] settings
OURS: dict[str, tuple[int, int, dict[str, object]]] = {
    "steering": (DOMAINS, 1, {}),
    "steering, log": (DOMAINS, 1, {"query_log": True}),
    BY_MANY: (MANY_DOMAINS, 1, {}),
    TWO_WORKERS: (DOMAINS, 2, {}),
    ENCRYPTED: (DOMAINS, 1, {}),
}


def echo(stage: Stage) -> Running:
    port = free_port_both()
    return Running(pid=stage.start([program("dnsanswer"), "127.0.0.1", str(port), "echo"]), port=port)


def answers(server: Running) -> bool:
    """Whether it does within a few seconds."""
    asked = query(f"n0.{STEERED}")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(0.2)
        sock.connect(("127.0.0.1", server.port))
        for _ in range(50):
            try:
                sock.send(asked)
                if sock.recv(4096)[:2] == asked[:2]:
                    return True
            except ConnectionRefusedError:
                time.sleep(0.1)
            except TimeoutError:
                continue
    return False


# What is asked


def steered_names() -> list[str]:
    return [f"n{i}.{STEERED}" for i in range(KNOWN)]


def bypassed_names() -> list[str]:
    return [f"w{i}.{bypassed_domain(i % DOMAINS)}" for i in range(KNOWN)]


def plain_queries() -> list[bytes]:
    return shuffled([query(name) for name in (*steered_names(), *bypassed_names())], SEED)


def mixed_queries() -> list[bytes]:
    names = (*steered_names(), *bypassed_names())
    return shuffled([query(name, qtype, edns=True) for name in names for qtype in (A, AAAA, HTTPS)], SEED)


def random_case_queries() -> list[bytes]:
    chance = random.Random(SEED)
    names = (*steered_names(), *bypassed_names())
    return shuffled([query(random_case(name, chance)) for name in names for _ in range(60)], SEED)


def million_queries(count: int = MANY_NAMES) -> list[bytes]:
    """A name in five is bypassed and known, all others are met once."""
    known = [query(name) for name in bypassed_names()]
    return [
        known[i % KNOWN] if i % 5 == 0 else query(f"www.site{i}.{'shop' if i % 2 else 'news'}.example")
        for i in range(count)
    ]


def missed_queries() -> list[bytes]:
    return [query(f"00000000.{bypassed_domain(i)}") for i in range(DOMAINS)]


# What is done


class Asking:
    """Loads of one kind.  warm: asked first, where that was long ago, so that it is cached; so often."""

    def __init__(
        self, queries: Path, seconds: float, warm: Path | None = None, passes: int = 1, **options: object
    ) -> None:
        self._queries, self._seconds, self._warm, self._options = queries, seconds, warm, options
        self._passes = passes
        self._warmed: dict[int, float] = {}

    def load(self, server: Running, **more: object) -> Loaded:
        self.warm_up(server)
        return run("dnsload", server.pid, **(self.options(server) | more))

    def options(self, server: Running) -> dict[str, object]:
        given: dict[str, object] = {
            "connect": f"127.0.0.1:{server.port}",
            "queries": self._queries,
            "seconds": self._seconds,
        }
        return given | self._options

    def warm_up(self, server: Running) -> None:
        if self._warm is None or time.monotonic() - self._warmed.get(server.port, -WARM_S) < WARM_S:
            return
        # Each worker has its own cache, and of 17 sockets every pass takes another one for a query.
        run(
            "dnsload", server.pid, connect=f"127.0.0.1:{server.port}", queries=self._warm, sockets=17, once=self._passes
        )
        self._warmed[server.port] = time.monotonic()

    def measuring(self, server: Running, step: int = 0) -> Measuring:
        """step: how far each round is from the one before it, in queries."""
        return lambda number: self.load(server, start=number * step).sample()


def swap(server: Running, service: LiveService, queries: Path, warm: Path) -> Measuring:
    """Paced queries while other rules come into force."""
    asking = Asking(queries, 8.0, warm, rate=5000)

    def measure(number: int) -> Sample:
        asking.warm_up(server)
        service.write_rules(rules(MANY_DOMAINS, revision=number + 1))
        with Load("dnsload", **asking.options(server)) as busy:
            before = cpu_ns(server.pid)
            busy.go()
            service.reload()
            return busy.result(server.pid, before).sample()

    return measure


# The whole

_OURS = "steering"
_LOCAL = (_OURS, "dnsmasq", "unbound", "echo in C")
# case -> what its columns are called, and the server behind each
COLUMNS: dict[str, dict[str, str]] = {
    PLAIN: {name: name for name in (*_LOCAL, "dnslib")},
    MIXED: {name: name for name in _LOCAL},
    CASE_0X20: {name: name for name in _LOCAL},
    SCALE: {BY_FEW: _OURS, BY_MANY: BY_MANY},
    MISSES: {name: name for name in (_OURS, "dnsmasq", "unbound")},
    LOGGED: {name: f"{name}, log" for name in (_OURS, "dnsmasq", "unbound")},
    DOT: {_OURS: ENCRYPTED, "unbound": "unbound", "dnsdist": "dnsdist"},
    DOH: {_OURS: ENCRYPTED, "unbound": "unbound", "dnsdist": "dnsdist"},
    WORKERS: {ONE_WORKER: _OURS, TWO_WORKERS: TWO_WORKERS},
    SWAP: {_OURS: BY_MANY},
}


def case_of(name: str, fleet: Fleet, seconds: float) -> Case:
    """The case with those of its servers that can be had."""
    servers = {column: server for column, asked in COLUMNS[name].items() if (server := fleet[asked])}
    make = {SWAP: _swapping, DOT: _over_tls, DOH: _over_https}.get(name, _asking)
    return Case(
        name=name, unit="query", servers={c: make(name, fleet, seconds)(server) for c, server in servers.items()}
    )


def _asking(name: str, fleet: Fleet, seconds: float) -> Callable[[Running], Measuring]:
    world = fleet.world
    packets, step = {
        MIXED: (mixed_queries, 0),
        CASE_0X20: (random_case_queries, 0),
        SCALE: (million_queries, MANY_NAMES // 10),
        MISSES: (missed_queries, 1_000_000),
    }.get(name, (plain_queries, 0))
    asked = world.write(f"{packets.__name__}", packets())
    warm = {MISSES: None, MIXED: asked}.get(name, world.write("plain_queries", plain_queries()))
    options = {"unique": 1} if name == MISSES else {}
    asking = Asking(asked, seconds, warm, 8 if name == WORKERS else 1, **options)
    return lambda server: asking.measuring(server, step)


def _swapping(name: str, fleet: Fleet, seconds: float) -> Callable[[Running], Measuring]:
    queries = fleet.world.write("plain_queries", plain_queries())
    service = fleet.services[COLUMNS[name][_OURS]]
    return lambda server: swap(server, service, queries, queries)


def _over_tls(name: str, fleet: Fleet, seconds: float) -> Callable[[Running], Measuring]:
    names = dnsperf.write(fleet.world.stage.folder / "names", [*steered_names(), *bypassed_names()])
    return lambda server: lambda number: dnsperf.load(server.pid, server.ports["tls"], names, 1)


def _over_https(name: str, fleet: Fleet, seconds: float) -> Callable[[Running], Measuring]:
    body = fleet.world.stage.folder / "query"
    body.write_bytes(query(steered_names()[0]))

    def asking(server: Running) -> Measuring:
        url = f"https://127.0.0.1:{server.ports['https']}/dns-query"
        return lambda number: h2load.load(server.pid, url, body, "application/dns-message", DOH_REQUESTS)

    return asking


def measure(quick: bool, only: str) -> Found:
    seconds, rounds = (0.5, 2) if quick else (1.0, 5)
    notes: list[str] = []
    with Stage() as stage:
        fleet = Fleet(start_world(stage), notes)
        lacking = {DOT: dnsperf.lacking(), DOH: h2load.lacking()}
        notes += [missing for missing in lacking.values() if missing]
        wanted = [name for name in COLUMNS if only in name and not lacking.get(name)]
        cases = [case_of(name, fleet, seconds) for name in wanted]
        short = [case for case in cases if case.name != SWAP]
        long = [case for case in cases if case.name == SWAP]
        results = run_rounds(short, rounds, say) | run_rounds(long, 1 if quick else 2, say)
    return cases, results, notes


if __name__ == "__main__":
    main(__doc__, measure, TARGETS)
