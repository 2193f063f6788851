"""What this machine is."""

import sys
from pathlib import Path

import pytest

from steering.endpoint.install.machine import detect, state_folder
from tests.endpoint.install.ground import ground

FOLDERS = {
    ("linux", True): "/var/lib/steering-endpoint",
    ("linux", False): "/h/.local/state/steering-endpoint",
    ("macos", True): "/Library/Application Support/Steering",
    ("macos", False): "/h/Library/Application Support/Steering",
    ("windows", True): "/programdata/Steering",
    ("windows", False): "/local/Steering",
}


@pytest.mark.parametrize(("system", "everybody"), FOLDERS)
def test_state_folder(monkeypatch: pytest.MonkeyPatch, system: str, everybody: bool) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("PROGRAMDATA", "/programdata")
    monkeypatch.setenv("LOCALAPPDATA", "/local")
    assert state_folder(system, everybody=everybody, home=Path("/h")) == Path(FOLDERS[system, everybody])


def test_state_folder_by_xdg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/x")
    assert state_folder("linux", everybody=False, home=Path("/h")) == Path("/x/steering-endpoint")


@pytest.mark.needs("linux")
def test_this_machine() -> None:
    machine = detect(everybody=True)
    assert (machine.system, machine.root, machine.command[0]) == ("linux", Path("/"), sys.executable)
    assert ("root", Path("/root")) in machine.homes
    assert machine.has("sh")
    assert not machine.has("no-such-program-here")
    assert detect(everybody=False).homes == ()


def test_the_service_s_user_cannot_write_what_root_undoes(tmp_path: Path) -> None:
    machine = ground(tmp_path / "a").machine
    assert machine.journal == machine.at("/var/lib/steering-install")
    assert not machine.journal.is_relative_to(machine.state)
    user = ground(tmp_path / "b", everybody=False).machine
    assert user.journal == user.state


def test_whose_stores_are_written(tmp_path: Path) -> None:
    everybody, one = ground(tmp_path / "a").machine, ground(tmp_path / "b", everybody=False).machine
    assert everybody.users == (("root", everybody.home),)
    assert one.users == (("alice", one.home),)
    assert one.as_user("alice", ("x",)) == ("x",)
