"""Whose place it is, by owner and mode."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from steering.endpoint.identify.darwin_paths import ADMINISTRATORS, is_roots, only_administrators_write, unchanged_since

MODES = {
    (0, 0, 0o755): (True, True),
    (0, 80, 0o775): (False, True),
    (0, 0, 0o775): (False, True),
    (0, 20, 0o775): (False, False),
    (0, 80, 0o757): (False, False),
    (501, 80, 0o755): (False, False),
    (0, 80, 0o1777): (False, False),
}


@pytest.mark.parametrize("found", MODES)
def test_groups_of_administrators_may_write_folders_and_not_files(found: tuple[int, int, int]) -> None:
    status = cast(os.stat_result, SimpleNamespace(st_uid=found[0], st_gid=found[1], st_mode=found[2]))
    assert (is_roots(status, frozenset()), is_roots(status, ADMINISTRATORS)) == MODES[found]


@pytest.mark.needs("linux")
def test_every_folder_counts(tmp_path: Path) -> None:
    assert only_administrators_write("/usr/bin/env") is True
    program = tmp_path / "slack"
    program.write_bytes(b"")
    assert only_administrators_write(str(program)) is False  # below /tmp, which everybody writes


@pytest.mark.parametrize("path", ["/nowhere/at/all", "a\0b", ""])
def test_what_is_not_there_is_nobodys(path: str) -> None:
    assert only_administrators_write(path) is None
    assert unchanged_since(path, (2**40, 0)) is False


@pytest.mark.parametrize(("later_us", "unchanged"), [(-1, False), (0, True), (1, True)])
def test_a_file_that_is_younger_than_its_process_is_another(tmp_path: Path, later_us: int, unchanged: bool) -> None:
    program = tmp_path / "slack"
    program.write_bytes(b"")
    changed_us = -(-program.stat().st_ctime_ns // 1000) + later_us
    assert unchanged_since(str(program), divmod(changed_us, 1_000_000)) is unchanged
