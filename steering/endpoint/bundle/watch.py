"""When to look for another bundle: at a hint, and from time to time whether hints come or not.

Times are uneven on purpose: a thousand helpers that were told at once do not all come at once.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable

from steering.endpoint.errors import EndpointError, ServiceUnreachable
from steering.process.logs import logger

HINT_JITTER_S = 2.0
POLL_JITTER = 0.2
BACK_OFF_S = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)

log = logger("bundle")


class BundleWatch:
    """update: looks, and raises ServiceUnreachable.  hints: a fresh stream of them at each call."""

    def __init__(
        self,
        update: Callable[[], Awaitable[object]],
        hints: Callable[[], AsyncIterator[str]],
        *,
        poll_s: float,
        hint_jitter_s: float = HINT_JITTER_S,
        chance: random.Random | None = None,
    ) -> None:
        self._update = update
        self._hints = hints
        self._poll_s = poll_s
        self._hint_jitter_s = hint_jitter_s
        self._chance = chance or random.Random()  # noqa: S311  # spreads load, guards nothing
        self._asked = asyncio.Event()
        self._failures = 0

    def look(self) -> None:
        """Look now: the network has changed, the computer woke, or somebody asks."""
        self._asked.set()

    async def serve(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_hints())
            group.create_task(self._keep_looking())

    async def _keep_looking(self) -> None:
        while True:
            self._asked.clear()
            try:
                await self._update()
            except ServiceUnreachable as exc:
                if not self._failures:
                    log.warning("the service cannot be asked for a newer policy", error=str(exc))
                self._failures += 1
            else:
                self._failures = 0
            try:
                async with asyncio.timeout(self._pause_s()):
                    await self._asked.wait()
            except TimeoutError:
                pass

    def _pause_s(self) -> float:
        """Until the next look: sooner after the first failures than without any, never later."""
        if self._failures:
            return min(self._uneven(back_off_s(self._failures)), self._poll_s)
        return self._uneven(self._poll_s)

    def _uneven(self, seconds: float) -> float:
        return seconds * self._chance.uniform(1 - POLL_JITTER, 1 + POLL_JITTER)

    async def _follow_hints(self) -> None:
        """A hint proves nothing: it makes us look, and nothing else."""
        failures = 0
        while True:
            try:
                async for _ in self._hints():
                    failures = 0
                    await asyncio.sleep(self._chance.uniform(0.0, self._hint_jitter_s))
                    self._asked.set()
            except EndpointError:
                failures += 1
            await asyncio.sleep(self._uneven(back_off_s(max(failures, 1))))


def back_off_s(failures: int) -> float:
    return BACK_OFF_S[min(failures, len(BACK_OFF_S)) - 1]
