r"""The Windows ladder: the system's table of connections says whose process it is, the process says the rest.

``fast``, inline: one table for all connections of a tick; the process through one handle.  ``full``: what is slow,
the account's name, hash and signer, in a thread with a deadline.

A number given away again is noticed by the time at which the process began.  A program on Windows does not become
another one in the same process, but a socket can be handed to another process: it stays with the one that made it.
"""

import asyncio
from pathlib import Path

from steering.endpoint.identify.file_hashes import FileHashes, FileId, file_id
from steering.endpoint.identify.identity import Ends, Identity, Method
from steering.endpoint.identify.slow_facts import Asking, SlowFacts
from steering.endpoint.identify.windows_calls import load_windows
from steering.endpoint.identify.windows_paths import file_name, only_administrators_write
from steering.endpoint.identify.windows_system import WindowsProcess, WindowsSystem
from steering.endpoint.identify.windows_tables import Key, Owner, key_of, merged, read_tcp4, read_tcp6
from steering.policy.facts import System

DEADLINE_S = 0.1
# Times of processes and connections are taken from a clock that advances every 15.6 ms, or from a finer one.
COARSE = 160_000
KERNEL_PID = 4

NO_TABLE = "Windows gave no table of connections"
NOT_FOUND = "no process was found that holds its socket"
ENDED = "its process has ended, or may not be looked at"
REUSED = "its process ended, and another one has its number"
SHARED = "different processes hold its socket"
NAMELESS = "its executable has no name"


class WindowsIdentifier:
    """An ``Identifier``."""

    def __init__(self, system: WindowsSystem) -> None:
        self.notes: tuple[str, ...] = ()
        self.wants: frozenset[str] = frozenset()  # the conditions beyond names that rules ask for: fields of Program
        self._system = system
        self._folders = system.folders()
        self._table: dict[Key, Owner] | None = None  # of this tick
        self._read_at = 0
        self._accounts = SlowFacts(system.account)
        self._signers = SlowFacts[tuple[FileId, str]](lambda key: system.signer(key[1]))
        self._hashes = FileHashes()
        self._asking = Asking()

    def fast(self, ends: Ends) -> Identity | None:
        pid, process, why = self._process(ends)
        if process is None:
            return _unknown(pid, why)
        if process.sid and not self._accounts.is_known(process.sid):
            return None
        return self._named(pid, process)

    async def full(self, ends: Ends) -> Identity:
        pid, process, why = self._process(ends)
        if process is None:
            return _unknown(pid, why)
        if self._lacks(process):
            await self._asking.wait((pid, process.created), lambda: self._ask_now(process), DEADLINE_S)
        return self._named(pid, process)

    # The table

    def _process(self, ends: Ends) -> tuple[int, WindowsProcess | None, str]:
        """The owner's number and the owner, or None and why it is not known."""
        try:
            owner = self._owner(key_of(ends))
        except OSError:
            return 0, None, NO_TABLE
        if owner is None:
            return 0, None, NOT_FOUND
        if owner.shared:
            return owner.pid, None, SHARED
        if owner.pid == KERNEL_PID:
            return owner.pid, WindowsProcess(created=0, image="System", native=True), ""
        process = self._system.process(owner.pid)
        if process is None:
            return owner.pid, None, ENDED
        if process.created > (owner.connected or self._read_at) + COARSE:
            return owner.pid, None, REUSED
        return owner.pid, process, "" if file_name(process.image) else NAMELESS

    def _owner(self, key: Key) -> Owner | None:
        """From this tick's table; from a new one where it was read before the connection was there."""
        if self._table is not None and (owner := self._table.get(key)) is not None:
            return owner
        self._read_at = self._system.now()
        table = merged(read_tcp4(self._system.tcp_table(4)), read_tcp6(self._system.tcp_table(6)))
        try:
            asyncio.get_running_loop().call_soon(self._forget)
            self._table = table
        except RuntimeError:
            pass  # without a loop there are no ticks
        return table.get(key)

    def _forget(self) -> None:
        self._table = None

    # The process

    def _named(self, pid: int, process: WindowsProcess) -> Identity:
        name = file_name(process.image)
        root_owned = sha256 = signer = None
        if not process.native:
            root_owned = only_administrators_write(process.image, self._folders.programs, self._folders.windows)
            sha256 = self._hashes.known(process.image) if "sha256" in self.wants else None
            signer = self._signer(process, root_owned)
            if (sha256 or signer) is not None and not self._is_still(pid, process):
                sha256 = signer = None
        return Identity(
            system=System.WINDOWS,
            pid=pid,
            names=(name,) if name else (),
            path=None if pid == KERNEL_PID else process.image,
            user=self._accounts.known(process.sid) if process.sid else None,
            package=f"msix:{process.family}" if process.family else "",
            root_owned=root_owned,
            sha256=sha256,
            signer=signer,
            method=Method.TABLE,
            unknown="" if name else NAMELESS,
        )

    def _is_still(self, pid: int, process: WindowsProcess) -> bool:
        """Whether what was looked at is its file: a running file may be renamed, and another one put there."""
        now = self._system.process(pid)
        return now is not None and (now.created, now.image) == (process.created, process.image)

    def _signer(self, process: WindowsProcess, root_owned: bool | None) -> str | None:
        """Of the file; else the package, where nobody but Windows can have put it there."""
        key = self._signed(process)
        signer = self._signers.known(key) if key else None
        if signer == "" and process.family and root_owned:
            return f"msix:{process.family}"
        return signer

    def _signed(self, process: WindowsProcess) -> tuple[FileId, str] | None:
        if "signer" not in self.wants or process.native:
            return None
        try:
            return file_id(Path(process.image).stat()), process.image
        except (OSError, ValueError):
            return None

    # What is slow

    def _lacks(self, process: WindowsProcess) -> bool:
        signed = self._signed(process)
        return (
            bool(process.sid and not self._accounts.is_known(process.sid))
            or bool(signed and not self._signers.is_known(signed))
            or ("sha256" in self.wants and not process.native and self._hashes.known(process.image) is None)
        )

    def _ask_now(self, process: WindowsProcess) -> None:
        """In a thread."""
        if process.sid:
            self._accounts.find(process.sid)
        if "sha256" in self.wants and not process.native:
            self._hashes.sha256(process.image)
        signed = self._signed(process)
        if signed:
            self._signers.find(signed)

    # Housekeeping

    def watch(self) -> None:
        """Nothing to take in: each tick reads the table anew."""

    def close(self) -> None:
        self._asking.close()


def open_windows() -> WindowsIdentifier:
    """The ladder on this system.  Raises OSError where it is not Windows, or lacks a function that is needed."""
    return WindowsIdentifier(load_windows())


def _unknown(pid: int, why: str) -> Identity:
    return Identity(system=System.WINDOWS, pid=pid, unknown=why)
