"""Whether somebody but root could change what a service runs."""

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from steering.endpoint.install.ownership import changed_by_others, own_places

NOBODY = 65534


def nothing(program: Path) -> None:
    """All is root's."""


def anothers_file(program: Path) -> Path:
    os.chown(program, NOBODY, 0)
    return program


def anothers_folder(program: Path) -> Path:
    os.chown(program.parent.parent, NOBODY, 0)
    return program.parent.parent


def for_everybody(program: Path) -> Path:
    program.parent.chmod(0o777)
    return program.parent


def for_everybody_but_sticky(program: Path) -> None:
    program.parent.chmod(0o1777)


def for_roots_group(program: Path) -> None:
    program.parent.chmod(0o775)


def for_another_group(program: Path) -> Path:
    os.chown(program.parent, 0, NOBODY)
    program.parent.chmod(0o775)
    return program.parent


def by_a_link_in_anothers_folder(program: Path) -> Path:
    """As a virtual environment's interpreter is named by links that may lie anywhere."""
    real, middle = program.with_name("python3.11"), program.parent.parent / "middle"
    program.rename(real)
    middle.mkdir()
    (middle / "python3").symlink_to(real)
    program.symlink_to("../middle/python3")
    os.chown(middle, NOBODY, 0)
    return middle


def below_a_linked_folder(program: Path) -> Path:
    real = program.parent.with_name("real")
    program.parent.rename(real)
    program.parent.symlink_to(real)
    os.chown(real, NOBODY, 0)
    return real


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    "change",
    [
        nothing,
        anothers_file,
        anothers_folder,
        for_everybody,
        for_everybody_but_sticky,
        for_roots_group,
        for_another_group,
        by_a_link_in_anothers_folder,
        below_a_linked_folder,
    ],
)
def test_who_else_may_change_a_program(tmp_path: Path, change: Callable[[Path], Path | None]) -> None:
    program = tmp_path / "steering/bin/python"
    program.parent.mkdir(parents=True)
    program.write_bytes(b"")
    for path in (program, program.parent, program.parent.parent):
        path.chmod(0o755)
    expected = change(program)
    found = changed_by_others([program])
    assert (found.resolve() if found else None) == expected


def test_what_is_not_there_is_judged_by_its_folder(tmp_path: Path) -> None:
    there, missing = changed_by_others([tmp_path]), changed_by_others([tmp_path / "python311.zip"])
    assert missing == there


def test_this_program_s_own_places() -> None:
    places = own_places()
    assert places[0] == Path(sys.executable) and all(place.is_absolute() for place in places)
    assert Path(pytest.__file__).parent.parent in places
