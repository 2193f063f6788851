"""Starts the workers, keeps them alive on the same sockets, and sends every one the policy in force."""

import asyncio
import contextlib
import json
import os
import pickle
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from steering.control.channel import MAX_REPORT, Channel, Kind
from steering.control.device_authority import ServerIdentity
from steering.control.endpoint_tls import EndpointTls
from steering.control.points import GAUGES
from steering.control.worker import Setup, dump_authority
from steering.policy import Policy
from steering.policy.transfer import dump
from steering.process.logs import logger
from steering_inspector.authority import Authority

BACK_OFF_S = (0.1, 0.5, 2.0, 5.0, 15.0)
START_S = 60.0
STEADY_S = 30.0  # alive for so long, a worker's failures are forgotten


@dataclass(slots=True)
class _Running:
    """One worker's process and what it last said."""

    number: int
    process: asyncio.subprocess.Process
    channel: Channel
    started_at: float
    revision: str = ""
    counters: dict[str, dict[str, int]] = field(default_factory=dict)
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()


class Supervisor:
    """All workers of one service."""

    def __init__(self, setups: Sequence[Setup]) -> None:
        self._setups = setups
        self._running: dict[int, _Running] = {}
        self._pieces: list[bytes] = []
        self._revision = ""
        self._authority = b""
        self._endpoint_tls = b""
        self._dns_identity = b""
        self._revoked = b"[]"
        self._changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: Counter[str] = Counter()  # what ended workers had counted
        self._stopping = False
        self.restarts = 0
        self._log = logger("supervisor")

    async def start(self, policy: Policy, authority: Authority | None) -> None:
        """Start every worker and wait until each enforces ``policy``.  Raises TimeoutError."""
        self._authority = dump_authority(authority)
        await self._take(policy)
        for setup in self._setups:
            self._keep(asyncio.create_task(self._look_after(setup)))
        async with asyncio.timeout(START_S):
            await self._wait_for(lambda: self.alive == len(self._setups))

    async def publish(self, policy: Policy, timeout_s: float = 30.0) -> None:
        """Send ``policy`` to every worker; on return no worker enforces another one.

        A worker that does not take it in time is ended, as one that would go on enforcing what was withdrawn; the
        one that takes its place begins with ``policy``.
        """
        if policy.revision == self._revision and self.alive == len(self._setups):
            return
        await self._take(policy)
        try:
            async with asyncio.timeout(timeout_s):
                await asyncio.gather(*(self._send_policy(worker) for worker in list(self._running.values())))
                await self._wait_for(self._none_is_behind)
        except TimeoutError:
            for worker in self._running.values():
                if worker.revision != self._revision:
                    self._log.error("a worker did not take the policy in time, ending it", worker=worker.number)
                    worker.end()

    async def replace_authority(self, authority: Authority | None) -> None:
        self._authority = dump_authority(authority)
        await self._send_all(Kind.AUTHORITY, self._authority)

    async def replace_endpoint_tls(self, tls: EndpointTls) -> None:
        """What the inspector's listener for helpers shows from now on; before ``start`` also the first."""
        self._endpoint_tls = pickle.dumps(tls)
        await self._send_all(Kind.ENDPOINT_TLS, self._endpoint_tls)

    async def replace_dns_identity(self, identity: ServerIdentity) -> None:
        """What the resolver shows over TLS and HTTPS from now on; before ``start`` also the first."""
        self._dns_identity = pickle.dumps(identity)
        await self._send_all(Kind.DNS_TLS, self._dns_identity)

    async def replace_revoked(self, device_ids: frozenset[str]) -> None:
        """The devices that no inspector listens to any more."""
        self._revoked = json.dumps(sorted(device_ids)).encode()
        await self._send_all(Kind.REVOKED, self._revoked)

    async def _send_all(self, kind: Kind, body: bytes) -> None:
        """At once to all: one that is stuck keeps nothing from the others."""

        async def send(worker: _Running) -> None:
            with contextlib.suppress(ConnectionError):
                async with worker.sending:
                    await worker.channel.send(kind, body)

        await asyncio.gather(*map(send, list(self._running.values())))

    def counters(self) -> dict[str, int]:
        """Everything counted since the start, over all workers, as "point:what"."""
        total = Counter(self._ended)
        for worker in self._running.values():
            total.update(_flat(worker.counters))
        return dict(total)

    @property
    def alive(self) -> int:
        return sum(worker.revision == self._revision for worker in self._running.values())

    @property
    def serving(self) -> bool:
        """Whether some worker enforces a policy, be it the one before; or there is nothing that needs one."""
        return not self._setups or any(worker.revision for worker in self._running.values())

    async def stop(self, drain_s: float) -> None:
        """Tell the workers to finish, wait, and end those that do not."""
        self._stopping = True
        for worker in list(self._running.values()):
            with contextlib.suppress(ConnectionError):
                await worker.channel.send(Kind.DRAIN, str(drain_s).encode())
        for worker in list(self._running.values()):
            try:
                async with asyncio.timeout(drain_s + 5):
                    await worker.process.wait()
            except TimeoutError:
                self._log.error("a worker did not end in time", worker=worker.number)
                worker.end()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _take(self, policy: Policy) -> None:
        self._pieces = await asyncio.to_thread(lambda: list(dump(policy)))
        self._revision = policy.revision

    def _none_is_behind(self) -> bool:
        """Also of those that are starting; one that has ended enforces nothing."""
        return all(worker.revision == self._revision for worker in self._running.values())

    async def _wait_for(self, condition: Callable[[], bool]) -> None:
        async with self._changed:
            await self._changed.wait_for(condition)

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _look_after(self, setup: Setup) -> None:
        failures = 0
        while not self._stopping:
            try:
                worker = await self._spawn(setup)
            except OSError as exc:  # no more processes, descriptors or memory; there may be again
                self._log.error("a worker cannot be started", worker=setup.number, error=str(exc))
                await asyncio.sleep(BACK_OFF_S[-2])
                continue
            await self._listen_to(worker)
            code = await worker.process.wait()
            self._ended.update({k: n for k, n in _flat(worker.counters).items() if k.partition(":")[2] not in GAUGES})
            async with self._changed:
                self._running.pop(setup.number, None)
                self._changed.notify_all()
            if self._stopping:
                return
            steady = time.monotonic() - worker.started_at > STEADY_S
            failures = 0 if steady else failures + 1
            pause_s = BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1] if failures else BACK_OFF_S[0]
            self.restarts += 1
            self._log.error("a worker ended, starting it again", worker=setup.number, code=code, pause_s=pause_s)
            await asyncio.sleep(pause_s)

    async def _spawn(self, setup: Setup) -> _Running:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        try:
            process = await _start(setup, theirs)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        worker = _Running(setup.number, process, await Channel.over(ours), time.monotonic())
        self._running[setup.number] = worker
        try:
            await worker.channel.send(Kind.SETUP, pickle.dumps(setup))
            await worker.channel.send(Kind.AUTHORITY, self._authority)
            await worker.channel.send(Kind.REVOKED, self._revoked)
            if self._dns_identity:
                await worker.channel.send(Kind.DNS_TLS, self._dns_identity)
            if self._endpoint_tls:
                await worker.channel.send(Kind.ENDPOINT_TLS, self._endpoint_tls)
        except ConnectionError:
            return worker
        await self._send_policy(worker)
        return worker

    async def _send_policy(self, worker: _Running) -> None:
        # One policy at a time: the pieces of two must not mix.
        with contextlib.suppress(ConnectionError):
            async with worker.sending:
                for piece in list(self._pieces):
                    await worker.channel.send(Kind.PIECE, piece)

    async def _listen_to(self, worker: _Running) -> None:
        while True:
            try:
                _, body = await worker.channel.receive(MAX_REPORT)
                report = json.loads(body)
            except (EOFError, ValueError):
                worker.channel.close()
                return
            if "counters" in report:
                worker.counters = report["counters"]
            if "revision" in report:
                async with self._changed:
                    worker.revision = str(report["revision"])
                    self._changed.notify_all()


async def _start(setup: Setup, theirs: socket.socket) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # not from the working folder, whatever lies there
        "-m",
        "steering.control.worker",
        str(theirs.fileno()),
        pass_fds=[theirs.fileno(), *(fd for fds in setup.descriptors.values() for fd in fds)],
        stdin=asyncio.subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # from where we are imported
    )


def _flat(counters: dict[str, dict[str, int]]) -> dict[str, int]:
    return {f"{point}:{what}": int(n) for point, counted in counters.items() for what, n in counted.items()}
