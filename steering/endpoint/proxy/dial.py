"""Connecting to the origin of a bypassed name, at an address that the helper itself resolved for that name."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from itertools import zip_longest

from steering.endpoint.marking import mark
from steering.endpoint.settings import Limits
from steering.policy import Host
from steering.policy.hosts import Address
from steering.streams.dialling import dialled

Resolve = Callable[[str], Awaitable[Sequence[Address]]]
LOOKUPS = 32


class DialError(Exception):
    """reason: for the access line."""

    def __init__(self, reason: str, why: str) -> None:
        super().__init__(why)
        self.reason = reason


class SystemResolver:
    """A ``Resolve`` by the system's resolver, in its order of preference.

    With threads of its own: a name server that does not answer holds one for many seconds, and the event loop's few
    would soon be gone (uvloop has four).  Whoever asks for a name that is being asked for waits for that answer.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(LOOKUPS, thread_name_prefix="resolve")
        self._asked: dict[str, asyncio.Future[Sequence[Address]]] = {}

    async def __call__(self, name: str) -> Sequence[Address]:
        """Raises DialError."""
        asked = self._asked.get(name)
        if asked is None:
            asked = asyncio.get_running_loop().run_in_executor(self._pool, _look_up, name)
            self._asked[name] = asked
            asked.add_done_callback(lambda done: self._answered(name, done))
        try:
            return await asyncio.shield(asked)
        except (OSError, UnicodeError) as exc:
            raise DialError("no-address", f"its address could not be found: {exc}") from exc

    def _answered(self, name: str, done: "asyncio.Future[Sequence[Address]]") -> None:
        del self._asked[name]
        if not done.cancelled():
            done.exception()  # looked at, also where everybody has gone

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)


def _look_up(name: str) -> Sequence[Address]:
    found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(ip_address(where[0]) for *_, where in found))


async def addresses_of(host: Host, resolve: Resolve) -> Sequence[Address]:
    """Raises DialError."""
    if host.address is not None:
        return (host.address,)
    if host.numeric:
        raise DialError("no-address", "a name that ends in a number is an address in an old notation, or nothing")
    return await resolve(host.text)


async def connect(addresses: Sequence[Address], port: int, limits: Limits) -> socket.socket:
    """A connected, non-blocking socket: the first address that answers, each tried a moment after the one before.

    RFC 8305 in short.  Raises DialError.
    """
    if len(addresses) == 1:
        try:
            return await _attempt(addresses[0], port, limits.mark)
        except OSError as exc:
            raise _unreachable(exc) from exc
    waiting = by_turns(addresses)
    attempts: set[asyncio.Task[socket.socket]] = set()
    last: BaseException | None = None
    try:
        while waiting or attempts:
            if waiting:
                attempts.add(asyncio.ensure_future(_attempt(waiting.pop(0), port, limits.mark)))
            done, _ = await asyncio.wait(
                attempts, timeout=limits.attempt_s if waiting else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                attempts.discard(task)
                last = task.exception()
                if last is None:
                    attempts |= done - {task}
                    return task.result()
    finally:
        for task in attempts:
            task.cancel()
            task.add_done_callback(_close_spare)
    raise _unreachable(last)


def by_turns(addresses: Sequence[Address]) -> list[Address]:
    """RFC 8305 4: the families by turns, so that a broken one costs one attempt.  The first stays the first."""
    versions = dict.fromkeys(address.version for address in addresses)
    families = [[address for address in addresses if address.version == version] for version in versions]
    return [address for turn in zip_longest(*families) for address in turn if address is not None]


def _close_spare(task: "asyncio.Task[socket.socket]") -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()


def _unreachable(last: BaseException | None) -> DialError:
    why = getattr(last, "strerror", None) or last or "it has no address"
    return DialError("unreachable", f"it cannot be reached: {why}")


async def _attempt(address: Address, port: int, own_mark: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET if address.version == 4 else socket.AF_INET6, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        mark(sock, own_mark)
        await dialled(asyncio.get_running_loop(), sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return sock
