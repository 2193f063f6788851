"""Connecting and waiting without asyncio's own calls."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from steering.streams.dialling import dialled, readable, writable

HERE = "127.0.0.1"


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as sock:
        sock.setblocking(False)
        yield sock


async def test_it_is_connected(sock: socket.socket) -> None:
    with socket.create_server((HERE, 0)) as listener:
        await dialled(asyncio.get_running_loop(), sock, listener.getsockname())
        accepted, peer = listener.accept()
        with accepted:
            assert peer == sock.getsockname()


async def test_who_refuses_is_said_to(sock: socket.socket) -> None:
    with socket.create_server((HERE, 0)) as listener:
        where = listener.getsockname()
    with pytest.raises(ConnectionRefusedError):
        await dialled(asyncio.get_running_loop(), sock, where)


class Slow(socket.socket):
    """A network far away: connecting goes on while it is asked; what comes of it is told later."""

    def connect(self, address: tuple[str, int]) -> None:  # type: ignore[override]  # the one form that is used
        super().connect(address)
        raise BlockingIOError


async def test_what_takes_a_while_is_waited_for() -> None:
    loop = asyncio.get_running_loop()
    with socket.create_server((HERE, 0)) as listener, Slow() as sock:
        sock.setblocking(False)
        await dialled(loop, sock, listener.getsockname())
        assert sock.getpeername() == listener.getsockname()


class SlowlyRefused(Slow):
    def getsockopt(self, *asked: int) -> int:  # type: ignore[override]  # of its three forms the one that is used
        assert asked == (socket.SOL_SOCKET, socket.SO_ERROR)
        return 111 if super().getsockopt(*asked) == 0 else 0


async def test_a_refusal_that_takes_a_while_is_an_error() -> None:
    with (
        socket.create_server((HERE, 0)) as listener,
        SlowlyRefused() as sock,
        pytest.raises(ConnectionRefusedError, match="refused"),
    ):
        sock.setblocking(False)
        await dialled(asyncio.get_running_loop(), sock, listener.getsockname())


async def test_waiting_ends_when_there_is_something_and_when_it_is_given_up() -> None:
    loop = asyncio.get_running_loop()
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        await writable(loop, one)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await readable(loop, one)
        other.send(b"!")
        await readable(loop, one)
        assert one.recv(2) == b"!"
        assert not loop.remove_reader(one)  # nothing is left behind
        assert not loop.remove_writer(one)
