"""Replacing a file: whole or not at all, one after the other, with owner, permissions and links as they were."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from steering.cli.replacing import replacing
from tests.kit import wait_until
from tests.service import environment

MAX = 1000


def replace(path: Path, content: bytes) -> None:
    with replacing(path, MAX) as replacement:
        replacement.write(content)


def test_permissions_links_and_attributes_stay(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    target = folder / "real.json"
    target.write_text("old")
    target.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(Path("elsewhere") / "real.json")
    replace(link, b"new\r\n")
    assert link.is_symlink()
    assert target.read_bytes() == b"new\r\n"
    assert target.stat().st_mode & 0o7777 == 0o640
    assert [p.name for p in folder.iterdir()] == ["real.json"]


@pytest.mark.needs("root")
def test_the_owner_stays(tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    target.write_text("old")
    os.chown(target, 12345, 54321)
    replace(target, b"new")
    assert (target.stat().st_uid, target.stat().st_gid) == (12345, 54321)


@pytest.mark.needs("root", "linux")
def test_who_could_not_leave_it_its_owner_changes_nothing() -> None:
    """A folder that everybody may write: another user could replace root's file, but not by one of root's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o777)
        target = folder / "r.json"
        target.write_text("old")
        for mode, says in ((0o666, "only its owner can change it and leave it its owner's"), (0o644, "Permission")):
            target.chmod(mode)
            with _somebody_else(), pytest.raises(PermissionError, match=says):
                replace(target, b"new")
            assert [(p.name, p.read_text()) for p in folder.iterdir()] == [("r.json", "old")]


@contextmanager
def _somebody_else() -> Iterator[None]:
    os.setegid(65534)
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "real.json"
    target.write_text("old")

    def refuse(self: Path, _: Path) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", refuse)
    with pytest.raises(OSError, match="disk full"):
        replace(target, b"new")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("real.json", "old")]


@pytest.mark.parametrize(("size", "read"), [(MAX - 1, MAX - 1), (MAX, MAX), (MAX + 1, MAX + 1), (MAX + 2, MAX + 1)])
def test_one_byte_more_than_the_limit_is_read(size: int, read: int, tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    target.write_bytes(b"x" * size)
    with replacing(target, MAX) as replacement:
        assert len(replacement.old) == read


def test_what_is_no_regular_file_is_refused(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, error in ((tmp_path, IsADirectoryError), (fifo, OSError), (tmp_path / "missing", FileNotFoundError)):
        with pytest.raises(error), replacing(path, MAX):
            pass
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises((OSError, RuntimeError)), replacing(loop, MAX):
        pass


COUNTER = """
import sys
from pathlib import Path
from steering.cli.replacing import replacing
for _ in range(25):
    with replacing(Path(sys.argv[1]), 1000) as replacement:
        replacement.write(str(int(replacement.old) + 1).encode())
"""


def _python(program: str, path: Path) -> "subprocess.Popen[bytes]":
    line = [sys.executable, "-P", "-c", program, str(path)]
    return subprocess.Popen(line, env=environment(), stdout=subprocess.PIPE)


def test_concurrent_changes_do_not_lose_one_another(tmp_path: Path) -> None:
    target = tmp_path / "counter"
    target.write_text("0")
    others = [_python(COUNTER, target) for _ in range(4)]
    assert [other.communicate(timeout=60) and other.returncode for other in others] == [0, 0, 0, 0]
    assert target.read_text() == "100"
    assert [p.name for p in tmp_path.iterdir()] == ["counter"]


WRITER = """
import sys
from pathlib import Path
from steering.cli.replacing import replacing
path = Path(sys.argv[1])
number = 0
while True:
    number += 1
    with replacing(path, 10_000_000) as replacement:
        replacement.write(b"%09d" % number * 100_000)
    print(number, flush=True)
"""


@pytest.mark.parametrize("after_ms", [0, 3, 7, 13, 29])
def test_killed_in_the_middle_the_file_is_whole(after_ms: int, tmp_path: Path) -> None:
    target = tmp_path / "r.json"
    target.write_bytes(b"0" * 900_000)
    writer = _python(WRITER, target)
    assert writer.stdout is not None
    with writer.stdout:
        try:
            assert writer.stdout.readline() == b"1\n"
            ends = time.monotonic() + after_ms / 1000
            wait_until(lambda: time.monotonic() >= ends)
        finally:
            writer.send_signal(signal.SIGKILL)
            writer.wait(10)
    content = target.read_bytes()
    assert len(content) == 900_000
    assert content == content[:9] * 100_000
    replace(target, b"new")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("r.json", b"new")], "what it left is swept"


def test_only_what_a_change_of_this_file_left_is_swept(tmp_path: Path) -> None:
    target = tmp_path / "r[1].json"
    target.write_text("old")
    kept = {".r[1].json.changing", ".r1.json.7.changing", ".r[1].json.7x.changing", "r[1].json.7.changing"}
    for name in (*kept, ".r[1].json.7.changing"):
        (tmp_path / name).touch()
    replace(target, b"new")
    assert {p.name for p in tmp_path.iterdir()} == kept | {target.name}
