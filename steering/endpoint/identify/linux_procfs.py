"""What /proc says of processes: who holds a socket, what it executes, who its relatives are.

Blocking, but each call is a few system calls of some microseconds; whole scans are for a thread (``linux_search``).
"""

import os
import platform
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from stat import S_ISREG

O_CLOEXEC = 0o2000000
DELETED = " (deleted)"
# execve and execveat, also of the 32-bit programs that such a machine runs.
_EXECS: dict[str, frozenset[bytes]] = {
    "x86_64": frozenset((b"59", b"322", b"520", b"545", b"11", b"358")),
    "aarch64": frozenset((b"221", b"281", b"11", b"387")),
    "riscv64": frozenset((b"221", b"281")),
}
_EXEC = _EXECS.get(platform.machine())


@dataclass(frozen=True, slots=True)
class Held:
    """A descriptor of a socket.  close_on_exec: it cannot have come over an exec."""

    number: str
    close_on_exec: bool


@dataclass(frozen=True, slots=True)
class Executable:
    """path: without the kernel's mark.  name: of the file, "" where there is none (memfd).  deleted: since removed."""

    path: str
    name: str
    deleted: bool = False


class Process:
    """A process, held by its folder in /proc.  Raises OSError where there is none.

    Once it has ended everything here answers None or False, also when its number has been given to another.
    """

    __slots__ = ("_executable", "_folder", "_last", "_link", "pid")

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._folder = os.open(f"/proc/{pid}", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        self._link = ""
        self._executable: Executable | None = None
        self._last = "3"  # where its newest socket was found: often the next one has the same number

    def executable(self) -> Executable | None:
        """What it executes now; None where it has ended or may not be looked at."""
        try:
            link = os.readlink("exe", dir_fd=self._folder)
            if link == self._link:
                return self._executable
            if link.endswith(DELETED):
                return read_executable(link, self.file().st_nlink == 0)
        except OSError:
            return None
        self._link, self._executable = link, read_executable(link, False)
        return self._executable

    def file(self) -> os.stat_result:
        """The file that it executes.  Raises OSError."""
        return os.stat("exe", dir_fd=self._folder)

    def is_starting(self) -> bool:
        """Whether a program is just being started in it (or nothing can be known).

        From the moment at which a new program shows as its executable the kernel closes descriptors, maps the
        program and then writes this vector.  None, zero: an exec is under way, and it has no event yet.
        """
        try:
            with _Opened("auxv", self._folder) as vector:
                return not any(os.read(vector, 64))
        except OSError:
            return True

    def is_in_exec(self) -> bool | None:
        """Whether it waits within an exec; None where it runs, or may not be asked.

        No: whatever it executed before has its event.
        """
        if _EXEC is None:
            return None
        try:
            with _Opened("syscall", self._folder) as state:
                call = os.read(state, 16).split()[:1]
        except OSError:
            return None
        return None if call in ([], [b"running"]) else call[0] in _EXEC

    def holds(self, inode: int, most: int | None = None) -> Held | None:
        """How it holds the socket, its newest descriptors first; None where it does not, or may not be seen.

        most: None too where it has more descriptors than that; looking through them is for a thread.
        """
        held = self.holds_at(self._last, inode)
        if held is not None:
            return held
        try:
            with _Opened("fd", self._folder, os.O_DIRECTORY) as folder:
                number = _find(folder, f"socket:[{inode}]", most)
        except OSError:
            return None
        if number is None:
            return None
        self._last = number
        return self.holds_at(number, inode)

    def holds_at(self, number: str, inode: int) -> Held | None:
        """Whether its descriptor of that number is the socket."""
        try:
            if os.readlink(f"fd/{number}", dir_fd=self._folder) != f"socket:[{inode}]":
                return None
            with _Opened(f"fdinfo/{number}", self._folder) as told:
                return read_fdinfo(os.read(told, 512), number, inode)
        except OSError:
            return None

    def close(self) -> None:
        os.close(self._folder)


class _Opened:
    """A file for reading; in fewer microseconds than by ``contextlib``."""

    __slots__ = ("_descriptor",)

    def __init__(self, name: str, folder: int, flags: int = 0) -> None:
        self._descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC | flags, dir_fd=folder)

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _find(folder: int, wanted: str, most: int | None) -> str | None:
    if most is None:
        numbers = os.listdir(folder)
    else:
        with os.scandir(folder) as entries:
            numbers = [entry.name for entry in islice(entries, most + 1)]
        if len(numbers) > most:
            return None
    for number in reversed(numbers):
        try:
            if os.readlink(number, dir_fd=folder) == wanted:
                return number
        except OSError:  # closed meanwhile
            continue
    return None


def read_fdinfo(told: bytes, number: str, inode: int) -> Held | None:
    """What /proc/PID/fdinfo/N says; None where it has become another file's meanwhile (told since Linux 5.14)."""
    fields = dict(line.split(b":", 1) for line in told.splitlines() if b":" in line)
    if int(fields.get(b"ino", inode)) != inode:
        return None
    return Held(number, bool(int(fields.get(b"flags", b"0"), 8) & O_CLOEXEC))


def open_process(pid: int) -> Process | None:
    try:
        return Process(pid)
    except OSError:
        return None


def read_executable(link: str, gone: bool) -> Executable:
    """What the link /proc/PID/exe says.  gone: whether that file has no name left.

    A file may be named ``x (deleted)``: the mark is taken away only where the file has gone.  A memfd has no file, so
    it has no name that anybody could vouch for.  Bytes that are not UTF-8 are written out (``\\xff``).
    """
    path = link[: -len(DELETED)] if gone else link
    if not path.isascii():
        path = os.fsencode(path).decode("utf-8", "backslashreplace")
    if not path.startswith("/") or (gone and path.startswith("/memfd:")):
        return Executable(path, "", gone)
    return Executable(path, path.rpartition("/")[2], gone)


def pids() -> list[int]:
    """Every process, the newest first."""
    return newest_first((int(name) for name in os.listdir("/proc") if name.isdigit()), _last_pid())


def newest_first(numbers: Iterable[int], last: int) -> list[int]:
    """In the order in which they were given away: upwards, and from the lowest again after the highest."""
    return sorted(numbers, key=lambda number: (number <= last, number), reverse=True)


def _last_pid() -> int:
    """The number that was given away last; 0 where that is not told."""
    try:
        with open("/proc/loadavg", "rb") as file:
            return int(file.read(128).split()[4])
    except (OSError, ValueError, IndexError):
        return 0


def relatives(pid: int) -> Iterator[int]:
    """Parent and children: where a socket goes when a process forks."""
    with suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/stat", "rb") as file:
        parent = int(file.read(512).rpartition(b")")[2].split()[1])
        if parent > 1:
            yield parent
    with suppress(OSError, ValueError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children", "rb") as file:
                yield from map(int, file.read(65536).split())


def cgroup_members(folder: str) -> list[int]:
    """The processes of a control group, the newest first."""
    try:
        with open(f"{folder}/cgroup.procs", "rb") as file:
            return newest_first(map(int, file.read(1 << 20).split()), _last_pid())
    except (OSError, ValueError):
        return []


def cgroup_folders(root: str) -> Iterable[tuple[int, str]]:
    """(id, folder) of every control group below ``root``: the id is the folder's inode number."""
    waiting = [root]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(folder) as entries:
                below = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
            yield os.stat(folder).st_ino, folder
        except OSError:
            continue
        waiting += below


def read_small(path: str, most: int) -> str:
    """A regular file's text; "" for whatever else stands there, or waits there, or is no text."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:
        return ""
    try:
        if not S_ISREG(os.fstat(descriptor).st_mode):
            return ""
        return os.read(descriptor, most).decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
    finally:
        os.close(descriptor)
