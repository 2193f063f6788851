"""Races between the addresses of a name: who is tried when, who wins, and that nothing is left behind."""

import asyncio
import gc
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest

from steering.policy.hosts import Address
from steering_inspector import dialling
from steering_inspector.dialling import Race, by_turns
from tests.kit import free_port

REFUSING = "127.0.0.3"


def addresses(*texts: str) -> list[Address]:
    return [ip_address(text) for text in texts]


async def race(port: int, *texts: str, timeout_s: float = 20) -> str:
    """Who won, or how it failed."""
    done: asyncio.Future[tuple[socket.socket, Address]] = asyncio.get_running_loop().create_future()
    racing = Race(
        asyncio.get_running_loop(),
        addresses(*texts),
        port,
        timeout_s,
        lambda *won: done.set_result(won),
        done.set_exception,
    )
    racing.start()
    try:
        sock, address = await done
    except OSError as exc:
        return type(exc).__name__
    assert sock.getpeername() == (str(address), port)
    assert not sock.getblocking() and sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    sock.close()
    return str(address)


@contextmanager
def listening(port: int = 0) -> Iterator[int]:
    """127.0.0.1 answers on the port: the kernel does, nobody accepts."""
    with socket.create_server(("127.0.0.1", port)) as server:
        yield int(server.getsockname()[1])


@contextmanager
def one_silent() -> Iterator[int]:
    """A port on which 127.0.0.1 answers, and 127.0.0.4, whose queue is full, says nothing."""
    with socket.socket() as full:
        full.bind(("127.0.0.4", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.4", port))
        with listening(port):
            yield port
        for filler in fillers:
            filler.close()


@pytest.mark.parametrize(
    ("tried", "won"),
    [
        (("127.0.0.1",), "127.0.0.1"),
        ((REFUSING, "127.0.0.1"), "127.0.0.1"),
        (("127.0.0.1", REFUSING), "127.0.0.1"),
        ((REFUSING, REFUSING), "ConnectionRefusedError"),
        ((), "TimeoutError"),
        (("255.255.255.255", "127.0.0.1"), "127.0.0.1"),  # refused by connect itself
        (("255.255.255.255",), "OSError"),
    ],
)
async def test_the_first_that_answers_wins(tried: tuple[str, ...], won: str) -> None:
    with listening() as port:
        found = await race(port, *tried)
    assert found == won or (won == "OSError" and found.endswith("Error"))


async def test_one_that_does_not_answer_costs_a_moment_only() -> None:
    with one_silent() as port:
        assert await race(port, "127.0.0.4", "127.0.0.1", timeout_s=30) == "127.0.0.1"


async def test_one_that_does_not_answer_in_time_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "STAGGER_S", 30.0)
    with one_silent() as port:
        assert await race(port, "127.0.0.4", timeout_s=0.05) == "TimeoutError"
        assert await race(port, "127.0.0.4", "127.0.0.1", timeout_s=0.05) == "127.0.0.1"


async def test_the_silent_one_may_still_win_where_the_next_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "STAGGER_S", 0.0)
    with one_silent() as port:
        assert await race(port, "127.0.0.4", REFUSING, timeout_s=0.3) == "TimeoutError"
        assert await race(port, "127.0.0.4", REFUSING, "127.0.0.1", timeout_s=30) == "127.0.0.1"


async def test_nothing_is_told_and_left_behind_after_a_cancel() -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    told: list[object] = []
    with one_silent() as port:
        await race(port, "127.0.0.1")  # with this the loop has what it needs
        gc.collect()
        before = count()
        for _ in range(5):
            racing = Race(
                asyncio.get_running_loop(),
                addresses("127.0.0.4"),
                port,
                0.0,
                lambda *won: told.append(won),
                told.append,
            )
            racing.start()
            racing.cancel()
        await asyncio.sleep(0.01)
        assert (told, count()) == ([], before)


async def test_nobody_listens() -> None:
    assert await race(free_port(), "127.0.0.1") == "ConnectionRefusedError"


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (("::1", "::2", "127.0.0.1"), ("::1", "127.0.0.1", "::2")),
        (("127.0.0.1", "::1", "127.0.0.2", "::2"), ("127.0.0.1", "::1", "127.0.0.2", "::2")),
        (("127.0.0.1", "127.0.0.2"), ("127.0.0.1", "127.0.0.2")),
        (("::1",), ("::1",)),
    ],
)
def test_families_are_tried_by_turns(found: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert by_turns(addresses(*found)) == addresses(*expected)
