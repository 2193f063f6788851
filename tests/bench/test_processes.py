"""What a measurement starts ends with it."""

import os
import signal
import sys
from pathlib import Path

import pytest

from bench.cost import tree
from bench.processes import Stage, interruptible, listens
from bench.rounds import Failed
from tests.kit import free_port, wait_until

SLEEPING = [sys.executable, "-c", "import time; time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']); time.sleep(600)",
]


def alive(pid: int) -> bool:
    """Whether it runs; one that has ended and was not waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.needs("linux")
def test_everything_is_ended_whatever_it_thinks_of_it() -> None:
    with Stage() as stage:
        polite, stubborn = stage.start(SLEEPING), stage.start(STUBBORN)
        wait_until(lambda: len(tree(stubborn)) == 2, what="the child")
        pids = [polite, *tree(stubborn)]
        assert all(map(alive, pids))
    wait_until(lambda: not any(map(alive, pids)), what="the end of all")
    assert not stage.folder.exists()


def test_an_error_ends_it_too() -> None:
    with pytest.raises(ZeroDivisionError), Stage() as stage:
        pid = stage.start(SLEEPING)
        raise ZeroDivisionError
    assert not alive(pid)


def test_what_does_not_start_says_why() -> None:
    with Stage() as stage:
        stage.start([sys.executable, "-c", "raise SystemExit('the port is taken')"])
        with pytest.raises(Failed, match="a thing does not start: the port is taken"):
            stage.until(lambda: False, "a thing")


def test_a_listener_is_found() -> None:
    port = free_port()
    serving = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(600)"
    with Stage() as stage:
        assert not listens(port)
        stage.start([sys.executable, "-c", serving])
        stage.until(lambda: listens(port), "a listener")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signals_end_a_measurement_in_order(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), number)
        signal.pause()
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before
