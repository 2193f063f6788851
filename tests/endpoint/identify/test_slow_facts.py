"""Slow answers are asked for once."""

import asyncio
import threading

import pytest

from steering.endpoint.identify import slow_facts
from steering.endpoint.identify.slow_facts import Asking, SlowFacts


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_an_answer_is_kept_for_good() -> None:
    asked: list[int] = []
    clock = Clock()
    facts = SlowFacts[int](lambda key: asked.append(key) or f"<{key}>", clock)  # type: ignore[func-returns-value]  # None, on purpose
    assert not facts.is_known(1) and facts.known(1) is None
    assert facts.find(1) == facts.known(1) == "<1>"
    clock.now = 1e9
    assert facts.is_known(1) and facts.find(1) == "<1>" and asked == [1]


@pytest.mark.parametrize(("after_s", "asks"), [(59.0, 1), (60.0, 2), (61.0, 2)])
def test_no_answer_is_kept_for_a_minute(after_s: float, asks: int) -> None:
    asked: list[int] = []
    clock = Clock()
    facts = SlowFacts[int](asked.append, clock)
    assert facts.find(1) is None and facts.is_known(1)
    clock.now = after_s
    assert facts.find(1) is None and len(asked) == asks


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_oldest_are_forgotten(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    monkeypatch.setattr(slow_facts, "KEPT", 3)
    facts = SlowFacts[int](str)
    for key in range(3 + more):
        facts.find(key)
    assert facts.is_known(0) is (more <= 0)


async def test_a_question_is_asked_once_however_many_wait() -> None:
    asking, go, asked = Asking(), threading.Event(), []

    def ask() -> None:
        asked.append(1)
        assert go.wait(10)

    waiting = [asyncio.create_task(asking.wait("key", ask, 10)) for _ in range(5)]
    await asking.wait("key", ask, 0.01)  # too short: it goes on
    go.set()
    await asyncio.gather(*waiting)
    assert asked == [1]
    await asking.wait("key", ask, 10)
    assert asked == [1, 1]
    asking.close()
    await asking.wait("key", ask, 10)
    assert asked == [1, 1]


async def test_what_fails_finds_nothing() -> None:
    asking = Asking()

    def fail() -> None:
        raise LookupError

    await asking.wait("key", fail, 10)
    asking.close()
