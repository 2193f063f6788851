"""A network of our own: loopback, the addresses we give it, and a resolv.conf that the rest of the machine never sees.

A thread enters a network and a mount namespace of its own (``unshare(2)`` acts on the calling thread) and runs an
event loop there.  What the loop opens, listens on or starts is inside; the rest of the test process stays outside.
So ports 53, 80 and 443 are free, nothing leaves the machine, and browsers resolve as on a real client.
"""

import asyncio
import ctypes
import os
import subprocess
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_CLONE_NEWNS, _CLONE_NEWNET = 0x00020000, 0x40000000


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A command that has ended.  err: what it said of itself."""

    code: int
    out: str
    err: str


class Namespace:
    """Use ``with``.  addresses: given to the loopback interface.  files: laid over those of this machine."""

    def __init__(self, addresses: Sequence[str] = (), files: Mapping[Path, Path] | None = None) -> None:
        self._addresses = addresses
        self._files = files or {}
        self._loop = asyncio.new_event_loop()
        self._entered: Future[None] = Future()
        self._thread = threading.Thread(target=self._live, name="namespace", daemon=True)

    def __enter__(self) -> "Namespace":
        self._thread.start()
        self._entered.result()
        return self

    def __exit__(self, *exc: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _live(self) -> None:
        try:
            self._enter()
        except BaseException as exc:
            self._entered.set_exception(exc)
            return
        self._entered.set_result(None)
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()
        self._loop.run_until_complete(self._loop.shutdown_default_executor())
        self._loop.close()

    def _enter(self) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_CLONE_NEWNS | _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "unshare")
        _do("mount", "--make-rprivate", "/")
        for target, source in self._files.items():
            _do("mount", "--bind", str(source), str(target))
        _do("ip", "link", "set", "lo", "up")
        for address in self._addresses:
            # Without looking for others that have it: an IPv6 address could not be bound meanwhile.
            _do("ip", "address", "add", address, "dev", "lo", *(["nodad"] if ":" in address else []))

    @property
    def network(self) -> Path:
        """The network namespace, for ``ip link set ... netns``."""

        async def thread() -> int:
            return threading.get_native_id()

        return Path(f"/proc/{os.getpid()}/task/{self.run(thread())}/ns/net")

    def run(self, work: Awaitable[T], within_s: float = 60) -> T:
        """Run ``work`` inside and wait for its result."""

        async def bounded() -> T:
            async with asyncio.timeout(within_s):
                return await work

        return asyncio.run_coroutine_threadsafe(bounded(), self._loop).result()

    def call(self, function: Callable[[], T], within_s: float = 90) -> T:
        """``function()`` in a thread that is inside."""
        return self.run(asyncio.to_thread(function), within_s)

    @contextmanager
    def holding(self, manager: AbstractAsyncContextManager[T], within_s: float = 90) -> Iterator[T]:
        """``async with manager`` inside, for a block outside."""
        value = self.run(manager.__aenter__(), within_s)
        try:
            yield value
        finally:
            self.run(manager.__aexit__(None, None, None), within_s)

    def command(
        self,
        *arguments: str | Path,
        given: bytes = b"",
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
        within_s: float = 60,
    ) -> Ended:
        """Run a program inside, without this machine's proxy settings, until it ends."""
        environment = {**_unproxied(), **(environment or {})}
        return self.run(_execute([str(argument) for argument in arguments], given, folder, environment), within_s)


def _unproxied() -> dict[str, str]:
    """This process' environment without what sends programs elsewhere."""
    return {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


def _do(*command: str) -> None:
    subprocess.run(command, check=True)


async def _execute(
    arguments: Sequence[str], given: bytes, folder: Path | None, environment: Mapping[str, str]
) -> Ended:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *arguments, stdin=pipe, stdout=pipe, stderr=pipe, cwd=folder, env=environment
    )
    try:
        out, err = await process.communicate(given)
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    return Ended(code=process.returncode or 0, out=out.decode(errors="replace"), err=err.decode(errors="replace"))
