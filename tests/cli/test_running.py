"""Which configuration a command takes, and what it says where none or a wrong one is."""

from pathlib import Path

import pytest
import typer

from steering.cli.running import ask_service, asked, configuration
from steering.control.client import NotRunning
from tests.cli.runner import nowhere


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)


def test_the_file_named_else_here_else_in_var_else_defaults(tmp_path: Path) -> None:
    (tmp_path / "var").mkdir()
    assert (configuration(None).file, configuration(None).state) == (None, tmp_path / "var")
    (tmp_path / "var" / "steering.toml").write_text('[state]\ndir = "."')
    assert (configuration(None).file, configuration(None).state) == (Path("var/steering.toml"), tmp_path / "var")
    (tmp_path / "steering.toml").write_text('[state]\ndir = "here"')
    assert configuration(None).state == tmp_path / "here"
    (tmp_path / "named.toml").write_text('[state]\ndir = "named"')
    assert configuration(Path("named.toml")).state == tmp_path / "named"


def test_command_line_before_environment_before_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "steering.toml").write_text('[state]\ndir = "file"')
    monkeypatch.setenv("STEERING_STATE_DIR", "environment")
    assert configuration(None).state == tmp_path / "environment"
    assert configuration(None, Path("line")).state == tmp_path / "line"
    assert configuration(None, None, {("log", "format"): "json"}).config.log.format == "json"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("[policy\n", "steering.toml: "),
        ("[polcy]\n", "steering.toml:1: there is no setting [polcy]; did you mean 'policy'?"),
        ("\n[policy]\nrule = 1\n", "steering.toml:3: there is no setting policy.rule; did you mean 'rules'?"),
        ("[dns]\nworkers = -1\n", "steering.toml:2: dns.workers: "),
    ],
)
def test_a_wrong_one_is_wrong_use(content: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "steering.toml").write_text(content)
    with pytest.raises(typer.Exit) as caught:
        configuration(None)
    assert caught.value.exit_code == 2
    assert capsys.readouterr().err.startswith(says)


def test_no_service_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(NotRunning):
        asked(configuration(None), "GET", "/status")
    with pytest.raises(typer.Exit) as caught:
        ask_service(configuration(None), "GET", "/status")
    assert caught.value.exit_code == 1
    assert capsys.readouterr().err.startswith(f"no service answers on {tmp_path}/var/steering.sock")
