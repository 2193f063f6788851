"""HOT PATH.  A TCP connection to the first address that answers (RFC 8305), by callbacks.

Each next address is tried when one has failed, or has not answered within STAGGER_S: a family that leads nowhere costs
a moment, not a timeout.  No task, no future, and ``connect`` is called here: uvloop's ``sock_connect`` looks every
address up in a thread first, four system calls between threads and two turns of the loop for each connection.
"""

from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable
from errno import EINPROGRESS
from itertools import zip_longest
from os import strerror
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SO_ERROR, SOCK_STREAM, SOL_SOCKET, TCP_NODELAY, socket

from steering.policy.hosts import Address
from steering.streams.readiness import Watch, watch

STAGGER_S = 0.25

OnConnected = Callable[[socket, Address], None]
OnFailed = Callable[[Exception], None]


class _Attempt:
    """One address that is being tried."""

    __slots__ = ("_race", "_watch", "address", "sock", "until")

    def __init__(self, race: "Race", sock: socket, address: Address, watched: Watch, until: float) -> None:
        self._race = race
        self._watch = watched
        self.sock = sock
        self.address = address
        self.until = until
        watched.on_writable = self._on_answer
        watched.write(True)

    def _on_answer(self) -> None:
        error = self.sock.getsockopt(SOL_SOCKET, SO_ERROR)
        self._watch.close()
        self._race.answered(self, OSError(error, strerror(error)) if error else None)

    def drop(self) -> None:
        self._watch.close()
        self.sock.close()


class Race:
    """Tries ``addresses``; tells once, of a connection or of the last error, be it before ``start`` returns.

    timeout_s: for each address.
    """

    __slots__ = (
        "_error",
        "_loop",
        "_on_connected",
        "_on_failed",
        "_port",
        "_timeout_s",
        "_timer",
        "_trying",
        "_waiting",
    )

    def __init__(
        self,
        loop: AbstractEventLoop,
        addresses: list[Address],
        port: int,
        timeout_s: float,
        on_connected: OnConnected,
        on_failed: OnFailed,
    ) -> None:
        self._loop = loop
        self._waiting = addresses[::-1]
        self._port = port
        self._timeout_s = timeout_s
        self._on_connected = on_connected
        self._on_failed = on_failed
        self._trying: list[_Attempt] = []
        self._timer: TimerHandle | None = None
        self._error: Exception = TimeoutError()

    def start(self) -> None:
        """Try the next address; where none is left, wait for those that are being tried."""
        while self._waiting:
            address = self._waiting.pop()
            try:
                sock = _connecting(address, self._port)
            except OSError as exc:
                self._error = exc
                continue
            until = self._loop.time() + self._timeout_s
            self._trying.append(_Attempt(self, sock, address, watch(self._loop, sock.fileno()), until))
            break
        if self._trying:
            self._wait()
        else:
            self.cancel()
            self._on_failed(self._error)

    def _wait(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        until = min(attempt.until for attempt in self._trying)
        if self._waiting:
            until = min(until, self._loop.time() + STAGGER_S)
        self._timer = self._loop.call_at(until, self._late)

    def _late(self) -> None:
        """Whoever is too late is dropped, and the next one has its turn."""
        self._timer = None
        now = self._loop.time()
        for attempt in [one for one in self._trying if one.until <= now]:
            self._trying.remove(attempt)
            attempt.drop()
            self._error = TimeoutError()
        self.start()

    def answered(self, attempt: _Attempt, error: OSError | None) -> None:
        self._trying.remove(attempt)
        if error is None:
            self.cancel()
            self._on_connected(attempt.sock, attempt.address)
        else:
            attempt.sock.close()
            self._error = error
            self.start()

    def cancel(self) -> None:
        """Try no more, and tell of nothing."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for attempt in self._trying:
            attempt.drop()
        self._trying.clear()
        self._waiting.clear()


def _connecting(address: Address, port: int) -> socket:
    sock = socket(AF_INET if address.version == 4 else AF_INET6, SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
    error = sock.connect_ex((str(address), port))
    if error not in (0, EINPROGRESS):
        sock.close()
        raise OSError(error, strerror(error))
    return sock


def by_turns(addresses: list[Address]) -> list[Address]:
    """The families alternating, in the order given otherwise."""
    first = [address for address in addresses if address.version == addresses[0].version]
    if len(first) == len(addresses):
        return addresses
    second = [address for address in addresses if address.version != addresses[0].version]
    return [address for pair in zip_longest(first, second) for address in pair if address is not None]
