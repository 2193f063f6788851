"""Noticing that a file has changed, by asking for its status ten times a second.

A question costs two microseconds and holds where notifications do not: network file systems, bind mounts, a symlink
further up that is turned to another folder (Kubernetes does so with every ConfigMap), a folder that is moved away
and made anew, a machine that is out of watches.
"""

import asyncio
from pathlib import Path

POLL_S = 0.1
MAX_UNSETTLED = 5  # polls; who writes without a pause is read in the middle, and again afterwards

Mark = tuple[int, int, int, int, int] | None


class Watch:
    """Begins with the state that the file has when this is made; make it before the file is first read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = mark_of(path)

    async def changed(self) -> None:
        """Return when the file is not what it was at the last return, and has been quiet for one poll.

        The quiet is for editors that write in several steps, and for the clock of the file system, which moves in
        steps of some milliseconds: who reads a file as young as that could miss a change of the same size.
        """
        before, unsettled = self._seen, 0
        while True:
            await asyncio.sleep(POLL_S)
            now = await asyncio.to_thread(mark_of, self._path)  # a network file system may take its time
            unsettled += now != before
            if now != self._seen and (now == before or unsettled > MAX_UNSETTLED):
                self._seen = now
                return
            before = now


def mark_of(path: Path) -> Mark:
    """What changes when the file does; None where there is none."""
    try:
        state = path.stat()
    except OSError:
        return None
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns
