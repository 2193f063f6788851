"""Answers that are slow to get: asked for once and kept, for a minute where there was none."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
KEPT = 1024
RETRY_S = 60.0


class SlowFacts(Generic[K]):
    """ask: may block; None where it found nothing."""

    def __init__(self, ask: Callable[[K], str | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._ask = ask
        self._clock = clock
        self._kept: OrderedDict[K, tuple[str | None, float]] = OrderedDict()

    def is_known(self, key: K) -> bool:
        kept = self._kept.get(key)
        return kept is not None and (kept[0] is not None or self._clock() < kept[1])

    def known(self, key: K) -> str | None:
        """What was found, without asking."""
        kept = self._kept.get(key)
        return kept[0] if kept else None

    def find(self, key: K) -> str | None:
        """Blocking, unless it is known."""
        if not self.is_known(key):
            self._kept[key] = self._ask(key), self._clock() + RETRY_S
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return self.known(key)


class Asking:
    """Slow questions in threads, each one once at a time however many wait for its answer."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(max_workers=2, thread_name_prefix="identify")
        self._running: dict[Hashable, asyncio.Future[None]] = {}

    async def wait(self, key: Hashable, ask: Callable[[], None], deadline_s: float) -> None:
        """Returns when ``ask`` has, or the time is over; it then goes on all the same, for the next one to ask."""
        running = self._running.get(key)
        if running is None:
            try:
                running = asyncio.get_running_loop().run_in_executor(self._pool, ask)
            except RuntimeError:
                return  # closed
            self._running[key] = running
            running.add_done_callback(lambda done: self._is_over(key, done))
        await asyncio.wait((running,), timeout=deadline_s)

    def _is_over(self, key: Hashable, done: asyncio.Future[None]) -> None:
        self._running.pop(key, None)
        if not done.cancelled():
            done.exception()  # what failed has found nothing, and that is all that anybody needs to know

    def close(self) -> None:
        self._pool.shutdown(wait=False, cancel_futures=True)
