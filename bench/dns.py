"""What an answer costs: CPU per query and queries a second, beside a bare Python echo and other DNS servers.

    python -m bench.dns [--quick]

One worker, one client, 64 questions in flight, over 2,000 names; the rules have 20,000.  ``steered`` names get the
inspector's address, ``cached`` ones an answer that an upstream gave before.  The client shares the cores with the
server, so queries a second are a floor (a client in C would ask faster); CPU per answered query is the figure to
compare, and ``x echo`` sets it beside what the sockets alone cost in Python.  dnslib's own server answers every name
with one constant address; dnsmasq and unbound are measured where they are installed.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from pathlib import Path

import dnslib
import dnslib.server

from bench.report import Row, print_rows
from steering.policy import RulesModel, compile_policy, rule_set
from steering.policy.live import Live
from steering_dns import DnsServer, DnsSettings, Forwarder, parse_upstream

WINDOW = 64  # queries in flight
NAMES = 2000
CASES = {"steered": "n{}.steered.example", "cached": "b{}.example"}
Address = tuple[str, int]


def serve_echo(sock: socket.socket) -> None:
    while True:
        packet, address = sock.recvfrom(4096)
        sock.sendto(packet, address)


class _Upstream(asyncio.DatagramProtocol):
    """One address for every name; asked while warming up only."""

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: Address) -> None:
        question = data[12 : data.index(0, 12) + 5]
        answer = b"\xc0\x0c\0\1\0\1\0\0\x0e\x10\0\4\xcb\0\x71\1"
        self._transport.sendto(data[:2] + b"\x81\x80\0\1\0\1\0\0\0\0" + question + answer, addr)


def serve_ours(sock: socket.socket) -> None:
    rules = {"rules": [{"name": "pinned", "domains": [f"b{i}.example" for i in range(20_000)]}]}
    live = Live(compile_policy(rule_set(RulesModel.model_validate(rules))))

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(_Upstream, local_addr=("127.0.0.1", 0))
        upstream = parse_upstream(f"udp://127.0.0.1:{transport.get_extra_info('sockname')[1]}")
        settings = DnsSettings(inspector_addresses=(ip_address("192.0.2.1"),), upstreams=(upstream,))
        await DnsServer(settings, live, lambda line: None, Forwarder()).start([sock], [])
        await asyncio.Event().wait()

    try:
        import uvloop

        uvloop.run(serve())
    except ImportError:
        asyncio.run(serve())


class _Answers(dnslib.server.BaseResolver):  # type: ignore[misc]  # dnslib has no types
    def resolve(self, request: dnslib.DNSRecord, handler: object) -> dnslib.DNSRecord:
        reply = request.reply()
        reply.add_answer(dnslib.RR(request.q.qname, rdata=dnslib.A("192.0.2.1"), ttl=30))
        return reply


def serve_dnslib(sock: socket.socket) -> None:
    address, port = sock.getsockname()
    sock.close()
    logger = dnslib.server.DNSLogger(log="-request,-reply,-truncated,-error", prefix=False)
    while True:  # it binds for itself, which fails until the parent has let go of the port
        with contextlib.suppress(OSError):
            dnslib.server.DNSServer(_Answers(), address=address, port=port, logger=logger).start()
        time.sleep(0.01)


@contextlib.contextmanager
def forked(serve: Callable[[socket.socket], None]) -> Iterator[tuple[Address, int]]:
    """A server of ours in a process of its own: where it listens, and its pid."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 21)
    sock.bind(("127.0.0.1", 0))
    process = multiprocessing.get_context("fork").Process(target=serve, args=(sock,), daemon=True)
    process.start()
    address = sock.getsockname()
    sock.close()
    assert process.pid is not None
    try:
        yield address, process.pid
    finally:
        process.terminate()
        process.join()


def dnsmasq(port: int, folder: Path) -> list[str]:
    local = [f"--address=/{name}/192.0.2.1" for name in ("steered.example", "example")]
    return ["dnsmasq", "-k", f"-p{port}", "-a127.0.0.1", "-z", "-C/dev/null", "-R", "-h", f"-x{folder}/pid", *local]


def unbound(port: int, folder: Path) -> list[str]:
    config = folder / "unbound.conf"
    config.write_text(
        f'server:\n interface: 127.0.0.1@{port}\n do-daemonize: no\n username: ""\n chroot: ""\n num-threads: 1\n'
        f' use-syslog: no\n pidfile: "{folder}/pid"\n local-zone: "example." redirect\n'
        ' local-data: "example. 30 A 192.0.2.1"\nremote-control:\n control-enable: no\n'
    )
    return ["unbound", "-d", "-c", str(config)]


@contextlib.contextmanager
def started(command: Callable[[int, Path], list[str]]) -> Iterator[tuple[Address, int]]:
    """Another project's server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        address: Address = probe.getsockname()
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(command(address[1], Path(folder)), stderr=subprocess.DEVNULL)
        try:
            yield address, process.pid
        finally:
            process.terminate()
            process.wait()


Starting = Callable[[], contextlib.AbstractContextManager[tuple[Address, int]]]
SERVERS: dict[str, Starting] = {
    "echo": lambda: forked(serve_echo),
    "steering": lambda: forked(serve_ours),
    "dnslib": lambda: forked(serve_dnslib),
}
PEERS: dict[str, Starting] = {"dnsmasq": lambda: started(dnsmasq), "unbound": lambda: started(unbound)}


def measure(start: Starting, queries: list[bytes], seconds: float) -> tuple[float, float]:
    """(microseconds of CPU per answered query, queries a second)."""
    with start() as (address, pid), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(0.5)
        client.connect(address)
        warm(client, queries)
        before, begun = cpu_s(pid), time.perf_counter()
        answered = load(client, queries, seconds)
        return (cpu_s(pid) - before) / answered * 1e6, answered / (time.perf_counter() - begun)


def warm(client: socket.socket, queries: list[bytes]) -> None:
    """Every question once, each after the answer to the one before; the server may still be starting."""
    until = time.perf_counter() + 60
    for query in queries:
        answered = False
        while not answered and time.perf_counter() < until:
            try:
                client.send(query)
                while client.recv(4096)[:2] != query[:2]:
                    pass  # an answer that came late
                answered = True
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.05)


def load(client: socket.socket, queries: list[bytes], seconds: float) -> int:
    """Keep ``WINDOW`` questions in flight; how many were answered."""
    answered = sent = in_flight = 0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        try:
            while in_flight < WINDOW:
                client.send(queries[sent % len(queries)])
                sent += 1
                in_flight += 1
            client.recv(4096)
            answered += 1
            in_flight -= 1
        except (TimeoutError, ConnectionRefusedError):
            in_flight = 0
            time.sleep(0.05)
    client.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        while in_flight:
            client.recv(4096)
            in_flight -= 1
            answered += 1
    client.settimeout(0.5)
    return max(answered, 1)


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def rows_of(rounds: int, seconds: float) -> list[Row]:
    """Rounds are interleaved: a noisy moment then falls on all servers alike."""
    servers = SERVERS | {name: start for name, start in PEERS.items() if shutil.which(name)}
    queries = {
        case: [dnslib.DNSRecord.question(form.format(i)).pack() for i in range(NAMES)] for case, form in CASES.items()
    }
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(rounds):
        for case, asked in queries.items():
            for name, start in servers.items():
                found.setdefault((case, name), []).append(measure(start, asked, seconds))
    rows: list[Row] = []
    for (case, name), each in found.items():
        cpu, rate = (statistics.median(column) for column in zip(*each, strict=True))
        echo = statistics.median(cpu for cpu, _ in found[case, "echo"])
        rows.append(
            {
                "answers": case,
                "server": name,
                "cpu_us": round(cpu, 1),
                "x echo": round(cpu / echo, 2),
                "qps": round(rate),
            }
        )
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="two short rounds")
    rounds, seconds = (2, 2.0) if options.parse_args().quick else (5, 4.0)
    print_rows(rows_of(rounds, seconds))


if __name__ == "__main__":
    main()
