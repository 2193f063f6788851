"""What it costs to know which program opened a connection, with 2,000 processes present.

    python -m bench.endpoint_identify [--quick]

Each row is a step of the ladder: a client of its own connects, and is asked for as the proxy asks (at once, then in a
thread).  ``named`` counts the connections whose process was found, ``wrong`` those with another one; what is neither
was given up as unknown.  The last row is how it is done without asking the kernel exactly: /proc/net/tcp for the
socket's number, then the descriptors of every process.  Needs root.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Generator, Iterator
from ipaddress import ip_address
from pathlib import Path

from bench.report import Row, print_rows, quantile
from steering.endpoint.identify.identity import Ends, Identity
from steering.endpoint.identify.linux import LinuxIdentifier
from steering.endpoint.identify.linux_bpf import cgroup_root, open_map
from steering.endpoint.identify.linux_diag import SockDiag
from steering.endpoint.identify.linux_events import open_events

PROCESSES = 2000
DESCRIPTORS = 20  # of each of them
HERE = ip_address("127.0.0.1")
CLIENT = """
import os, socket, sys
kept = [os.dup(0) for _ in range(20)]
while sys.stdin.readline():
    with socket.create_connection(("127.0.0.1", int(sys.argv[1]))):
        sys.stdin.readline()
"""


@contextlib.contextmanager
def crowd(number: int) -> Iterator[None]:
    """Other processes, each with its descriptors."""
    opened = " ".join(f"{n}</dev/null" for n in range(10, 10 + DESCRIPTORS))
    code = f"exec {opened}; i=0; while [ $i -lt {number} ]; do sleep 900 & i=$((i+1)); done; echo here; wait"
    shell = subprocess.Popen(["bash", "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert shell.stdout is not None
    try:
        shell.stdout.readline()
        yield
    finally:
        os.killpg(shell.pid, signal.SIGKILL)
        shell.stdout.close()
        shell.wait()


class Client:
    """A program that connects when it is told to."""

    def __init__(self, listener: socket.socket, group: Path | None = None) -> None:
        self._listener = listener
        command = [sys.executable, "-S", "-c", CLIENT, str(listener.getsockname()[1])]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE)
        self.pid = self._process.pid
        if group is not None:
            (group / "cgroup.procs").write_text(str(self.pid))

    @contextlib.contextmanager
    def connected(self) -> Iterator[Ends]:
        self._go_on()
        accepted, peer = self._listener.accept()
        with accepted:
            yield Ends(HERE, peer[1], HERE, self._listener.getsockname()[1])
            self._go_on()
            accepted.recv(1)

    def _go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        self._process.stdin.flush()

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def ladder(*, sees: bool) -> LinuxIdentifier:
    """With the socket map and process events, or without either."""
    if not sees:
        return LinuxIdentifier(SockDiag(), None, None)
    socket_map, no_map = open_map()
    events, no_events = open_events()
    if socket_map is None or events is None:
        raise SystemExit(f"this cannot be measured here: {no_map or no_events}")
    return LinuxIdentifier(SockDiag(), socket_map, events)


Asking = Callable[[Ends], Awaitable[int]]  # the process that was found, 0 for unknown


def by(identifier: LinuxIdentifier) -> Asking:
    async def ask(ends: Ends) -> int:
        found: Identity = identifier.fast(ends) or await identifier.full(ends)
        return 0 if found.unknown else found.pid

    return ask


async def by_proc_net(ends: Ends) -> int:
    """The road not taken."""
    inode = _inode(f"0100007F:{ends.local_port:04X}", f"0100007F:{ends.remote_port:04X}")
    for pid in sorted((int(name) for name in os.listdir("/proc") if name.isdigit()), reverse=True):  # noqa: PTH208
        with contextlib.suppress(OSError):
            for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208
                if os.readlink(f"/proc/{pid}/fd/{number}") == f"socket:[{inode}]":  # noqa: PTH115
                    return pid
    return 0


def _inode(local: str, remote: str) -> str:
    with Path("/proc/net/tcp").open() as table:
        for line in table:
            fields = line.split()
            if fields[1:3] == [local, remote]:
                return fields[9]
    return ""


async def measure(step: str, ask: Asking, clients: Generator[Client, None, None], rounds: int) -> Row:
    took, named, wrong = [], 0, 0
    with contextlib.closing(clients):
        for _ in range(rounds):
            client = next(clients)
            await asyncio.sleep(0)  # what happened meanwhile is taken in, as it is in an idle helper
            with client.connected() as ends:
                began = time.perf_counter_ns()
                pid = await ask(ends)
                took.append((time.perf_counter_ns() - began) / 1000)
            named += pid == client.pid
            wrong += pid not in (0, client.pid)
    return {
        "step": step,
        "p50_us": round(quantile(took, 0.5), 1),
        "p99_us": round(quantile(took, 0.99), 1),
        "connections": len(took),
        "named": named,
        "wrong": wrong,
    }


def again(client: Client) -> Generator[Client, None, None]:
    """Always the same."""
    while True:
        yield client


def new(listener: socket.socket, group: Path | None = None) -> Generator[Client, None, None]:
    """Always another one."""
    while True:
        client = Client(listener, group)
        try:
            yield client
        finally:
            client.close()


@contextlib.contextmanager
def control_group() -> Iterator[Path]:
    root = cgroup_root(Path("/proc/self/mounts").read_text())
    if root is None:
        raise SystemExit("this cannot be measured here: no control groups (version 2)")
    folder = root / f"steering-bench-{os.getpid()}"
    folder.mkdir()
    try:
        yield folder
    finally:
        deadline = time.monotonic() + 5
        while (folder / "cgroup.procs").read_text() and time.monotonic() < deadline:
            time.sleep(0.01)
        folder.rmdir()


async def rows(rounds: int) -> list[Row]:
    few = max(rounds // 50, 20)
    found: list[Row] = []
    with socket.create_server(("127.0.0.1", 0)) as listener, control_group() as group:
        oldest = Client(listener)
        sees, bare = ladder(sees=True), ladder(sees=False)
        sees.watch()
        with crowd(PROCESSES):
            known = Client(listener)
            found.append(await measure("socket map (eBPF), seen before", by(sees), again(known), rounds))
            found.append(await measure("socket map (eBPF), new process", by(sees), new(listener), few))
            found.append(await measure("no eBPF, seen before", by(bare), again(known), rounds))
            found.append(await measure("no eBPF, new, control group", by(bare), new(listener, group), few))
            found.append(await measure("no eBPF, new, scan", by(bare), new(listener), few))
            found.append(await measure("no eBPF, oldest of all, scan", by(bare), again(oldest), 1))
            found.append(await measure("/proc/net/tcp and all processes, new", by_proc_net, new(listener), few))
            found.append(await measure("/proc/net/tcp, oldest of all", by_proc_net, again(oldest), 5))
            known.close()
        oldest.close()
        sees.close()
        bare.close()
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="fewer connections")
    print_rows(asyncio.run(rows(1000 if options.parse_args().quick else 5000)))


if __name__ == "__main__":
    main()
