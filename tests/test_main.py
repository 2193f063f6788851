"""``python -m steering`` is the same command."""

from pathlib import Path

from tests.cli.runner import spawn


def test_the_module_runs_the_command(tmp_path: Path) -> None:
    ended = spawn("--version", cwd=tmp_path)
    assert (ended.returncode, ended.stdout.split()[0], ended.stderr) == (0, "steering", "")
