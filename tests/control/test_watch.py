"""A file's change is noticed however it is made; once each; and not while it is being written."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from steering.control.watch import MAX_UNSETTLED, POLL_S, Watch, mark_of


def in_place(path: Path) -> None:
    path.write_bytes(b"new")


def same_size(path: Path) -> None:
    path.write_bytes(b"OLD")


def replaced(path: Path) -> None:
    beside = path.with_name("beside")
    beside.write_bytes(b"new")
    beside.replace(path)


def removed(path: Path) -> None:
    path.unlink()


def folder_made_anew(path: Path) -> None:
    path.parent.rename(path.parent.with_name("away"))
    path.parent.mkdir()
    path.write_bytes(b"new")


def restored_with_its_old_time(path: Path) -> None:
    state = path.stat()
    path.write_bytes(b"new")
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


CHANGES = (in_place, same_size, replaced, removed, folder_made_anew, restored_with_its_old_time)


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
async def test_changes_are_noticed_once(tmp_path: Path, change: Callable[[Path], None]) -> None:
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "rules.json"
    path.write_bytes(b"old")
    watch = Watch(path)
    change(path)
    async with asyncio.timeout(5):
        await watch.changed()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(4 * POLL_S):
            await watch.changed()


async def test_a_link_further_up_that_is_turned(tmp_path: Path) -> None:
    """As Kubernetes changes a ConfigMap: rules.json -> ..data/rules.json, ..data -> another folder."""
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        (tmp_path / number / "rules.json").write_text(number)
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "rules.json").symlink_to("..data/rules.json")
    watch = Watch(tmp_path / "rules.json")
    (tmp_path / "..new").symlink_to("2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    async with asyncio.timeout(5):
        await watch.changed()


async def test_a_file_that_appears(tmp_path: Path) -> None:
    watch = Watch(tmp_path / "rules.json")
    assert mark_of(tmp_path / "rules.json") is None
    (tmp_path / "rules.json").write_bytes(b"")
    async with asyncio.timeout(5):
        await watch.changed()


async def test_who_writes_without_a_pause_is_read_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / "rules.json"
    watch = Watch(path)

    async def write() -> None:
        while True:
            with path.open("ab") as file:
                file.write(b"x")
            await asyncio.sleep(POLL_S / 5)

    writer = asyncio.create_task(write())
    try:
        async with asyncio.timeout(20 * MAX_UNSETTLED * POLL_S):
            await watch.changed()
            await watch.changed()
    finally:
        writer.cancel()
