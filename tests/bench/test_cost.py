"""What a process tree has cost, read from the kernel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.cost import cpu_ns, descriptors, pin, resident_mb, tree
from tests.kit import wait_until

pytestmark = pytest.mark.needs("linux")

_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1]], stdin=subprocess.PIPE)
print(child.pid, flush=True)
sys.stdin.read()
child.kill(); child.wait()
"""


def started(child: str) -> tuple["subprocess.Popen[str]", int]:
    """A process, and the child that runs ``child``."""
    command = [sys.executable, "-c", _PARENT, child]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


def ended(process: "subprocess.Popen[str]") -> None:
    process.communicate("")


def test_children_are_charged_to_their_parent() -> None:
    process, child = started("while True: pass")
    try:
        assert tree(process.pid) == [process.pid, child]
        before = cpu_ns(process.pid)
        wait_until(lambda: cpu_ns(process.pid) - before > 50_000_000, what="50 ms on a processor")
        assert cpu_ns(process.pid) > cpu_ns(child) > 0
    finally:
        ended(process)
    assert (tree(process.pid), cpu_ns(process.pid), resident_mb(process.pid)) == ([], 0, 0.0)


def test_threads_that_have_ended_are_charged() -> None:
    busy = "import time; began = time.thread_time()\nwhile time.thread_time() - began < 0.2: pass"
    text = f"import threading, time; t = threading.Thread(target=exec, args=({busy!r},)); t.start(); t.join()"
    process, child = started(f"{text}; time.sleep(600)")
    try:
        wait_until(lambda: len(list(Path(f"/proc/{child}/task").iterdir())) == 1 and cpu_ns(child) > 200_000_000)
    finally:
        ended(process)


def test_memory_is_that_of_the_largest_and_descriptors_those_of_all() -> None:
    process, child = started("import os, time; held = bytearray(os.urandom(1)) * 50_000_000; time.sleep(600)")
    try:
        wait_until(lambda: resident_mb(child) > 50, what="50 MB")
        assert resident_mb(process.pid) == resident_mb(child)
        assert descriptors(process.pid) == descriptors(child) + len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
    finally:
        ended(process)


def test_a_tree_is_kept_on_one_processor_where_there_are_more() -> None:
    process, child = started("import time; time.sleep(600)")
    try:
        allowed = os.sched_getaffinity(0)
        chosen = min(allowed)
        pin(process.pid, chosen)
        expected = {chosen} if len(allowed) > 1 else allowed
        assert [os.sched_getaffinity(pid) for pid in (process.pid, child)] == [expected, expected]
        pin(process.pid, 4096)  # there is no such processor: nothing changes
        assert os.sched_getaffinity(child) == expected
    finally:
        ended(process)
