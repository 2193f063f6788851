"""Descriptors that are watched: told while asked for, silent when paused or closed, whoever has their number next."""

import asyncio
import select
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from steering.streams import readiness
from steering.streams.readiness import Watch, watch
from tests.kit import eventually


@pytest.fixture(params=["epoll", "the loop's own"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setattr(readiness, "_HAS_EPOLL", request.param == "epoll")
    return str(request.param)


@dataclass
class Told:
    """One end of a socket pair, watched: it reads and fills what it is told of."""

    sock: socket.socket
    watch: Watch
    got: bytes = b""
    readable: int = 0
    writable: int = 0
    ended: bool = False
    also: list[Callable[[], None]] = field(default_factory=list)

    def on_readable(self) -> None:
        self.readable += 1
        for act in self.also:
            act()
        piece = self.sock.recv(10)
        self.got += piece
        if not piece:
            self.ended = True
            self.watch.read(False)

    def on_writable(self) -> None:
        self.writable += 1


@contextmanager
def watched() -> Iterator[tuple[Told, socket.socket]]:
    near, far = socket.socketpair()
    near.setblocking(False)
    told = Told(near, watch(asyncio.get_running_loop(), near.fileno()))
    told.watch.on_readable, told.watch.on_writable = told.on_readable, told.on_writable
    try:
        yield told, far
    finally:
        told.watch.close()
        near.close()
        far.close()


async def turns(count: int = 5) -> None:
    """So many turns of the loop, in which nothing is expected."""
    for _ in range(count):
        await asyncio.sleep(0)


@pytest.mark.usefixtures("way")
async def test_it_tells_of_bytes_and_of_the_end_while_it_is_asked_to() -> None:
    with watched() as (told, far):
        far.send(b"before")
        await turns()
        assert told.readable == 0
        told.watch.read(True)
        await eventually(lambda: told.got == b"before")
        told.watch.read(False)
        far.send(b" after")
        await turns()
        assert told.got == b"before"
        told.watch.read(True)
        far.close()
        await eventually(lambda: told.ended)
        assert told.got == b"before after"


@pytest.mark.usefixtures("way")
async def test_it_tells_of_room_while_it_is_asked_to() -> None:
    with watched() as (told, far):
        told.watch.write(True)
        await eventually(lambda: told.writable > 0)
        told.watch.write(False)
        seen = told.writable
        await turns()
        assert (told.writable, told.readable) == (seen, 0)
        told.watch.read(True)
        told.watch.write(True)
        far.send(b"both")
        await eventually(lambda: told.got == b"both" and told.writable > seen)


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("writing", [False, True])
async def test_a_hang_up_that_nobody_asks_for_keeps_no_loop_busy(writing: bool) -> None:
    with watched() as (told, far):
        told.watch.read(True)
        far.send(b"x")
        await eventually(lambda: told.got == b"x")
        told.watch.read(False)
        far.close()
        told.watch.write(writing)
        await turns()
        seen = told.writable
        await turns()
        assert told.readable == 1 and (told.writable > seen) is writing
        told.watch.write(False)
        told.watch.read(True)
        await eventually(lambda: told.ended)


@pytest.mark.usefixtures("way")
async def test_one_that_is_closed_in_the_same_turn_is_silent_also_for_who_has_its_number_next() -> None:
    with watched() as (one, far_one), watched() as (other, far_other):
        numbers: list[int] = []
        later: list[socket.socket] = []

        def close_the_other(it: Told) -> None:
            if not later:
                numbers.append(it.sock.fileno())
                it.watch.close()
                it.sock.close()
                later.extend(socket.socketpair())

        one.also.append(lambda: close_the_other(other))
        other.also.append(lambda: close_the_other(one))
        far_one.send(b"1")
        far_other.send(b"2")
        one.watch.read(True)
        other.watch.read(True)
        await eventually(lambda: bool(later))
        await turns()
        assert one.readable + other.readable == 1
        assert numbers[0] in [sock.fileno() for sock in later]
        for sock in later:
            sock.close()


async def test_one_that_fails_keeps_nobody_waiting() -> None:
    """asyncio does the same for its own callbacks."""
    said: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(repr(context["exception"])))
    with watched() as (one, far_one), watched() as (other, far_other):

        def fail() -> None:
            one.watch.read(False)
            raise ValueError("a bug")

        one.also.append(fail)
        far_one.send(b"1")
        far_other.send(b"2")
        one.watch.read(True)
        other.watch.read(True)
        await eventually(lambda: other.got == b"2" and bool(said))
    assert said == ["ValueError('a bug')"]


async def test_more_than_one_turn_tells_of() -> None:
    both = [watched() for _ in range(300)]
    opened = [one.__enter__() for one in both]
    for told, far in opened:
        told.watch.read(True)
        far.send(b"x")
    await eventually(lambda: all(told.got == b"x" for told, _ in opened))
    for one in both:
        one.__exit__(None, None, None)


@dataclass
class Counted:
    """An epoll that counts what it is asked."""

    epoll: select.epoll = field(default_factory=select.epoll)
    calls: list[str] = field(default_factory=list)

    def fileno(self) -> int:
        return self.epoll.fileno()

    def poll(self, timeout: float, most: int) -> list[tuple[int, int]]:
        return self.epoll.poll(timeout, most)

    def register(self, fd: int, events: int) -> None:
        self.calls.append(f"+{events}")
        self.epoll.register(fd, events)

    def modify(self, fd: int, events: int) -> None:
        self.calls.append(f"={events}")
        self.epoll.modify(fd, events)

    def unregister(self, fd: int) -> None:
        self.calls.append("-")
        self.epoll.unregister(fd)


async def test_what_it_costs(monkeypatch: pytest.MonkeyPatch) -> None:
    """One call for a connection that is read, none for a pause in which nothing comes."""
    made: list[Counted] = []

    def counted() -> Counted:
        made.append(Counted())
        return made[-1]

    monkeypatch.setattr(select, "epoll", counted)
    loop = asyncio.get_running_loop()
    with watched() as (told, far):
        calls = made[0].calls
        told.watch.read(True)
        told.watch.read(False)
        told.watch.read(True)
        assert calls == ["+1"]
        told.watch.read(False)
        far.send(b"x")
        await eventually(lambda: calls == ["+1", "-"])
        told.watch.write(True)
        told.watch.read(True)
        told.watch.write(False)
        await eventually(lambda: told.got == b"x")
        assert calls == ["+1", "-", "+4", "=5", "=1"]
    assert calls[5:] == ["-"]
    loop.remove_reader(made[0].fileno())
    made[0].epoll.close()


async def test_a_loop_has_one_epoll() -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    with watched(), watched(), watched():
        assert count() == before + 7
