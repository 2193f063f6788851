"""Processes that were seen lately, and what they were known to execute.

Each is held by its folder in /proc, so a number that was given away again is not mistaken for it.
"""

from collections import OrderedDict
from collections.abc import Iterator

from steering.endpoint.identify.linux_procfs import Process, open_process


class Known:
    """A process.  path: what it was seen to execute at ``at_ns``; group: the control group of its sockets.

    None until it was seen.
    """

    __slots__ = ("at_ns", "group", "path", "process")

    def __init__(self, process: Process) -> None:
        self.process = process
        self.path: str | None = None
        self.group: int | None = None
        self.at_ns = 0

    def saw(self, path: str, at_ns: int, group: int) -> None:
        """It executes ``path``, for sure: no program was just being started in it when that was read."""
        self.path, self.at_ns, self.group = path, at_ns, group


class RecentProcesses:
    """The last ``size`` processes, newest first."""

    def __init__(self, size: int = 64) -> None:
        self._size = size
        self._known: OrderedDict[int, Known] = OrderedDict()

    def __len__(self) -> int:
        return len(self._known)

    def get(self, pid: int) -> Known | None:
        """The process of that number that was seen before; it may have ended."""
        return self._known.get(pid)

    def add(self, pid: int) -> Known | None:
        """The process that has that number now, as the newest; None where there is none."""
        self.drop(pid)
        process = open_process(pid)
        if process is None:
            return None
        known = self._known[pid] = Known(process)
        if len(self._known) > self._size:
            self.drop(next(iter(self._known)))
        return known

    def touch(self, pid: int) -> None:
        """It is the newest."""
        if pid in self._known:
            self._known.move_to_end(pid)

    def newest(self, number: int, group: int) -> Iterator[Known]:
        """Up to ``number`` that may have sockets of the control group, the newest first.

        They may have ended, and may be dropped meanwhile.
        """
        likely = [pid for pid, known in reversed(self._known.items()) if known.group in (None, group)]
        for pid in likely[:number]:
            known = self._known.get(pid)
            if known is not None:
                yield known

    def drop(self, pid: int) -> None:
        known = self._known.pop(pid, None)
        if known is not None:
            known.process.close()

    def close(self) -> None:
        for pid in list(self._known):
            self.drop(pid)
