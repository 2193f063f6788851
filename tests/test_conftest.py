"""A test that is left out fails the run in CI, but for what a probe proves that the kernel refuses."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit import ROOT

TESTS = """
import pytest

@pytest.mark.kernel("containers")
def test_refused() -> None:
    pass

@pytest.mark.needs("no such thing at all")
def test_needy() -> None:
    pass

def test_skipped() -> None:
    pytest.skip("why not")
"""
PLUGIN = """
from tests import kit

kit.KERNEL["containers"] = lambda: "it gives out no namespaces"
kit.NEEDS["no such thing at all"] = kit.Need(present=lambda: False, how="it cannot be had")
"""


@pytest.mark.parametrize(("ci", "outcome"), [("true", "1 failed, 1 skipped, 1 error"), ("", "3 skipped")])
def test_what_is_left_out(tmp_path: Path, ci: str, outcome: str) -> None:
    (tmp_path / "test_these.py").write_text(TESTS)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    line = [sys.executable, "-m", "pytest", "-q", "-p", "plugin", "-p", "tests.conftest", "-c", os.devnull]
    path = os.pathsep.join([str(tmp_path), *(str(ROOT / part) for part in (".", "dns", "inspector"))])
    done = subprocess.run(
        [*line, "test_these.py"],
        cwd=tmp_path,
        env=os.environ | {"CI": ci, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert outcome in done.stdout, done.stdout + done.stderr
    assert "1 test: this kernel runs no containers: it gives out no namespaces" in done.stdout
