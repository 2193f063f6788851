"""Load programs of others, from start to end beside a server whose CPU is read."""

import os
import shutil
import subprocess
from collections.abc import Sequence

from bench.cost import cpu_ns
from bench.processes import CLIENT_CPU
from bench.rounds import Failed

PATIENCE_S = 15


def run_outside(server: int, command: Sequence[str]) -> tuple[str, int]:
    """(what it printed, nanoseconds that the server's tree spent meanwhile)."""
    pinned = ["taskset", "-c", str(CLIENT_CPU), *command] if _can_pin() else list(command)
    before = cpu_ns(server)
    try:
        done = subprocess.run(
            pinned,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired as exc:
        raise Failed(f"{command[0]} did not end") from exc
    return done.stdout, cpu_ns(server) - before


def _can_pin() -> bool:
    return shutil.which("taskset") is not None and CLIENT_CPU in os.sched_getaffinity(0)
