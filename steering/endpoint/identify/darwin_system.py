"""What the macOS ladder asks of the system, as a protocol: macOS itself, or what a test constructs."""

from typing import NamedTuple, Protocol


class Change(NamedTuple):
    """What happened to a watched process: it ended, or it became another program."""

    pid: int
    ended: bool


class DarwinSystem(Protocol):
    """Calls of macOS.  They answer b"" or "" or None where there is nothing or it may not be seen; none raises."""

    def pids(self, parent: int | None = None) -> bytes:
        """proc_listpids: every process, or the children of one; four bytes each."""
        ...

    def descriptors(self, pid: int) -> bytes:
        """PROC_PIDLISTFDS."""
        ...

    def socket(self, pid: int, descriptor: int) -> bytes:
        """PROC_PIDFDSOCKETINFO."""
        ...

    def process(self, pid: int) -> bytes:
        """PROC_PIDTBSDINFO."""
        ...

    def path(self, pid: int) -> str:
        """proc_pidpath."""
        ...

    def watch(self, pid: int) -> bool:
        """Tell of changes of this process from now on; whether that is possible."""
        ...

    def changes(self) -> list[Change]:
        """Since the last call; never waits."""
        ...

    def account(self, uid: int) -> str | None:
        """Slow: it may ask a directory server."""
        ...

    def signer(self, pid: int) -> str | None:
        """The team that signed what runs, "Apple" for parts of the system, "" for neither, None where it cannot be
        told.  Slow."""
        ...

    def close(self) -> None: ...
