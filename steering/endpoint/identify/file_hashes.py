"""SHA-256 of executables by path, each file hashed once.

Kept by the file's identity (device, number, size, times), so an update is hashed anew.
"""

import hashlib
import os
from collections import OrderedDict
from pathlib import Path

FileId = tuple[int, int, int, int, int]
KEPT = 1024
_CHUNK = 1 << 20


def file_id(found: os.stat_result) -> FileId:
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


class FileHashes:
    """What was hashed before."""

    def __init__(self) -> None:
        self._hashes: OrderedDict[FileId, str] = OrderedDict()

    def known(self, path: str) -> str | None:
        try:
            return self._hashes.get(file_id(Path(path).stat()))
        except (OSError, ValueError):
            return None

    def sha256(self, path: str) -> str | None:
        """Blocking: 100 MB take about 0.1 s.  None where the file cannot be read, or changes under the reader."""
        try:
            with Path(path).open("rb", buffering=0) as file:
                before = file_id(os.fstat(file.fileno()))
                known = self._hashes.get(before)
                if known is not None:
                    return known
                digest = hashlib.sha256()
                while chunk := file.read(_CHUNK):
                    digest.update(chunk)
                if file_id(os.fstat(file.fileno())) != before:
                    return None
        except (OSError, ValueError):
            return None
        self._hashes[before] = digest.hexdigest()
        if len(self._hashes) > KEPT:
            self._hashes.popitem(last=False)
        return digest.hexdigest()
