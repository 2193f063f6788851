"""One helper at a time on a state folder.  The lock ends with the process, however that ends."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from steering.endpoint.errors import EndpointError

NAME = "lock"
# Root locks the folder of the service's user too, and does not follow what that one may have put there.
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOFOLLOW", 0)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Raises EndpointError while another helper runs on ``folder``."""
    try:
        descriptor = os.open(folder / NAME, _FLAGS, 0o600)
    except OSError as exc:
        raise EndpointError(f"the state folder {folder} cannot be used: {exc.strerror or exc}") from exc
    try:
        try:
            _lock(descriptor)
        except OSError as exc:
            raise EndpointError(f"another helper{_owner(descriptor)} runs on {folder}: stop it first") from exc
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        yield
    finally:
        os.close(descriptor)


def holder(folder: Path) -> int | None:
    """The helper that runs on ``folder``; None where none does, or the system does not tell.

    Asked of the kernel: to try the lock could keep a helper from starting at that moment.
    """
    try:
        inode = (folder / NAME).stat().st_ino
        locks = [line.split() for line in Path("/proc/locks").read_text("ascii").splitlines()]
    except OSError:
        return None
    # NUMBER: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF
    found = [int(lock[4]) for lock in locks if lock[1] == "FLOCK" and lock[5].rpartition(":")[2] == str(inode)]
    return found[0] if found and found[0] > 0 else None


def _owner(descriptor: int) -> str:
    """Whose it is; on Windows what is locked cannot be read."""
    try:
        text = os.read(descriptor, 20).decode("ascii", "replace").strip()
    except OSError:
        return ""
    return f" (process {text})" if text.isdecimal() else ""


def _lock(descriptor: int) -> None:
    """Raises OSError where it is held."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        # getattr: the checker looks at the module of the system that it runs on.
        getattr(msvcrt, "locking")(descriptor, getattr(msvcrt, "LK_NBLCK"), 1)  # noqa: B009
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
