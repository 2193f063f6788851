"""Has PACs made by a process of its own (``pacmaker``), one policy after the other, and outlives what befalls it."""

import asyncio
import contextlib
import os
import pickle
import socket
import sys
from dataclasses import dataclass

from steering.control.channel import Channel, Kind
from steering.control.pacmaker import DEADLINE_S, job_of
from steering.pac.errors import PacError
from steering.pac.publish import PacSet, PacSettings
from steering.policy import Policy

LARGE_BYTES = (
    256 << 10
)  # some 10,000 names: what a larger job has taken goes back to the system with its process, and the next finds another


@dataclass(slots=True)
class _Maker:
    process: asyncio.subprocess.Process
    channel: Channel


class PacMaking:
    """One process at most.  It is started beforehand (``warm``), or by the first that asks."""

    def __init__(self, settings: PacSettings, deadline_s: float = DEADLINE_S) -> None:
        self._settings = settings
        self._deadline_s = deadline_s
        self._maker: _Maker | None = None
        self._busy = asyncio.Lock()
        self._exchanges: set[asyncio.Task[PacSet]] = set()

    async def warm(self) -> None:
        """Start the process now, so that the first change need not wait for it."""
        async with self._busy:
            with contextlib.suppress(OSError):  # there may be memory again when there is something to make
                await self._running()

    async def make(self, policy: Policy, at: float) -> PacSet:
        """The PACs of ``policy`` at the instant ``at``.  Raises PacError.

        Who goes away while it is his turn leaves the work to be finished: the answer must not become the next one's.
        """
        await self._busy.acquire()
        exchange = asyncio.create_task(self._exchange(policy, at))
        self._exchanges.add(exchange)
        exchange.add_done_callback(self._ended)
        return await asyncio.shield(exchange)

    async def close(self) -> None:
        for exchange in self._exchanges:
            exchange.cancel()
        await asyncio.gather(*self._exchanges, return_exceptions=True)
        if self._maker is not None:
            await self._end(self._maker)

    def _ended(self, exchange: asyncio.Task[PacSet]) -> None:
        self._exchanges.discard(exchange)
        self._busy.release()
        if not exchange.cancelled():
            exchange.exception()  # seen, also where nobody waits any more

    async def _exchange(self, policy: Policy, at: float) -> PacSet:
        body = await asyncio.to_thread(lambda: pickle.dumps(job_of(policy, at, self._settings)))
        try:
            async with asyncio.timeout(self._deadline_s):
                try:
                    kind, answer = await self._answer(body)
                except (EOFError, ConnectionError):  # killed, for lack of memory perhaps: that may be over
                    kind, answer = await self._answer(body)
        except TimeoutError as exc:
            raise PacError(f"the PACs were not made within {self._deadline_s:.0f} s") from exc
        except (EOFError, ConnectionError, ValueError) as exc:
            raise PacError("the process that makes PACs ended before they were made") from exc
        except OSError as exc:
            raise PacError(f"the process that makes PACs cannot be started: {exc}") from exc
        if kind is not Kind.PACS:
            raise PacError(answer.decode("utf-8", "replace"))
        pacs: PacSet = pickle.loads(answer)  # noqa: S301  # from our own process (channel)
        return pacs

    async def _answer(self, body: bytes) -> tuple[Kind, bytes]:
        maker = await self._running()
        try:
            await maker.channel.send(Kind.PAC_JOB, body)
            found = await maker.channel.receive()
        except BaseException:  # whatever came of it, its answer must not become that to the next job
            await self._end(maker)
            raise
        if len(body) > LARGE_BYTES:
            await self._end(maker)
            with contextlib.suppress(OSError):
                await self._running()
        return found

    async def _running(self) -> _Maker:
        if self._maker is not None and self._maker.channel.ended:
            await self._end(self._maker)
        if self._maker is None:
            self._maker = await _start()
        return self._maker

    async def _end(self, maker: _Maker) -> None:
        self._maker = None
        maker.channel.close()
        with contextlib.suppress(ProcessLookupError):
            maker.process.kill()
        await maker.process.wait()


async def _start() -> _Maker:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    try:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # not from the working folder, whatever lies there
            "-m",
            "steering.control.pacmaker",
            str(theirs.fileno()),
            pass_fds=[theirs.fileno()],
            stdin=asyncio.subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},  # from where we are imported
        )
    except BaseException:
        ours.close()
        raise
    finally:
        theirs.close()
    try:
        return _Maker(process, await Channel.over(ours))
    except BaseException:
        ours.close()  # which ends the process
        raise
