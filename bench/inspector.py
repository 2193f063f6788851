"""What one inspector process costs, beside its aiohttp twin in the same run: CPU of the serving process per operation.

    python -m bench.inspector [--quick]

Origin, client and server are three processes on one machine, so wall-clock rates are floors; CPU per operation is
the figure to compare.  Peers (squid, mitmproxy) are measured by a later tool.
"""

import argparse
import asyncio
import json
import multiprocessing
import time
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection

import uvloop

from tests.inspector.clients import NAMES, Wire, policy_of, running
from tests.inspector.origin import inspector_ca, origin_ca, running_origin
from tests.inspector.twin import running_twin

MIB = 1024 * 1024
RULES = [{"name": "pinned", "domains": ["pinned.example"]}]


async def _origin(pipe: Connection) -> None:
    async with running_origin(origin_ca().context(*NAMES)) as origin:
        pipe.send(origin.port)
        await asyncio.get_running_loop().run_in_executor(None, pipe.recv)


async def _inspector(pipe: Connection) -> None:
    origin_port = pipe.recv()
    async with running(rules=RULES, connect_ports=frozenset((origin_port,))) as rig:
        rig.live.swap(policy_of(RULES))
        pipe.send(rig.explicit)
        await _report_cpu(pipe)


async def _twin(pipe: Connection) -> None:
    origin_port = pipe.recv()
    async with running_twin(inspector_ca(), origin_ca().trusting(), origin_port) as port:
        pipe.send(port)
        await _report_cpu(pipe)


async def _report_cpu(pipe: Connection) -> None:
    """Answer each message with the CPU seconds used so far; end on None."""
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, pipe.recv) is not None:
        pipe.send(time.process_time())


def _run(serve: Callable[[Connection], Awaitable[None]], pipe: Connection) -> None:
    async def main() -> None:
        await serve(pipe)

    uvloop.run(main())


async def _opened(port: int, origin_port: int, host: str) -> Wire:
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
    await wire.send(f"CONNECT {host}:{origin_port} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    await wire.head()
    await wire.start_tls(host)
    return wire


async def keep_alive(port: int, origin_port: int, seconds: float) -> int:
    """Requests for 1 KiB on 8 connections, kept alive."""
    request = b"GET /big?1024 HTTP/1.1\r\nHost: www.example\r\n\r\n"
    end = time.monotonic() + seconds

    async def one() -> int:
        wire, count = await _opened(port, origin_port, "www.example"), 0
        while time.monotonic() < end:
            wire.writer.write(request)
            await wire.reader.readuntil(b"\r\n\r\n")
            await wire.reader.readexactly(1024)
            count += 1
        await wire.close()
        return count

    return sum(await asyncio.gather(*(one() for _ in range(8))))


async def connections(port: int, origin_port: int, seconds: float) -> int:
    """CONNECT, handshake, one request, close."""
    end, count = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        wire = await _opened(port, origin_port, "www.example")
        await wire.get("www.example", "/hello")
        await wire.close()
        count += 1
    return count


def _downloads(host: str) -> Callable[[int, int, float], Awaitable[int]]:
    """Downloads of 10 MiB, one after the other on one connection."""

    async def download(port: int, origin_port: int, seconds: float) -> int:
        wire, end, count = await _opened(port, origin_port, host), time.monotonic() + seconds, 0
        while time.monotonic() < end:
            await wire.send(f"GET /big?{10 * MIB} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            await wire.head()
            left = 10 * MIB
            while left:
                left -= len(await wire.reader.read(min(left, 262_144)))
            count += 1
        await wire.close()
        return count

    return download


CASES: dict[str, tuple[Callable[[int, int, float], Awaitable[int]], bool]] = {
    "1 KiB, kept alive": (keep_alive, True),
    "new connections": (connections, True),
    "opened 10 MiB": (_downloads("www.example"), True),
    "tunnelled 10 MiB": (_downloads("pinned.example"), False),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    seconds, rounds = (2.0, 1) if parser.parse_args().quick else (5.0, 3)
    inspector_ca(), origin_ca()  # made before forking, so that all processes trust the same
    context = multiprocessing.get_context("fork")
    pipes: dict[str, Connection] = {}
    processes = []
    for name, serve in (("origin", _origin), ("inspector", _inspector), ("twin", _twin)):
        ours, theirs = context.Pipe()
        process = context.Process(target=_run, args=(serve, theirs), daemon=True)
        process.start()
        pipes[name] = ours
        processes.append(process)
    origin_port = pipes["origin"].recv()
    for name in ("inspector", "twin"):
        pipes[name].send(origin_port)
    ports = {name: pipes[name].recv() for name in ("inspector", "twin")}

    def cpu_s(name: str) -> float:
        pipes[name].send("cpu")
        return float(pipes[name].recv())

    results = []
    for case, (act, both) in CASES.items():
        for name in ("inspector", "twin") if both else ("inspector",):
            best_rate, best_us = 0.0, float("inf")
            for _ in range(rounds):
                before, began = cpu_s(name), time.monotonic()
                count = uvloop.run(_counted(act, ports[name], origin_port, seconds))
                best_rate = max(best_rate, count / (time.monotonic() - began))
                best_us = min(best_us, (cpu_s(name) - before) / max(count, 1) * 1e6)
            results.append(
                {
                    "case": case,
                    "server": name,
                    "per_s": round(best_rate, 1 if best_rate < 100 else None),
                    "cpu_us": round(best_us, 1),
                }
            )
            print(f"{case:26} {name:10} {best_rate:10.1f}/s {best_us:10.1f} us CPU each", flush=True)
    print(json.dumps(results))
    for pipe in pipes.values():
        pipe.send(None)
    for process in processes:
        process.join(5)


async def _counted(act: Callable[[int, int, float], Awaitable[int]], port: int, origin_port: int, s: float) -> int:
    return await act(port, origin_port, s)


if __name__ == "__main__":
    main()
