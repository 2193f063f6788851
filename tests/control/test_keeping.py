"""What is changed is on disk when ``keep`` returns, and a crowd shares writes."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from steering.control.errors import StateError
from steering.control.keeping import Keeping


class Counter:
    """A table of one number.  written: what each write had."""

    def __init__(self) -> None:
        self.value = 0
        self.written: list[int] = []

    def render(self) -> Callable[[], bytes]:
        value = self.value
        self.written.append(value)
        return lambda: str(value).encode()


async def test_it_is_on_disk(tmp_path: Path) -> None:
    table = Counter()
    keeping = Keeping(tmp_path / "t", table.render)
    for value in (1, 2):
        table.value = value
        await keeping.keep()
        assert (tmp_path / "t").read_bytes() == str(value).encode()


async def test_a_crowd_shares_writes_and_each_finds_its_own_change(tmp_path: Path) -> None:
    table = Counter()
    keeping = Keeping(tmp_path / "t", table.render)

    async def change() -> bool:
        table.value += 1
        mine = table.value
        await keeping.keep()
        return int((tmp_path / "t").read_text()) >= mine

    assert all(await asyncio.gather(*(change() for _ in range(100))))
    assert table.written[-1] == 100 and len(table.written) <= 3


async def test_a_write_that_fails_is_told_to_everybody_who_waited_for_it(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path / "none" / "t", Counter().render)
    found = await asyncio.gather(keeping.keep(), keeping.keep(), return_exceptions=True)
    assert [type(exc) for exc in found] == [StateError, StateError]
    (tmp_path / "none").mkdir()
    await keeping.keep()
    assert (tmp_path / "none" / "t").read_text() == "0"


async def test_who_gives_up_waiting_stops_nobody_elses_write(tmp_path: Path) -> None:
    keeping = Keeping(tmp_path / "t", Counter().render)
    waiting = [asyncio.create_task(keeping.keep()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await waiting[1]
    assert (tmp_path / "t").exists()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
