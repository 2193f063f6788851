"""The whole command line, run in process or, where exit codes and signals matter, as a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steering.cli.commands import app
from steering.resources import starter_rules
from tests.service import environment

STEERING = (sys.executable, "-P", "-m", "steering")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def spawn(*arguments: str | Path, cwd: Path, **extra: str) -> "subprocess.CompletedProcess[str]":
    """``steering ARGUMENTS`` as a process, run to its end.  extra: more of its environment."""
    line = [*STEERING, *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, env=environment(**extra), capture_output=True, text=True, timeout=60)


def a_copy(folder: Path) -> Path:
    """The starter rules in a file of the test's own."""
    path = folder / "rules.json"
    path.write_bytes(starter_rules().read_bytes())
    return path


def nowhere(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder without rules or configuration."""
    monkeypatch.chdir(folder)
    monkeypatch.delenv("STEERING_POLICY_RULES", raising=False)
