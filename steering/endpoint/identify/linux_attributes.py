"""What makes a Linux program's name more than a name: where its file lies, its hash, its package.

Kept by the file's identity (device, inode, size, time of change), so an update is looked at anew.
"""

import configparser
import hashlib
import os
import re
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

from steering.endpoint.identify.linux_procfs import read_small

K = TypeVar("K")
V = TypeVar("V")
FileId = tuple[int, int, int, int]
_SNAP = re.compile(r"^(?:/snap|/var/lib/snapd/snap)/([a-z0-9][a-z0-9-]*)/[^/]+/")
_APPIMAGE = re.compile(r"^/tmp/\.mount_([^/]{1,64}?)[A-Za-z0-9]{6}/")  # where AppImages mount themselves
_KEPT = 1024
_CHUNK = 1 << 20
MAX_HASHED_BYTES = 1 << 30
# The time of change has the grain of a clock tick: a file written again within it would look the same.
SETTLED_NS = 2_000_000_000


@dataclass(frozen=True, slots=True)
class Attributes:
    """root_owned: nobody but root can put another file in its place.  package: "" for none known.

    is_there: the file at its path, here and not in a sandbox, is what it executes.

    signer: the package where the system vouches for it, else "".  A snap is a read-only image that root mounted; what
    says flatpak or AppImage, any user can make say so.
    """

    root_owned: bool
    package: str
    is_there: bool

    @property
    def signer(self) -> str:
        return self.package if self.root_owned and self.package.startswith("snap:") else ""


class LinuxAttributes:
    """Looks at executables, once each."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[FileId, str], Attributes] = OrderedDict()
        self._hashes: OrderedDict[FileId, str] = OrderedDict()

    def known(self, file: os.stat_result, path: str) -> Attributes | None:
        """What was found before."""
        return self._seen.get((_file_id(file), path))

    def known_sha256(self, file: os.stat_result) -> str | None:
        return self._hashes.get(_file_id(file))

    def look(self, pid: int, path: str) -> Attributes | None:
        """Blocking, and for how long is up to the file system.  path: of what it executes.  None where it ended."""
        try:
            found = os.stat(f"/proc/{pid}/exe")
        except OSError:
            return None
        here = _at(path, found)
        attributes = Attributes(
            root_owned=here is not None and _only_root_writes(path, here),
            package=package_of_path(path) or _flatpak(pid),
            is_there=here is not None,
        )
        _keep(self._seen, (_file_id(found), path), attributes)
        return attributes

    def sha256(self, pid: int) -> str | None:
        """Blocking: 100 MB take about 0.1 s.

        None where the file cannot be read, is larger than any program, or changes under the reader.
        """
        try:
            with open(f"/proc/{pid}/exe", "rb", buffering=0) as file:
                before = os.fstat(file.fileno())
                known = self.known_sha256(before)
                if known is not None:
                    return known
                if before.st_size > MAX_HASHED_BYTES:
                    return None
                digest = hashlib.sha256()
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                after = os.fstat(file.fileno())
        except OSError:
            return None
        if _file_id(after) != _file_id(before):
            return None
        if time.time_ns() - after.st_ctime_ns > SETTLED_NS:
            _keep(self._hashes, _file_id(after), digest.hexdigest())
        return digest.hexdigest()


def _keep(table: "OrderedDict[K, V]", key: K, value: V) -> None:
    table[key] = value
    if len(table) > _KEPT:
        table.popitem(last=False)


def _file_id(found: os.stat_result) -> FileId:
    return found.st_dev, found.st_ino, found.st_size, found.st_ctime_ns


def _at(path: str, executed: os.stat_result) -> os.stat_result | None:
    """The file at ``path``, here and not in a sandbox, if it is that very file."""
    try:
        here = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return here if (here.st_dev, here.st_ino) == (executed.st_dev, executed.st_ino) else None


def _only_root_writes(path: str, here: os.stat_result) -> bool:
    """Whether root alone can change that file or its folders."""
    try:
        folder = path
        while folder != "/":
            folder = os.path.dirname(folder)
            if not _roots(os.stat(folder, follow_symlinks=False)):
                return False
    except OSError:
        return False
    return _roots(here)


def _roots(found: os.stat_result) -> bool:
    return found.st_uid == 0 and not found.st_mode & 0o022


def package_of_path(path: str) -> str:
    """What the place of a file says of its package; "" for nothing."""
    snap = _SNAP.match(path)
    if snap:
        return f"snap:{snap[1]}"
    appimage = _APPIMAGE.match(path)
    return f"appimage:{appimage[1]}" if appimage else ""


def _flatpak(pid: int) -> str:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(read_small(f"/proc/{pid}/root/.flatpak-info", 65536))
        name = parser.get("Application", "name", fallback="")[:255]
    except configparser.Error:
        return ""
    return f"flatpak:{name}" if name else ""
