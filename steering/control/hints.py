"""Telling every helper that listens that there is another policy: a hint, which proves nothing and promises nothing."""

import asyncio
import contextlib
from collections.abc import Iterable, Iterator

MAX_LISTENERS = 20_000  # one descriptor each; whoever finds no place asks from time to time


class Listening:
    """One helper that listens."""

    def __init__(self, device_id: str) -> None:
        self.device_id = device_id
        self.closed = False
        self._news = asyncio.Event()
        self._news.set()  # the first news is what holds now

    def wake(self) -> None:
        self._news.set()

    def close(self) -> None:
        self.closed = True
        self._news.set()

    async def news(self, within_s: float) -> bool:
        """Whether there is something to say within that time; several changes are one."""
        try:
            async with asyncio.timeout(within_s):
                await self._news.wait()
        except TimeoutError:
            return False
        self._news.clear()
        return True


class Hints:
    """revision: of the bundle that is published now."""

    def __init__(self) -> None:
        self.revision = ""
        self._listening: dict[str, Listening] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._listening)

    @property
    def is_full(self) -> bool:
        return self._closed or len(self._listening) >= MAX_LISTENERS

    @contextlib.contextmanager
    def listening(self, device_id: str) -> Iterator[Listening]:
        """One per device: the newer takes the place of one that is probably dead."""
        before = self._listening.pop(device_id, None)
        if before is not None:
            before.close()
        listening = self._listening[device_id] = Listening(device_id)
        try:
            yield listening
        finally:
            if self._listening.get(device_id) is listening:
                del self._listening[device_id]

    def publish(self, revision: str) -> None:
        self.revision = revision
        for listening in tuple(self._listening.values()):
            listening.wake()

    def cut(self, device_ids: Iterable[str]) -> None:
        for device_id in device_ids:
            listening = self._listening.get(device_id)
            if listening is not None:
                listening.close()

    def close(self) -> None:
        """Let everybody go, for good: the service ends."""
        self._closed = True
        self.cut(tuple(self._listening))
