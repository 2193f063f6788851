"""Hints reach everybody who listens, one at a time per device, and end when they should."""

import pytest

from steering.control import hints as module
from steering.control.hints import Hints


async def test_the_first_news_is_what_holds_now_and_several_changes_are_one() -> None:
    hints = Hints()
    hints.publish("r1")
    with hints.listening("a") as one, hints.listening("b") as other:
        assert await one.news(0) and await other.news(0)
        assert not await one.news(0)
        hints.publish("r2")
        hints.publish("r3")
        assert await one.news(0) and not await one.news(0)
        assert await other.news(0) and hints.revision == "r3"
        assert len(hints) == 2
    assert len(hints) == 0


async def test_a_newer_one_of_the_same_device_takes_the_place() -> None:
    hints = Hints()
    with hints.listening("a") as old:
        with hints.listening("a") as new:
            assert old.closed and not new.closed and len(hints) == 1
        assert len(hints) == 0


async def test_cut_and_closed() -> None:
    hints = Hints()
    with hints.listening("a") as one, hints.listening("b") as other:
        hints.cut(["a", "nobody"])
        assert (one.closed, other.closed) == (True, False)
        assert await one.news(60), "it does not wait any longer"
        hints.close()
        assert other.closed and hints.is_full


async def test_there_is_room_for_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LISTENERS", 2)
    hints = Hints()
    with hints.listening("a"):
        assert not hints.is_full
        with hints.listening("b"):
            assert hints.is_full
        assert not hints.is_full
