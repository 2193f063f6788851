"""macOS itself behind ``DarwinSystem``: libproc through ctypes, shaped by ``darwin_layouts``, and kqueue.

Without root, only the user's own processes can be looked into.  Not yet run on a real machine.
"""

import ctypes
import os
import pwd
import select
import sys
from collections.abc import Mapping
from typing import Protocol

from steering.endpoint.identify import darwin_layouts as layouts
from steering.endpoint.identify.darwin_signer import signer_of
from steering.endpoint.identify.darwin_system import Change
from steering.endpoint.identify.foreign import Function, bind

_MORE = 64  # processes or descriptors that may come between two calls
_EVENTS = 256


class Changes(Protocol):
    """Processes that end or execute."""

    def watch(self, pid: int) -> bool: ...
    def take(self) -> list[Change]: ...
    def close(self) -> None: ...


if sys.platform != "linux" and sys.platform != "win32":

    class _Kqueue:
        def __init__(self) -> None:
            self._queue = select.kqueue()

        def watch(self, pid: int) -> bool:
            wanted = select.KQ_NOTE_EXEC | select.KQ_NOTE_EXIT
            event = select.kevent(pid, select.KQ_FILTER_PROC, select.KQ_EV_ADD | select.KQ_EV_CLEAR, wanted)
            try:
                self._queue.control([event], 0, 0)
            except OSError:
                return False
            return True

        def take(self) -> list[Change]:
            changes: list[Change] = []
            while events := self._queue.control(None, _EVENTS, 0):
                changes += [Change(event.ident, bool(event.fflags & select.KQ_NOTE_EXIT)) for event in events]
            return changes

        def close(self) -> None:
            self._queue.close()

    def open_changes() -> Changes:
        return _Kqueue()

else:

    def open_changes() -> Changes:
        """Raises OSError: there is no kqueue here."""
        raise OSError("this system has no kqueue")


class DarwinCalls:
    """A ``DarwinSystem``.  call: the functions of ``darwin_layouts.FUNCTIONS`` by name."""

    def __init__(self, call: Mapping[str, Function], changes: Changes) -> None:
        self._call = call
        self._changes = changes

    def pids(self, parent: int | None = None) -> bytes:
        kind = layouts.PROC_ALL_PIDS if parent is None else layouts.PROC_PPID_ONLY
        room = self._call["proc_listpids"](kind, parent or 0, None, 0) or 0
        if room <= 0:
            return b""
        found = ctypes.create_string_buffer(room + 4 * _MORE)
        size = self._call["proc_listpids"](kind, parent or 0, found, len(found)) or 0
        return found.raw[: max(size, 0)]

    def descriptors(self, pid: int) -> bytes:
        room = self._call["proc_pidinfo"](pid, layouts.PROC_PIDLISTFDS, 0, None, 0) or 0
        if room <= 0:
            return b""
        return self._info(pid, layouts.PROC_PIDLISTFDS, room + layouts.PROC_FDINFO.size * _MORE)

    def socket(self, pid: int, descriptor: int) -> bytes:
        found = ctypes.create_string_buffer(layouts.SOCKET_FDINFO.size)
        size = self._call["proc_pidfdinfo"](pid, descriptor, layouts.PROC_PIDFDSOCKETINFO, found, len(found)) or 0
        return found.raw[: max(size, 0)]

    def process(self, pid: int) -> bytes:
        return self._info(pid, layouts.PROC_PIDTBSDINFO, layouts.PROC_BSDINFO.size)

    def _info(self, pid: int, kind: int, room: int) -> bytes:
        found = ctypes.create_string_buffer(room)
        size = self._call["proc_pidinfo"](pid, kind, 0, found, room) or 0
        return found.raw[: max(size, 0)]

    def path(self, pid: int) -> str:
        found = ctypes.create_string_buffer(layouts.PROC_PIDPATHINFO_MAXSIZE)
        size = self._call["proc_pidpath"](pid, found, len(found)) or 0
        return os.fsdecode(found.raw[:size]) if size > 0 else ""

    def watch(self, pid: int) -> bool:
        return self._changes.watch(pid)

    def changes(self) -> list[Change]:
        return self._changes.take()

    def account(self, uid: int) -> str | None:
        try:
            return pwd.getpwuid(uid).pw_name
        except (KeyError, OSError):
            return None

    def signer(self, pid: int) -> str | None:
        return signer_of(pid)

    def close(self) -> None:
        self._changes.close()


def load_darwin() -> DarwinCalls:
    """Raises OSError where this is not macOS."""
    changes = open_changes()
    return DarwinCalls(bind(ctypes.CDLL("/usr/lib/libproc.dylib"), layouts.FUNCTIONS), changes)
