"""No test is left out unnoticed.

``@pytest.mark.needs("chromium", "certutil")`` names what a test runs against.  Where that is missing the test is
skipped and the end of the run says what was left out and why.  In CI (``CI=true``) any skip, whoever made it, is a
failure: a suite that quietly shrinks proves nothing.  There is one exception, ``@pytest.mark.kernel("containers")``:
what a probe proves that the kernel refuses (KERNEL in tests/kit.py).
"""

import signal
from collections.abc import Generator
from typing import Any, TypeVar

import pytest

from tests.kit import IN_CI, KERNEL, missing

REFUSED = pytest.StashKey[bool]()

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


def pytest_configure(config: pytest.Config) -> None:
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # started in a shell's background: every child would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line("markers", "needs(*names): outside programs that the test runs against (tests/kit.py)")
    config.addinivalue_line("markers", "kernel(*names): what the kernel must allow (tests/kit.py)")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    for name in (name for mark in item.iter_markers("kernel") for name in mark.args):
        if reason := KERNEL[name]():
            item.stash[REFUSED] = True
            pytest.skip(f"this kernel runs no {name}: {reason}")
    wanted = tuple(name for mark in item.iter_markers("needs") for name in mark.args)
    lacking = missing(wanted)
    if lacking:
        pytest.skip("needs " + ", ".join(lacking))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    return report if item.stash.get(REFUSED, False) else _strict(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _strict((yield))


def _strict(report: Report) -> Report:
    if IN_CI and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"left out, which CI does not accept: {_reason(report.longrepr)}"
    return report


def _reason(longrepr: Any) -> str:
    return str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reasons: dict[str, int] = {}
    for report in terminalreporter.stats.get("skipped", ()):
        reason = _reason(report.longrepr).removeprefix("Skipped: ")
        reasons[reason] = reasons.get(reason, 0) + 1
    if reasons:
        terminalreporter.section("left out")
        for reason, count in sorted(reasons.items()):
            terminalreporter.line(f"{count} test{'s' if count > 1 else ''}: {reason}")
