"""Keeping a table on disk: whole files, written off the event loop, many changes in one write."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from steering.control.errors import StateError
from steering.control.state import write_whole

# Takes a snapshot when called; what it returns makes the file's content of it, in a thread.
Render = Callable[[], Callable[[], bytes]]


class Keeping:
    """Who asks while a write runs shares the next one, so that a crowd costs two writes and not one each."""

    def __init__(self, path: Path, render: Render) -> None:
        self._path = path
        self._render = render
        self._writing = asyncio.Lock()
        self._next: asyncio.Task[None] | None = None

    async def keep(self) -> None:
        """Return when everything that is known now is on disk.  Raises StateError."""
        if self._next is None:
            self._next = asyncio.create_task(self._write())
        await asyncio.shield(self._next)

    async def _write(self) -> None:
        async with self._writing:
            self._next = None
            content = self._render()
            try:
                await asyncio.to_thread(lambda: write_whole(self._path, content()))
            except OSError as exc:
                raise StateError(f"{self._path} cannot be written: {exc.strerror or exc}") from exc
