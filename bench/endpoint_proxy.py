"""What the endpoint helper's local proxy costs: added time and rate of new connections, throughput, and memory.

    python -m bench.endpoint_proxy [--quick]

One helper in a process of its own, with the real identifier where the system has one and a rule that asks for
programs, so that every connection is identified.  A connection is CONNECT, a ClientHello (which is never answered by
TLS: the origin sends one byte back) and the close; ``none`` makes the same without a helper.  Origin, load and helper
share the machine's cores, so rates are floors.  ``tunnels`` is what a thousand idle direct tunnels take on top of the
helper's own size; ``through`` goes by way of a stand-in inspector over TLS with a client certificate.
"""

import argparse
import asyncio
import contextlib
import multiprocessing
import resource
import socket
import ssl
import statistics
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

from bench.report import Row, print_rows
from steering.endpoint.bundle.content import Bundle, Modes
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.identify.identity import Identifier
from steering.endpoint.proxy.inspector import InspectorLinks
from steering.endpoint.proxy.service import EndpointProxy
from steering.endpoint.proxy.works import Attester, Works
from steering.endpoint.settings import Limits
from steering.policy import RulesModel, compile_policy, rule_set
from steering.policy.hosts import Address
from tests.endpoint.proxy.devices import DEVICE, GROUP, device, stand_in

RULES = [
    {"name": "direct", "domains": ["direct.example"]},
    {"name": "app", "domains": ["app.example"], "programs": ["slack"]},
    *({"name": f"other {i}", "domains": [f"d{i}.example"]} for i in range(1000)),
]
TUNNELS = 1000
_RESET = struct.pack("ii", 1, 0)


def client_hello(name: str) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(incoming, outgoing, server_hostname=name)
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


def serve_origin(listener: socket.socket) -> None:
    """A byte for the first bytes; then all that is asked for, by a length of eight bytes."""

    def serve(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            if sock.recv(65536):
                sock.sendall(b"!")
            block = bytes(1 << 20)
            while asked := sock.recv(8):
                for _ in range(int.from_bytes(asked, "big") >> 20):
                    sock.sendall(block)

    while True:
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock,), daemon=True).start()


def serve_helper(listener: socket.socket, inspector_port: int) -> None:
    async def resolve(name: str) -> Sequence[Address]:
        return (ip_address("127.0.0.1"),)

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        limits = Limits()
        policy = compile_policy(rule_set(RulesModel.model_validate({"rules": RULES})))
        bundle = Bundle(
            policy=policy,
            issued_at=0.0,
            inspectors=(f"127.0.0.1:{inspector_port}",),
            inspector_addresses=frozenset(),
            modes=Modes.model_validate({}),
        )
        works = Works(
            live=LiveBundle(bundle),
            identifier=open_identifier(),
            links=InspectorLinks(device().context, limits, resolve, loop),
            attester=Attester(device_id=DEVICE, group=GROUP, key=device().key),
            sink=lambda line: None,
            loop=loop,
            resolve=resolve,
            limits=limits,
        )
        EndpointProxy(works).start([listener])
        await asyncio.Event().wait()

    import uvloop

    uvloop.run(serve())


def open_identifier() -> Identifier:
    from steering.endpoint.identify.linux import open_linux

    return open_linux()


def serve_inspector(ready: "multiprocessing.Queue[int]", forward: int) -> None:
    async def serve() -> None:
        async with stand_in() as inspector:
            inspector.forward = {"www.example": forward}
            ready.put(inspector.port)
            await asyncio.Event().wait()

    asyncio.run(serve())


@contextlib.contextmanager
def forked(serve: Callable[..., None], *args: object) -> Iterator[int]:
    """A process of ours; its pid."""
    process = multiprocessing.get_context("fork").Process(target=serve, args=args, daemon=True)
    process.start()
    assert process.pid is not None
    try:
        yield process.pid
    finally:
        process.terminate()
        process.join()


def listening() -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    return sock


class World:
    """helper, origin: ports.  pid: the helper's."""

    def __init__(self, helper: int, origin: int, pid: int) -> None:
        self.helper, self.origin, self.pid = helper, origin, pid
        self.hellos = {name: client_hello(name) for name in ("direct.example", "www.example")}

    def open(self, name: str) -> socket.socket:
        """A connection that has carried a hello and a byte; name "": without a helper."""
        sock = socket.create_connection(("127.0.0.1", self.helper if name else self.origin))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if name:
            sock.sendall(f"CONNECT {name}:{self.origin} HTTP/1.1\r\n\r\n".encode())
            answer = sock.recv(1000)
            assert answer.startswith(b"HTTP/1.1 200"), answer
        sock.sendall(self.hellos[name or "direct.example"])
        assert sock.recv(1) == b"!"
        return sock


@contextlib.contextmanager
def world() -> Iterator[World]:
    device()  # made once, for all processes
    origin, helper = listening(), listening()
    ready: multiprocessing.Queue[int] = multiprocessing.get_context("fork").Queue()
    origin_port = origin.getsockname()[1]
    with (
        forked(serve_origin, origin),
        forked(serve_inspector, ready, origin_port),
        forked(serve_helper, helper, ready.get(timeout=30)) as pid,
    ):
        yield World(helper.getsockname()[1], origin_port, pid)


def times_us(world: World, name: str, count: int) -> list[float]:
    found = []
    for _ in range(count):
        begun = time.perf_counter()
        sock = world.open(name)
        found.append((time.perf_counter() - begun) * 1e6)
        # Ports would run out in TIME_WAIT.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        sock.close()
    return found


def rate(world: World, name: str, seconds: float, threads: int = 8) -> float:
    counts = [0] * threads
    until = time.perf_counter() + seconds

    def work(index: int) -> None:
        while time.perf_counter() < until:
            counts[index] += len(times_us(world, name, 1))

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(counts) / seconds


def gbit_s(world: World, name: str, megabytes: int) -> float:
    with world.open(name) as sock:
        buffer = bytearray(1 << 20)
        sock.sendall((megabytes << 20).to_bytes(8, "big"))
        begun, left = time.perf_counter(), megabytes << 20
        while left:
            left -= sock.recv_into(buffer)
        return megabytes * 8 / 1024 / (time.perf_counter() - begun)


def rss_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize() / (1 << 20)


def idle_mb(world: World, name: str, count: int) -> tuple[float, float]:
    """Of the helper: with ``count`` idle tunnels, and before."""
    before = rss_mb(world.pid)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(world.open(name))
        return rss_mb(world.pid), before


def rows_of(count: int, seconds: float, megabytes: int) -> list[Row]:
    rows: list[Row] = []
    with world() as found:
        ways = {"none": "", "direct": "direct.example", "through": "www.example"}
        for name in ways.values():
            times_us(found, name, 50)
        # Interleaved: a noisy moment falls on all alike.
        each: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(10):
            for way, name in ways.items():
                each[way] += times_us(found, name, count // 10)
        base = statistics.median(each["none"])
        for way, name in ways.items():
            times = sorted(each[way])
            row: Row = {
                "way": way,
                "p50_us": round(statistics.median(times)),
                "p99_us": round(times[len(times) * 99 // 100]),
                "added_p50_us": round(statistics.median(times) - base),
                "new/s": round(rate(found, name, seconds)),
                "gbit/s": round(gbit_s(found, name, megabytes), 1),
            }
            rows.append(row)
        for row, (way, name) in zip(rows, ways.items(), strict=True):
            with_tunnels, before = idle_mb(found, name, TUNNELS) if name else (0.0, 0.0)
            row["rss_mb"] = round(before, 1) if way != "none" else 0
            row["rss_mb 1000 tunnels"] = round(with_tunnels, 1)
    return rows


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="fewer connections, fewer bytes")
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    quick = options.parse_args().quick
    print_rows(rows_of(500, 2.0, 512) if quick else rows_of(3000, 5.0, 4096))


if __name__ == "__main__":
    main()
