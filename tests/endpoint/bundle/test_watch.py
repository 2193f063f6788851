"""When a helper looks: at a hint, from time to time, and less often where nobody answers."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from steering.endpoint.bundle.watch import BACK_OFF_S, BundleWatch, back_off_s
from steering.endpoint.errors import ServiceUnreachable
from tests.kit import eventually


class Service:
    """looks: how often the helper looked.  hint: what it is told next."""

    def __init__(self) -> None:
        self.looks = 0
        self.listens = 0
        self.is_away = False
        self.told: asyncio.Queue[str | None] = asyncio.Queue()

    async def update(self) -> None:
        self.looks += 1
        if self.is_away:
            raise ServiceUnreachable("nobody there")

    async def hints(self) -> AsyncIterator[str]:
        self.listens += 1
        if self.is_away:
            raise ServiceUnreachable("nobody there")
        while (hint := await self.told.get()) is not None:
            yield hint


@asynccontextmanager
async def watching(service: Service, poll_s: float = 3600.0) -> AsyncIterator[BundleWatch]:
    watch = BundleWatch(service.update, service.hints, poll_s=poll_s, hint_jitter_s=0.0, chance=random.Random(1))
    task = asyncio.create_task(watch.serve())
    try:
        yield watch
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def looked(service: Service, times: int) -> Callable[[], bool]:
    return lambda: service.looks == times


async def test_at_the_start_at_each_hint_and_when_asked() -> None:
    service = Service()
    async with watching(service) as watch:
        await eventually(looked(service, 1))
        await service.told.put("r1")
        await eventually(looked(service, 2))
        watch.look()
        await eventually(looked(service, 3))
    assert service.listens == 1


async def test_also_without_hints() -> None:
    service = Service()
    async with watching(service, poll_s=0.02):
        await eventually(lambda: service.looks > 3)


async def test_nobody_answers_and_then_somebody_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering.endpoint.bundle.watch.BACK_OFF_S", (0.01,))
    service = Service()
    service.is_away = True
    async with watching(service):
        await eventually(lambda: service.looks > 3 and service.listens > 3)
        service.is_away = False
        await service.told.put("r1")
        await eventually(service.told.empty)


async def test_hints_that_end_are_listened_to_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering.endpoint.bundle.watch.BACK_OFF_S", (0.01,))
    service = Service()
    async with watching(service):
        for listens in (1, 2, 3):
            await eventually(lambda n=listens: service.listens == n)
            await service.told.put(None)


@pytest.mark.parametrize("failures", range(1, 9))
def test_pauses_grow_and_end_somewhere(failures: int) -> None:
    assert back_off_s(failures) == BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1]
    assert back_off_s(failures) <= back_off_s(failures + 1) <= 60.0
