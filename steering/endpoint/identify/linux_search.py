"""Looking through processes for the holders of a socket: slow, so for a thread, and with a deadline.

But for the newest few of the socket's control group: a program that was just started is one of them, and to look there
at once takes less time than to wake a thread.
"""

import time
from dataclasses import dataclass
from itertools import islice

from steering.endpoint.identify import linux_procfs as procfs
from steering.endpoint.identify.identity import Method
from steering.endpoint.identify.linux_diag import Socket

NEAR = 4  # processes
INLINE_DESCRIPTORS = 256  # some 3 us each; looking through more of them is for a thread
MOST_GROUPS = 4096  # more than that are a farm of containers, not a user's computer


@dataclass(frozen=True, slots=True, kw_only=True)
class Holders:
    """closing: the descriptor, of the only one named here, that closes on exec; None where no holder has one.

    Such a holder is enough: it can have the socket from no other program but by consent.  Else all holders are named.
    """

    method: Method
    pids: tuple[int, ...] = ()
    closing: procfs.Held | None = None


class HolderSearch:
    """cgroup_root: where control groups (version 2) are mounted; None where they are not."""

    def __init__(self, cgroup_root: str | None) -> None:
        self._root = cgroup_root
        self._groups: dict[int, str] = {}

    def find(self, sock: Socket, deadline: float, *, all_matter: bool = True) -> Holders | None:
        """Who holds the socket, and by which step that was found; None where the time is up (time.monotonic).

        all_matter: whether the others are worth a look where the first has a descriptor that stays open.
        """
        seen: set[int] = set()
        found: list[int] = []
        for method, step in ((Method.CGROUP, self._members), (Method.SCAN, _everybody)):
            for pid in step(sock.cgroup):
                if pid in seen:
                    continue
                if time.monotonic() > deadline:
                    return None
                seen.add(pid)
                held = _held(pid, sock.inode)
                if held is not None and held.close_on_exec:
                    return Holders(method=method, pids=(pid,), closing=held)
                if held is not None:
                    found.append(pid)
                    if not all_matter:
                        return Holders(method=method, pids=(pid,))
        return Holders(method=Method.SCAN, pids=tuple(found))

    def near(self, sock: Socket) -> Holders | None:
        """Who holds it with a descriptor that closes on exec, among the newest few of its control group.

        None where that is nobody, the group has not been seen before, or more is to be looked through than inline.
        """
        folder = self._groups.get(sock.cgroup)
        if folder is None or folder == self._root:
            return None
        for pid in procfs.cgroup_members(folder)[:NEAR]:
            held = _held(pid, sock.inode, INLINE_DESCRIPTORS)
            if held is not None and held.close_on_exec:
                return Holders(method=Method.CGROUP, pids=(pid,), closing=held)
        return None

    def _members(self, group: int) -> list[int]:
        """The processes of a control group; of the root, where nobody is apart, none."""
        if not group or self._root is None:
            return []
        folder = self._groups.get(group)
        if folder is None:
            self._groups = dict(islice(procfs.cgroup_folders(self._root), MOST_GROUPS))
            folder = self._groups.get(group)
        return [] if folder is None or folder == self._root else procfs.cgroup_members(folder)


def relatives_agree(pid: int, inode: int, path: str) -> bool:
    """Whether parent and children of ``pid`` that hold the socket too execute the same file."""
    for relative in procfs.relatives(pid):
        if _held(relative, inode) is not None and path_of(relative) != path:
            return False
    return True


def path_of(pid: int) -> str | None:
    process = procfs.open_process(pid)
    if process is None:
        return None
    try:
        executable = process.executable()
        return executable.path if executable else None
    finally:
        process.close()


def _held(pid: int, inode: int, most: int | None = None) -> procfs.Held | None:
    process = procfs.open_process(pid)
    if process is None:
        return None
    try:
        return process.holds(inode, most)
    finally:
        process.close()


def _everybody(group: int) -> list[int]:
    return procfs.pids()
