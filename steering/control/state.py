"""The state folder: one service at a time, files whole or not at all, the last rules that were good."""

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

from steering.control.errors import StateError

_OURS = (
    "ca",
    "ca/*",
    "lock",
    "last-good-rules.json",
    "pac-tokens.json",
    "devices.json",
    "enrolment-tokens.json",
    "device-ca",
    "device-ca/**/*",
    "bundle-keys",
    "bundle-keys/*",
    "bundle",
    "bundle/**/*",
    "follow",
    "follow/**/*",
)


@dataclass(slots=True)
class State:
    """An open state folder.  ``lock`` holds it for one service; the lock ends with the process."""

    folder: Path
    _lock: int = -1

    def lock(self) -> None:
        """Raises StateError while another service runs on this folder."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            owner = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise StateError(
                f"another Steering (process {owner}) runs on {self.folder}: stop it, or give this one its own --state"
            ) from exc
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        self._lock = descriptor

    def unlock(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    @property
    def last_good_rules(self) -> Path:
        return self.folder / "last-good-rules.json"

    @property
    def socket(self) -> Path:
        return self.folder / "steering.sock"

    @property
    def tokens(self) -> Path:
        return self.folder / "pac-tokens.json"

    @property
    def devices(self) -> Path:
        return self.folder / "devices.json"

    @property
    def invitations(self) -> Path:
        return self.folder / "enrolment-tokens.json"

    def owned(self) -> list[Path]:
        """The folder and what of this service lies in it now; it may share it with files of others."""
        return [self.folder, *(path for pattern in _OURS for path in sorted(self.folder.glob(pattern)))]


def open_state(folder: Path) -> State:
    """Make the folder where it is missing (0700) and sweep what an interrupted write left.  Raises StateError."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for stray in folder.glob(".*.writing"):
            stray.unlink(missing_ok=True)
    except OSError as exc:
        raise StateError(f"the state folder {folder} cannot be used: {exc}") from exc
    return State(folder)


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file so that a reader, also after a power cut, sees the old one or the new one.  Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
