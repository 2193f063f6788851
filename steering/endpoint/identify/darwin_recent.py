"""macOS processes that were seen lately, and since when each of them has been the same program.

The kernel tells when a watched process becomes another program (exec) or ends; nobody tells what it did before it was
watched.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from steering.endpoint.identify.darwin_sockets import Process
from steering.endpoint.identify.darwin_system import DarwinSystem

WATCHED = 8192


@dataclass(frozen=True, slots=True)
class _Watched:
    """quiet_ns: since when it has not changed."""

    process: Process
    quiet_ns: int


class DarwinRecent:
    """clock_ns: monotonic."""

    def __init__(self, system: DarwinSystem, size: int = 64, clock_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._system = system
        self._size = size
        self._clock_ns = clock_ns
        self._watched: OrderedDict[int, _Watched] = OrderedDict()
        self._recent: OrderedDict[int, None] = OrderedDict()

    def drain(self) -> None:
        """Take in what has happened.  A change counts from when it is heard of, which is later than it was."""
        for change in self._system.changes():
            watched = self._watched.pop(change.pid, None)
            if change.ended or watched is None:
                self._recent.pop(change.pid, None)
            else:
                self._watched[change.pid] = _Watched(watched.process, self._clock_ns())

    def watch(self, process: Process) -> None:
        """From now on."""
        known = self._watched.get(process.pid)
        if known is not None and known.process.started == process.started:
            return
        now_ns = self._clock_ns()
        self._watched.pop(process.pid, None)
        if self._system.watch(process.pid):
            self._watched[process.pid] = _Watched(process, now_ns)
            if len(self._watched) > WATCHED:
                self._watched.popitem(last=False)

    def saw(self, process: Process) -> None:
        """It holds a connection."""
        self.watch(process)
        self._recent[process.pid] = None
        self._recent.move_to_end(process.pid)
        if len(self._recent) > self._size:
            self._recent.popitem(last=False)

    def is_watched(self, pid: int) -> bool:
        return pid in self._watched

    def same_since(self, process: Process, at_ns: int) -> bool:
        """Whether it is certain that ``process`` has run the same program from ``at_ns`` until now."""
        watched = self._watched.get(process.pid)
        return watched is not None and watched.process.started == process.started and watched.quiet_ns <= at_ns

    def newest(self, number: int) -> Iterator[int]:
        yield from list(reversed(self._recent))[:number]
