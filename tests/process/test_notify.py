"""Words to systemd: sent whole, to a path or an abstract name, and never in the way."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from steering.process.notify import ALIVE, READY, Supervising
from tests.kit import eventually


@pytest.mark.needs("linux")
@pytest.mark.parametrize("abstract", [False, True])
def test_a_supervisor_hears(tmp_path: Path, abstract: bool) -> None:
    name = f"@steering-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind("\0" + name[1:] if abstract else name)
        heard.settimeout(10)
        supervising = Supervising({"NOTIFY_SOCKET": name})
        supervising.tell(READY, ALIVE)
        assert heard.recv(100) == b"READY=1\nWATCHDOG=1"
        supervising.tell_status("policy x\nREADY=0")
        assert heard.recv(100) == b"STATUS=policy x READY=0"


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_nobody_to_tell_is_no_trouble(address: str) -> None:
    Supervising({"NOTIFY_SOCKET": address}).tell(READY)


@pytest.mark.needs("linux")
def test_a_supervisor_that_does_not_read_is_not_waited_for(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as deaf:
        deaf.bind(str(tmp_path / "notify"))
        supervising = Supervising({"NOTIFY_SOCKET": str(tmp_path / "notify")})
        for _ in range(2000):
            supervising.tell(ALIVE)


ALIVE_S = {
    "not asked for": ({}, None),
    "half the time": ({"WATCHDOG_USEC": "30000000"}, 15.0),
    "for this process": ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
    "for another process": ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
    "nothing": ({"WATCHDOG_USEC": "0"}, None),
    "no number": ({"WATCHDOG_USEC": "soon"}, None),
}


@pytest.mark.parametrize("case", ALIVE_S)
def test_how_often_it_wants_to_hear(case: str) -> None:
    environment, expected = ALIVE_S[case]
    assert Supervising(environment).alive_s == expected


@pytest.mark.needs("linux")
async def test_signs_of_life_come_while_all_is_well(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        asked: list[bool] = []

        def healthy() -> bool:
            asked.append(len(asked) % 2 == 0)
            return asked[-1]

        supervising = Supervising({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "2000"})
        telling = asyncio.create_task(supervising.keep_telling(healthy))
        await eventually(lambda: len(asked) >= 6, what="looks at how it is")
        telling.cancel()
        words: list[bytes] = []
        while len(words) < sum(asked):
            words.append(heard.recv(100))
        assert set(words) == {b"WATCHDOG=1"}
        with pytest.raises(BlockingIOError):
            heard.recv(100)
