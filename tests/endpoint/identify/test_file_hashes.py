"""Files are hashed once, and again when they have changed."""

import hashlib
import os
from pathlib import Path

import pytest

from steering.endpoint.identify import file_hashes
from steering.endpoint.identify.file_hashes import FileHashes


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_the_hash_is_of_the_whole_file(tmp_path: Path, size: int) -> None:
    path = tmp_path / "program"
    path.write_bytes(b"x" * size)
    hashes = FileHashes()
    assert hashes.known(str(path)) is None
    expected = hashlib.sha256(b"x" * size).hexdigest()
    assert hashes.sha256(str(path)) == hashes.known(str(path)) == hashes.sha256(str(path)) == expected


def test_another_file_in_its_place_is_hashed_anew(tmp_path: Path) -> None:
    path, other = tmp_path / "program", tmp_path / "other"
    path.write_bytes(b"one")
    other.write_bytes(b"two")
    hashes = FileHashes()
    hashes.sha256(str(path))
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.rename(path)
    assert hashes.known(str(path)) is None
    assert hashes.sha256(str(path)) == hashlib.sha256(b"two").hexdigest()


@pytest.mark.parametrize("path", ["/nowhere/at/all", "a\0b", "/"])
def test_what_cannot_be_read_has_no_hash(path: str) -> None:
    assert FileHashes().sha256(path) is None
    assert FileHashes().known("a\0b") is None


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_the_oldest_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    monkeypatch.setattr(file_hashes, "KEPT", 3)
    hashes = FileHashes()
    for i in range(3 + more):
        (tmp_path / str(i)).write_bytes(str(i).encode())
        hashes.sha256(str(tmp_path / str(i)))
    assert (hashes.known(str(tmp_path / "0")) is None) is (more > 0)
