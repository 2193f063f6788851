"""The service's own messages: JSON lines for machines, text for people, nothing forged."""

import json
import subprocess
import sys

from tests.service import environment

SCRIPT = """
import logging, sys, warnings
from steering.process.logs import configure_logs, logger
configure_logs(sys.argv[1])
logger("service").info("begun", at="127.0.0.1:1", text="a\\nb\\x1b[31m\\u2028")
logging.getLogger("aiohttp").info("left out")
logging.getLogger("aiohttp").warning("of a library")
try: 1 / 0
except ZeroDivisionError: logger("x").exception("fault")
"""


def run(form: str, *shell: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*shell, sys.executable, "-c", SCRIPT, form], env=environment(), capture_output=True, text=True, timeout=30
    )


def test_json() -> None:
    done = run("json")
    assert done.stdout == "" and done.stderr.isascii()
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(line["logger"], line["level"], line["event"]) for line in lines] == [
        ("steering.service", "info", "begun"),
        ("aiohttp", "warning", "of a library"),
        ("steering.x", "error", "fault"),
    ]
    assert lines[0]["text"] == "a\nb\x1b[31m\u2028" and lines[0]["timestamp"].endswith("Z")
    assert "ZeroDivisionError" in lines[2]["exception"]


def test_console() -> None:
    done = run("console")
    assert done.stdout == "" and "\x1b" not in done.stderr
    assert "begun" in done.stderr and "at=127.0.0.1:1" in done.stderr and "left out" not in done.stderr


def test_a_full_disk_under_the_log_ends_nothing() -> None:
    done = subprocess.run(
        ["/bin/sh", "-c", '"$0" "$@" 2>/dev/full && echo went on', sys.executable, "-c", SCRIPT, "json"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout == "went on\n"
