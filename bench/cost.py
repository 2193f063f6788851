"""What a process and everything below it has cost so far, as the kernel counts it (Linux)."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_SCHEDULED = 2  # clock_getcpuclockid(3): a process's clock is made of its id and this


def tree(pid: int) -> list[int]:
    """``pid`` and its descendants; [] once it has ended."""
    return list(_walk(pid))


def _walk(pid: int) -> Iterator[int]:
    try:
        tasks = list((_PROC / str(pid) / "task").iterdir())
        children = [int(child) for task in tasks for child in (task / "children").read_text("ascii").split()]
    except OSError:
        return
    yield pid
    for child in children:
        yield from _walk(child)


def cpu_ns(pid: int) -> int:
    """Nanoseconds on a processor, of the processes of the tree that still live and all threads that they ever had.
    Ticks would be a hundred times too coarse for rounds of a second."""
    return sum(map(_process_ns, tree(pid)))


def _process_ns(pid: int) -> int:
    try:
        return time.clock_gettime_ns((~pid << 3) | _SCHEDULED)
    except OSError:
        return 0  # it ended meanwhile


def _tasks(pid: int) -> list[Path]:
    try:
        return list((_PROC / str(pid) / "task").iterdir())
    except OSError:
        return []


def resident_mb(pid: int) -> float:
    """Resident megabytes of the largest process of the tree: the one that works."""
    return max(map(_resident_bytes, tree(pid)), default=0) / 1e6


def all_resident_mb(pid: int) -> float:
    """Of the whole tree; what its processes share is counted in each."""
    return sum(map(_resident_bytes, tree(pid))) / 1e6


def _resident_bytes(pid: int) -> int:
    try:
        return int((_PROC / str(pid) / "statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def descriptors(pid: int) -> int:
    """Open descriptors of the tree."""
    found = 0
    for process in tree(pid):
        try:
            found += sum(1 for _ in (_PROC / str(process) / "fd").iterdir())
        except OSError:
            continue
    return found


def pin(pid: int, cpu: int) -> None:
    """Keep the tree on one processor, where there is more than one: load and server then do not move about."""
    if cpu not in os.sched_getaffinity(0) or len(os.sched_getaffinity(0)) < 2:
        return
    for process in tree(pid):
        for task in _tasks(process):
            try:
                os.sched_setaffinity(int(task.name), {cpu})
            except OSError:
                continue
