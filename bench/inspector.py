"""What the inspector costs beside squid, mitmproxy and haproxy: CPU per request, connection, megabyte and tunnel.

    python -m bench.inspector [--quick] [--only WORD]

The origin is nginx (TLS 1.3, P-256), the client a C program; every server runs at once with one worker on the first
processor, client and origin are on the second.  Ours is ``steering serve`` with its access log on.  Servers are asked
in turn within each round; ratios are those of the same round.  ``origin known``: the server has connected there
before.  ``cold host``: a name that it never met, so that it resolves, connects, verifies and mints.  Tunnels carry TLS
to the origin; squid's are of a port without ssl-bump, haproxy is dialled without CONNECT.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.certificates import make_ca, make_leaf
from bench.cost import cpu_ns, resident_mb
from bench.load import Load, Loaded, program, run
from bench.outcome import say
from bench.part import Found, main
from bench.peers import Running, haproxy, mitmproxy, nginx, squid, steering
from bench.processes import CLIENT_CPU, Stage
from bench.rounds import MAX, MB, P50, P99, RATE, Case, Failed, Measuring, Results, Sample, run_rounds
from bench.targets import Target
from steering.resources import starter_rules
from tests.kit import free_port
from tests.service import LiveService, Settings

OPENED, PINNED, COLD = "www.bench.example", "pinned.bench.example", "c#.bench.example"
COLD_NAMES, COLD_PER_ROUND = 20_000, 1500
TEN_MIB = 10 * 1024 * 1024
IDLE = 5000
SOURCES = 8  # an address may hold 1,024 connections
RELOADED = 100_000

KEPT = "1 KiB, kept alive"
NEW = "new connection, origin known"
COLD_HOST = "new connection, cold host"
DOWNLOAD, UPLOAD = "download, 10 MiB", "upload, 10 MiB"
TUNNEL, SET_UP = "tunnel, 10 MiB", "tunnel set-up"
LATENCY = "added by one request, one client"
CLIENTS_64, IDLE_TUNNELS = "memory, 64 clients", f"memory, {IDLE:,} idle tunnels"
WORKERS = "1 KiB, kept alive, by workers"
ONE_WORKER, TWO_WORKERS = "steering, one worker", "steering, two workers"
RELOAD = f"reload of {RELOADED:,} domains under load"

TARGETS = (
    Target(case=KEPT, against=("squid",), must=1.0, aim=0.65),
    Target(case=KEPT, against=("mitmproxy",), must=1 / 12, aim=1 / 25),
    Target(case=NEW, against=("squid",), must=0.30, aim=0.20),
    Target(case=COLD_HOST, against=("squid",), must=0.9, aim=0.65),
    Target(case=DOWNLOAD, against=("squid",), must=0.5, aim=0.35),
    Target(case=UPLOAD, against=("squid",), must=0.5, aim=0.35),
    Target(case=TUNNEL, against=("haproxy",), must=1.0, aim=0.7),
    Target(case=TUNNEL, against=("squid",), must=0.5),
    Target(case=SET_UP, against=("squid",), must=1.0, aim=0.6),
    Target(case=LATENCY, against=("squid",), figure=P50, must=1.0, aim=0.6),
    Target(case=LATENCY, against=("squid",), figure=P99, must=1.0, aim=0.6),
    Target(case=CLIENTS_64, figure=MB, must=80, aim=45, unit="MB"),
    Target(case=IDLE_TUNNELS, figure=MB, must=250, aim=120, unit="MB"),
    Target(case=WORKERS, ours=TWO_WORKERS, against=(ONE_WORKER,), must=1.1),
    Target(case=RELOAD, figure=MAX, must=50, unit="ms more"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """An origin that every host leads to, and the servers that run."""

    stage: Stage
    origin: Running
    trusted: Path
    settings: Settings

    def client(self, server: Running, name: str, **options: object) -> dict[str, object]:
        """What the load program needs to go through ``server``."""
        return {
            "connect": f"127.0.0.1:{server.port}",
            "port": self.origin.port,
            "name": name,
            "ca": server.ca,
        } | options


def start_world(stage: Stage, keepalive_s: int = 600) -> World:
    """keepalive_s: how long the origin keeps a connection that is not used."""
    certificate, both = make_ca(stage.folder, "origin-ca")
    leaf, key = make_leaf(stage.folder, both, OPENED, "*.bench.example")
    origin = nginx.origin(stage, leaf, key, keepalive_s)
    resolver = free_port()
    stage.start([program("dnsanswer"), "127.0.0.1", str(resolver), "127.0.0.1"], cpu=CLIENT_CPU)
    settings: Settings = {
        "inspector": {
            "trust": [str(certificate)],
            "connect_ports": [443, origin.port],
            "allow_destinations": ["127.0.0.0/8"],
        },
        "dns": {"upstreams": [f"udp://127.0.0.1:{resolver}"]},
    }
    return World(stage=stage, origin=origin, trusted=certificate, settings=settings)


def rules(more: Sequence[str] = ()) -> list[dict[str, object]]:
    """The starter policy and one pinned host."""
    shipped: list[dict[str, object]] = json.loads(starter_rules().read_text("utf-8"))["rules"]
    own: list[dict[str, object]] = [{"name": "bench", "domains": [PINNED]}, {"name": "many", "domains": list(more)}]
    return [*shipped, *(rule for rule in own if rule["domains"])]


def start_ours(world: World, name: str = "steering", workers: int = 1) -> tuple[Running, LiveService]:
    return steering.start(world.stage, name, rules(), world.settings, workers=workers)


def start_peers(world: World, notes: list[str]) -> dict[str, Running]:
    """Those that are installed; what is not is noted."""
    _, ca = make_ca(world.stage.folder, "squid-ca")
    cold = [COLD.replace("#", str(number)) for number in range(COLD_NAMES)]
    starting: dict[str, tuple[str | None, Callable[[], Running]]] = {
        "squid": (squid.lacking(), lambda: squid.start(world.stage, ca, world.trusted, [OPENED, PINNED, *cold])),
        "mitmproxy": (mitmproxy.lacking(), lambda: mitmproxy.start(world.stage, world.trusted)),
        "haproxy": (haproxy.lacking(), lambda: haproxy.start(world.stage, world.origin.port)),
    }
    found: dict[str, Running] = {}
    for name, (lacking, start) in starting.items():
        say(lacking or f"starting {name}")
        try:
            if not lacking:
                found[name] = start()
        except Failed as failure:
            lacking = str(failure)
        if lacking:
            notes.append(lacking)
    return found


# What is done


def loading(world: World, server: Running, name: str, **options: object) -> Callable[[], Loaded]:
    return lambda: run("tlsload", server.pid, **world.client(server, name, **options))


def requests(load: Callable[[], Loaded]) -> Measuring:
    return lambda number: load().sample()


def megabytes(load: Callable[[], Loaded]) -> Measuring:
    return lambda number: load().per_mb()


def cold_hosts(world: World, server: Running, seconds: float) -> Measuring:
    def measure(number: int) -> Sample:
        first = number * COLD_PER_ROUND % COLD_NAMES
        client = world.client(server, COLD, keep=0, conns=4, seconds=seconds, start=first)
        return run("tlsload", server.pid, **client).sample()

    return measure


def tunnelled(world: World, name: str, server: Running) -> dict[str, object]:
    """How to reach the pinned host through a server that leaves it unopened."""
    client = world.client(server, PINNED, ca=world.trusted)
    match name:
        case "squid":
            return client | {"connect": f"127.0.0.1:{server.ports['tunnel']}"}
        case "haproxy":
            return client | {"port": 0}
        case _:
            return client


class Direct:
    """How long the origin itself takes, in the same round; it is taken off what a request through a proxy takes."""

    def __init__(self, world: World, seconds: float) -> None:
        client = world.client(world.origin, OPENED, port=0, ca=world.trusted, conns=1, seconds=seconds)
        self._load: Callable[[], Loaded] = lambda: run("tlsload", world.origin.pid, **client)
        self._found: dict[int, Sample] = {}

    def __call__(self, number: int) -> Sample:
        if number not in self._found:
            self._found[number] = self._load().sample()
        return self._found[number]


def added(load: Callable[[], Loaded], direct: Measuring) -> Measuring:
    def measure(number: int) -> Sample:
        base, through = direct(number), load().sample()
        added = {figure: max(0.0, through[figure] - base[figure]) for figure in (P50, P99)}
        return added | {RATE: through[RATE]}

    return measure


def cases_of(world: World, servers: dict[str, Running], seconds: float) -> list[Case]:
    opening = {name: server for name, server in servers.items() if name != "haproxy"}
    tunnelling = {name: server for name, server in servers.items() if name != "mitmproxy"}
    direct = Direct(world, seconds / 2)

    def opened(act: Callable[[Callable[[], Loaded]], Measuring], **options: object) -> dict[str, Measuring]:
        given: dict[str, object] = {"seconds": seconds} | options
        return {name: act(loading(world, server, OPENED, **given)) for name, server in opening.items()}

    def through(act: Callable[[Callable[[], Loaded]], Measuring], **options: object) -> dict[str, Measuring]:
        def load(name: str, server: Running) -> Callable[[], Loaded]:
            given = tunnelled(world, name, server) | {"seconds": seconds} | options
            return lambda: run("tlsload", server.pid, **given)

        return {name: act(load(name, server)) for name, server in tunnelling.items()}

    return [
        Case(name=KEPT, unit="request", servers=opened(requests)),
        Case(name=NEW, unit="connection", servers=opened(requests, keep=0, conns=8)),
        Case(
            name=COLD_HOST,
            unit="connection",
            servers={name: cold_hosts(world, server, seconds) for name, server in opening.items()},
        ),
        Case(name=DOWNLOAD, unit="MB", servers=opened(megabytes, path="/10m", conns=2)),
        Case(name=UPLOAD, unit="MB", servers=opened(megabytes, path="/upload", upload=TEN_MIB, conns=2)),
        Case(name=TUNNEL, unit="MB", servers=through(megabytes, path="/10m", conns=2)),
        Case(name=SET_UP, unit="tunnel", servers=through(requests, keep=0, path="", conns=8)),
        Case(
            name=LATENCY,
            unit="request",
            servers={
                name: added(loading(world, server, OPENED, conns=1, seconds=seconds), direct)
                for name, server in opening.items()
            },
        ),
    ]


def memory_cases(world: World, servers: dict[str, Running], seconds: float) -> list[Case]:
    """Of servers that have just started.  Resident memory of the process that works."""

    def clients(server: Running) -> Measuring:
        def measure(number: int) -> Sample:
            with Load("tlsload", **world.client(server, OPENED, conns=64, seconds=seconds)) as load:
                before = cpu_ns(server.pid)
                load.go()
                load.result(server.pid, before)
                return {MB: resident_mb(server.pid)}

        return measure

    def idle(name: str, server: Running) -> Measuring:
        def measure(number: int) -> Sample:
            with Load("tlsload", **tunnelled(world, name, server), idle=1, conns=IDLE, sources=SOURCES):
                return {MB: resident_mb(server.pid)}

        return measure

    return [
        Case(
            name=CLIENTS_64,
            unit="worker",
            servers={name: clients(server) for name, server in servers.items() if name != "haproxy"},
        ),
        Case(
            name=IDLE_TUNNELS,
            unit="worker",
            servers={name: idle(name, server) for name, server in servers.items() if name != "mitmproxy"},
        ),
    ]


def worker_case(world: World, one: Running, two: Running, seconds: float) -> Case:
    servers = {ONE_WORKER: one, TWO_WORKERS: two}
    return Case(
        name=WORKERS,
        unit="request",
        servers={name: requests(loading(world, server, OPENED, seconds=seconds)) for name, server in servers.items()},
    )


def reload_case(world: World, ours: Running, service: LiveService) -> Case:
    """The longest request while a hundred thousand domains come into force, less the longest without."""
    load = loading(world, ours, OPENED, conns=4, seconds=8)

    def measure(number: int) -> Sample:
        quiet = load().sample()
        service.write_rules(rules([f"n{i}.round{number}.example" for i in range(RELOADED)]))
        with Load("tlsload", **world.client(ours, OPENED, conns=4, seconds=8)) as busy:
            before = cpu_ns(ours.pid)
            busy.go()
            service.reload()
            found = busy.result(ours.pid, before).sample()
        return {MAX: max(0.0, found[MAX] - quiet[MAX]), P99: found[P99], RATE: found[RATE]}

    return Case(name=RELOAD, unit="request", servers={"steering": measure})


# The whole


def measure(quick: bool, only: str) -> Found:
    seconds, rounds = (0.5, 2) if quick else (1.0, 5)
    notes: list[str] = []
    with Stage() as stage:
        world = start_world(stage)
        say("starting steering")
        ours, service = start_ours(world)
        servers = {"steering": ours} | start_peers(world, notes)
        made: list[Case] = []
        results: Results = {}

        def run_those(cases: list[Case], rounds: int) -> None:
            wanted = [case for case in cases if only in case.name]
            made.extend(wanted)
            results.update(run_rounds(wanted, rounds, say))

        run_those(memory_cases(world, servers, seconds), 1)
        run_those(cases_of(world, servers, seconds), rounds)
        if only in WORKERS:
            two, _ = start_ours(world, "steering-two", workers=2)
            run_those([worker_case(world, ours, two, seconds)], rounds)
        run_those([reload_case(world, ours, service)], 1 if quick else 2)
    return made, results, notes


if __name__ == "__main__":
    main(__doc__, measure, TARGETS)
