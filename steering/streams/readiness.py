"""HOT PATH.  Which descriptors can be read or written: one epoll of our own inside the event loop.

An event loop is asked to watch one descriptor, the epoll, and what that says is told directly to who is concerned.
uvloop's ``add_reader`` with ``remove_reader`` costs eight system calls a connection and a handle for each callback;
here a connection costs one to be watched and none to be paused and resumed again: a reader that pauses is taken out
only when something comes for it.  Where there is no epoll (macOS, Windows) the loop's own way does the same.
"""

import select
from asyncio import AbstractEventLoop, get_running_loop
from collections.abc import Callable
from typing import Protocol
from weakref import WeakKeyDictionary

_MOST = 256  # descriptors told of in one turn of the loop
IN, OUT = 1, 4
_NOT_OUT, _NOT_IN = ~OUT, ~IN  # an error or a hang-up is told to whoever watches


def _unwatched() -> None:
    """Nobody is told."""


class Watch(Protocol):
    """One descriptor, of which ``on_readable`` and ``on_writable`` are told while it is asked for.

    A watch must be closed before its descriptor is.
    """

    on_readable: Callable[[], None]
    on_writable: Callable[[], None]

    def read(self, on: bool) -> None: ...

    def write(self, on: bool) -> None: ...

    def close(self) -> None: ...


class _Epolled:
    """armed: the events that the epoll tells of; 0: the descriptor is not in it."""

    __slots__ = ("_armed", "_epoll", "_fd", "_reading", "_writing", "on_readable", "on_writable")

    def __init__(self, epoll: "Epoll", fd: int) -> None:
        self._epoll = epoll
        self._fd = fd
        self._armed = 0
        self._reading = False
        self._writing = False
        self.on_readable: Callable[[], None] = _unwatched
        self.on_writable: Callable[[], None] = _unwatched

    def read(self, on: bool) -> None:
        self._reading = on
        if on and not self._armed & IN:
            self._arm()

    def write(self, on: bool) -> None:
        self._writing = on
        if bool(self._armed & OUT) is not on:
            self._arm()

    def close(self) -> None:
        self._reading = self._writing = False
        if self._armed:
            self._arm()
        # A bound method would keep its object, and that object this watch.
        self.on_readable = self.on_writable = _unwatched

    def _arm(self) -> None:
        wanted = (IN if self._reading else 0) | (OUT if self._writing else 0)
        self._epoll.arm(self._fd, self, self._armed, wanted)
        self._armed = wanted

    def tell(self, events: int) -> None:
        if self._reading:
            if events & _NOT_OUT:
                self.on_readable()
        elif self._armed and (self._armed & IN or not self._writing):
            self._arm()
        if self._writing and events & _NOT_IN:
            self.on_writable()


class Epoll:
    """The watches of one event loop."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watches: dict[int, _Epolled] = {}
        self.fileno = self._epoll.fileno

    def watch(self, fd: int) -> _Epolled:
        return _Epolled(self, fd)

    def arm(self, fd: int, watch: _Epolled, armed: int, wanted: int) -> None:
        if not armed:
            self._epoll.register(fd, wanted)
            self._watches[fd] = watch
        elif wanted:
            self._epoll.modify(fd, wanted)
        else:
            self._epoll.unregister(fd)
            del self._watches[fd]

    def turn(self) -> None:
        """Tell of everything that is ready now."""
        watches = self._watches
        ready = [(watches[fd], events) for fd, events in self._epoll.poll(0, _MOST)]
        for watch, events in ready:  # one that is closed meanwhile has become silent, whoever has its number now
            try:
                watch.tell(events)
            except Exception as exc:  # one connection's fault must not keep the others waiting
                get_running_loop().call_exception_handler({"message": "a connection failed", "exception": exc})


class _Looped:
    """As ``_Epolled``, by the loop's own means."""

    __slots__ = ("_fd", "_loop", "_reading", "_writing", "on_readable", "on_writable")

    def __init__(self, loop: AbstractEventLoop, fd: int) -> None:
        self._loop = loop
        self._fd = fd
        self._reading = False
        self._writing = False
        self.on_readable: Callable[[], None] = _unwatched
        self.on_writable: Callable[[], None] = _unwatched

    def read(self, on: bool) -> None:
        if on and not self._reading:
            self._loop.add_reader(self._fd, self.on_readable)
        elif self._reading and not on:
            self._loop.remove_reader(self._fd)
        self._reading = on

    def write(self, on: bool) -> None:
        if on and not self._writing:
            self._loop.add_writer(self._fd, self.on_writable)
        elif self._writing and not on:
            self._loop.remove_writer(self._fd)
        self._writing = on

    def close(self) -> None:
        self.read(False)
        self.write(False)
        self.on_readable = self.on_writable = _unwatched


_HAS_EPOLL = hasattr(select, "epoll")
_of_loop: WeakKeyDictionary[AbstractEventLoop, Epoll] = WeakKeyDictionary()


def watch(loop: AbstractEventLoop, fd: int) -> Watch:
    """A watch of ``fd`` that asks for nothing yet; set its callbacks before it does."""
    if not _HAS_EPOLL:
        return _Looped(loop, fd)
    epoll = _of_loop.get(loop)
    if epoll is None:
        epoll = _of_loop[loop] = Epoll()
        loop.add_reader(epoll.fileno(), epoll.turn)
    return epoll.watch(fd)
