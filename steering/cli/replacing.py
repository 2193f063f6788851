"""Replacing a file: whole or not at all, one change after the other, with its owner and permissions as they were."""

import contextlib
import errno
import fcntl
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Replacement:
    """A file that nobody else replaces meanwhile.  target: behind symbolic links.  old: its bytes."""

    target: Path
    old: bytes
    _state: os.stat_result

    def write(self, content: bytes) -> None:
        """A reader finds the old bytes or the new, after a power cut too.  Raises OSError, the old ones in place."""
        temporary = _temporary(self.target)
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                self._dress(file.fileno())
                os.fsync(file.fileno())
            temporary.replace(self.target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        _sync_folder(self.target.parent)

    def _dress(self, descriptor: int) -> None:
        """Owner, permissions and extended attributes (access lists, labels) as the old file has them."""
        made = os.fstat(descriptor)
        if (made.st_uid, made.st_gid) != (self._state.st_uid, self._state.st_gid):
            try:
                os.fchown(descriptor, self._state.st_uid, self._state.st_gid)
            except PermissionError as exc:
                raise PermissionError(exc.errno, "only its owner can change it and leave it its owner's") from exc
        os.fchmod(descriptor, stat.S_IMODE(self._state.st_mode))
        if hasattr(os, "listxattr"):
            with contextlib.suppress(OSError):  # a file system without any
                for name in os.listxattr(self.target):
                    os.setxattr(descriptor, name, os.getxattr(self.target, name))


@contextmanager
def replacing(path: Path, max_bytes: int) -> Iterator[Replacement]:
    """Hold ``path`` against other changes made this way, and read it, one byte more than ``max_bytes`` at most.

    Raises OSError: a file that may not be written is not replaced either, though its folder would allow it.
    """
    target = path.resolve(strict=True)
    descriptor = _locked(target)
    try:
        _sweep(target)
        with os.fdopen(os.dup(descriptor), "rb") as file:
            yield Replacement(target, file.read(max_bytes + 1), os.fstat(descriptor))
    finally:
        os.close(descriptor)


def _locked(target: Path) -> int:
    """The file, open and locked.  Who had to wait may hold what has been replaced meanwhile, and opens it anew."""
    while True:
        descriptor = os.open(target, os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise OSError(errno.EINVAL, "not a regular file")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(descriptor), target.stat()):
                return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.name}.{os.getpid()}.changing")


def _sweep(target: Path) -> None:
    """Remove what killed changes have left: while we hold the lock, nobody else writes one."""
    left = re.compile(rf"\.{re.escape(target.name)}\.[0-9]+\.changing")
    for path in target.parent.iterdir():
        if left.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
