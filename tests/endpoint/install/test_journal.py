"""What was there before, on disk."""

import base64
from pathlib import Path

import pytest

from steering.endpoint.errors import EndpointError
from steering.endpoint.install.actions import ACTION, Command
from steering.endpoint.install.journal import NAME, Entry, Journal, Kept


def entry(name: str, step: str = "step") -> Entry:
    action = ACTION.dump_json(Command(name=name, do=("a",), undo=("b",))).decode()
    return Entry(step=step, action=action, files=(Kept(path="/x", content=base64.b64encode(b"\0old").decode()),))


def test_entries_come_back_in_order_and_exactly(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new")
    for name in ("c", "a", "b"):
        journal.put(entry(name))
    assert Journal(tmp_path / "new").entries() == (entry("c"), entry("a"), entry("b"))
    assert Journal(tmp_path / "new").entries()[0].files[0].bytes == b"\0old"
    assert (tmp_path / "new" / NAME).stat().st_mode & 0o777 == 0o600


def test_one_entry_for_each_action(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.put(entry("a"))
    journal.put(entry("a", step="later"))
    assert journal.entries() == (entry("a", step="later"),)
    found = journal.find(Command(name="a", do=("another",)))
    assert found == entry("a", step="later")
    assert journal.find(Command(name="b", do=("a",))) is None


def test_the_last_one_takes_the_file_and_its_folder(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "new")
    journal.put(entry("a"))
    journal.forget(entry("a"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"{}", b"[{}]", b"\xff"])
def test_one_that_cannot_be_read_stops_everything(tmp_path: Path, content: bytes) -> None:
    (tmp_path / NAME).write_bytes(content)
    with pytest.raises(EndpointError, match="cannot be read, so nothing can be undone exactly"):
        Journal(tmp_path)
