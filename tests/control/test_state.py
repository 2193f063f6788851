"""The state folder: one service at a time, files whole or not at all."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steering.control.errors import StateError
from steering.control.state import open_state, write_whole
from tests.service import environment


def test_the_second_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    first, second = open_state(tmp_path / "s"), open_state(tmp_path / "s")
    assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
    first.lock()
    with pytest.raises(StateError, match=rf"another Steering \(process {os.getpid()}\) runs on .*--state"):
        second.lock()
    first.unlock()
    second.lock()
    second.unlock()


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="cannot be used"):
        open_state(tmp_path / "file" / "s")


def test_owned_is_what_is_ours(tmp_path: Path) -> None:
    """A folder that is shared with other things is not given away whole."""
    state = open_state(tmp_path)
    state.lock()
    (tmp_path / "ca").mkdir()
    (tmp_path / "ca" / "ca.key").write_text("")
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "notes").write_text("")
    assert state.owned() == [tmp_path, tmp_path / "ca", tmp_path / "ca" / "ca.key", tmp_path / "lock"]
    state.unlock()


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    write_whole(path, b"old")
    path.with_name("full").symlink_to("/dev/full")
    with pytest.raises(OSError):
        write_whole(tmp_path / "no" / "such" / "folder", b"new")
    assert path.read_bytes() == b"old"
    assert not list(tmp_path.glob(".*"))


WRITER = """
import itertools, sys
from pathlib import Path
from steering.control.state import write_whole
path = Path(sys.argv[1])
print("begun", flush=True)
for number in itertools.count():
    write_whole(path, bytes([97 + number % 26]) * 300_000)
"""


def test_kill_at_any_moment_leaves_one_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "s" / "last-good-rules.json"
    open_state(path.parent)
    for round_ in range(12):
        process = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], env=environment(), stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()
        try:
            process.wait(0.001 + 0.004 * round_)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait(10)
        process.stdout.close()
        if path.exists():
            content = path.read_bytes()
            assert len(content) == 300_000 and len(set(content)) == 1
        open_state(path.parent)
        assert not list(path.parent.glob(".*")), "what an interrupted write left is swept"
