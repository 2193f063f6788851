"""A Typer application with the commands under test, run in process."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from steering.cli import catalog, rules
from steering.cli.check import check
from steering.cli.explain import explain
from steering.resources import starter_rules

app = typer.Typer()
app.command()(check)
app.command()(explain)
app.add_typer(catalog.app, name="catalog")
app.add_typer(rules.app, name="rules")


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def a_copy(tmp_path: Path) -> Path:
    """The starter rules in a file of the test's own."""
    path = tmp_path / "rules.json"
    path.write_bytes(starter_rules().read_bytes())
    return path


def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A working folder without rules or configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEERING_POLICY_RULES", raising=False)
