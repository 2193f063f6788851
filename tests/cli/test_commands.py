"""The command line as a whole: which commands there are, their help, the version, completion."""

from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from steering.cli.commands import app
from tests.cli.runner import run, spawn


def commands(group: Any, path: str = "") -> list[str]:
    """Every command there is, groups too."""
    found = [path]
    for name, command in getattr(group, "commands", {}).items():
        found += commands(command, f"{path} {name}".strip())
    return found


COMMANDS = commands(get_command(app))
GROUPS = ["", "pac", "pac token", "ca", "rules", "categories", "catalog", "endpoint", "endpoints"]


def test_every_command_is_tried() -> None:
    """Whole, so that one that is lost is noticed."""
    assert {name for name in COMMANDS if any(other.startswith(f"{name} ") for other in COMMANDS)} | {""} == set(GROUPS)
    assert {"deploy", "doctor", "ca rotate", "rules import", "endpoint run", "endpoints list"} < set(COMMANDS)
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_has_help(command: str, option: str) -> None:
    result = run(*command.split(), option)
    assert result.exit_code == 0
    assert "Usage: " in result.output
    assert result.stderr == ""


def described(command: str) -> list[str]:
    """The lines of a command's help that name something without a word of what it is."""
    lines = [line.strip("│ \n") for line in run(*command.split(), "--help").output.splitlines()]
    return [line for line in lines if line.startswith("--") and len(line.split()) <= 2]


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_is_left_unexplained(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert described(command) == []


@pytest.mark.parametrize("group", ["", "pac token", "ca", "rules", "categories", "catalog", "endpoint", "endpoints"])
def test_alone_a_group_prints_its_help(group: str) -> None:
    result = run(*group.split())
    assert "Commands" in result.output
    assert result.output.startswith(run(*group.split(), "--help").output[:200])


@pytest.mark.parametrize("line", ["nonsense", "check --nonsense", "explain", "rules nonsense", "catalog show"])
def test_what_there_is_not_is_wrong_use(line: str) -> None:
    result = run(*line.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert "Usage: " in result.stderr


def test_a_near_miss_is_named() -> None:
    assert "explain" in run("explian", "zoom.us").stderr


def test_version(tmp_path: Path) -> None:
    result = run("--version")
    assert (result.exit_code, result.output.split()[0]) == (0, "steering")
    assert spawn("--version", cwd=tmp_path).stdout == result.output


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_of_each_shell(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_STEERING_COMPLETE", f"source_{shell}")
    shown = CliRunner().invoke(app, [], prog_name="steering")
    assert shown.exit_code == 0
    assert f"_STEERING_COMPLETE=complete_{shell}" in shown.output


def test_bash_completes_commands(tmp_path: Path) -> None:
    words = {"COMP_WORDS": "steering ca", "COMP_CWORD": "1"}
    found = spawn(cwd=tmp_path, _STEERING_COMPLETE="complete_bash", **words)
    assert (found.returncode, found.stdout.split()) == (0, ["ca", "categories", "catalog"])
