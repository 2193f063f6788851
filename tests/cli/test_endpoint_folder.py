"""Which folder a command means, and what is kept there."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import typer

from steering.cli import endpoint_folder as folders
from steering.endpoint.bundle.client import FOLDER
from steering.endpoint.policy_keeping import fetch_policy
from tests.control.helpers import CA_PEM, helpers_rig


def test_a_named_folder_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folders.endpoint_folder(Path("here")) == tmp_path / "here"


@pytest.mark.needs("linux")
def test_root_s_is_the_computer_s(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(folders, "is_root", lambda: True)
    assert folders.endpoint_folder(None) == Path("/var/lib/steering-endpoint")
    monkeypatch.setattr(folders, "is_root", lambda: False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert folders.endpoint_folder(None) == tmp_path / "steering-endpoint"


# Constructed: shell32 as Windows documents it, 0 for no.
@pytest.mark.parametrize(("said", "root"), [(0, False), (1, True)])
def test_root_on_windows(said: int, root: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(IsUserAnAdmin=lambda: said)
    libraries = {"shell32": shell}
    monkeypatch.delattr("os.geteuid", raising=False)
    monkeypatch.setattr("ctypes.WinDLL", libraries.__getitem__, raising=False)
    assert folders.is_root() is root


async def test_what_is_kept(tmp_path: Path) -> None:
    assert folders.kept_policy(tmp_path / "helper") is None
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        revision = await fetch_policy(tmp_path / "helper", credential)
    kept = folders.needed_policy(tmp_path / "helper")
    assert (kept.bundle.revision, kept.ca_pem) == (revision, CA_PEM.decode())


def test_what_is_needed_and_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        folders.needed_policy(tmp_path)
    assert caught.value.exit_code == 2
    assert "run 'steering endpoint enrol TOKEN', or name the folder with --state" in capsys.readouterr().err


def test_what_is_damaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "last-good.json").write_text("{}")
    with pytest.raises(typer.Exit) as caught:
        folders.kept_policy(tmp_path)
    assert caught.value.exit_code == 2 and "is damaged" in capsys.readouterr().err


def test_what_is_not_given_on_the_command_line_comes_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("STEERING_ENDPOINT_LISTEN", "127.0.0.1:7")
    assert folders.endpoint_settings(tmp_path, {"listen": None}).listen == "127.0.0.1:7"
    assert folders.endpoint_settings(tmp_path, {"listen": "127.0.0.1:8"}).listen == "127.0.0.1:8"
    with pytest.raises(typer.Exit) as caught:
        folders.endpoint_settings(tmp_path, {"listen": "nowhere"})
    assert caught.value.exit_code == 2 and "is no address to listen on" in capsys.readouterr().err
