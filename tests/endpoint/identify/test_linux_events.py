"""Births, execs and ends of real processes, and what becomes of what is lost."""

import os
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from steering.endpoint.identify.linux_events import ProcessEvents, filter_code, open_events, read_answer
from tests.endpoint.identify.programs import Programs, descriptors, go_on, said
from tests.kit import ROOT, wait_until

NEEDED = pytest.mark.needs("process-events")
FORKS = "\n".join(
    [
        "say('here'); wait()",
        "pid = os.fork()",
        "if pid == 0: os._exit(0)",
        "os.waitpid(pid, 0); say('forked'); wait()",
    ]
)


@pytest.fixture
def events() -> Iterator[ProcessEvents]:
    events = ProcessEvents()
    yield events
    events.close()


@NEEDED
def test_a_process_is_born_and_execs(events: ProcessEvents, programs: Programs) -> None:
    before = time.monotonic_ns()
    with programs.running("slack", f"say('here'); wait(); os.execv({str(programs.path('lat'))!r}, ['lat', '-h'])") as p:
        said(p)
        events.drain()
        between = time.monotonic_ns()
        assert events.changed_since(p.pid, before) is True
        assert events.changed_since(p.pid, between) is False
        go_on(p)
        p.wait()
        # Its end is known as soon as it has been waited for; then the number is nobody's.
        events.drain()
        assert events.changed_since(p.pid, before) is False


@NEEDED
def test_an_exec_is_known_as_soon_as_the_new_program_says_anything(events: ProcessEvents, programs: Programs) -> None:
    lat = [str(programs.path("lat")), "-P", "-S", "-c", "print('execed', flush=True); input()"]
    with programs.running("slack", f"say('here'); wait(); os.execv({lat[0]!r}, {lat!r})") as p:
        said(p)
        between = time.monotonic_ns()
        go_on(p)
        assert said(p) == "execed"
        events.drain()
        assert events.changed_since(p.pid, between) is True
        assert events.forked_since(p.pid, between) is False


@NEEDED
def test_a_fork_is_told_of_the_parent(events: ProcessEvents, programs: Programs) -> None:
    with programs.running("slack", FORKS) as p:
        said(p)
        between = time.monotonic_ns()
        events.drain()
        assert events.forked_since(p.pid, between) is False
        go_on(p)
        said(p)
        events.drain()
        assert events.forked_since(p.pid, between) is True
        assert events.changed_since(p.pid, between) is False


@NEEDED
def test_threads_are_not_processes(events: ProcessEvents) -> None:
    events.drain()
    before = time.monotonic_ns()
    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    events.drain()
    assert events.forked_since(os.getpid(), before) is False
    assert events.changed_since(os.getpid(), before) is False


@NEEDED
def test_what_was_before_it_began_is_not_known(events: ProcessEvents) -> None:
    since = events.since_ns
    assert events.changed_since(os.getpid(), since - 1) is None
    assert events.forked_since(os.getpid(), since - 1) is None
    assert events.changed_since(os.getpid(), since) is False
    assert events.changed_since(os.getpid(), since + 1) is False


@NEEDED
def test_where_more_is_queued_than_is_taken_in_nothing_is_certain(events: ProcessEvents) -> None:
    events.drain()
    now = time.monotonic_ns()
    for _ in range(4):  # three events each
        subprocess.run(["true"], check=True)
    events.drain(most=2)
    assert events.changed_since(os.getpid(), now) is None
    events.drain()
    assert events.changed_since(os.getpid(), now) is False
    assert events.forked_since(os.getpid(), now) is True


@NEEDED
def test_after_an_overflow_what_was_before_is_unknown() -> None:
    """A queue with no room to speak of, and more processes than it holds."""
    small = ProcessEvents(buffer_bytes=4096)
    started = small.since_ns
    for _ in range(40):
        subprocess.run(["true"], check=True)
    between = time.monotonic_ns()
    small.drain()
    assert small.since_ns > started
    assert small.changed_since(os.getpid(), started) is None
    # Until the queue was empty events were lost, so nothing from before the draining is known either.
    assert small.changed_since(os.getpid(), between) is None
    later = time.monotonic_ns()
    subprocess.run(["true"], check=True)
    small.drain()
    assert small.forked_since(os.getpid(), later) is True
    assert small.changed_since(os.getpid(), later) is False
    small.close()


@NEEDED
def test_two_can_listen_and_one_leave(events: ProcessEvents) -> None:
    other = ProcessEvents()
    other.close()
    now = time.monotonic_ns()
    subprocess.run(["true"], check=True)
    events.drain()
    assert events.forked_since(os.getpid(), now) is True


@pytest.mark.needs("unshare")
@pytest.mark.parametrize(
    "namespace",
    [
        ["unshare", "--pid", "--fork", "--mount-proc"],
        ["unshare", "--net"],
        ["unshare", "--user", "--map-root-user"],
    ],
)
@NEEDED
def test_in_another_namespace_there_are_none_and_it_says_so(events: ProcessEvents, namespace: list[str]) -> None:
    """With a listener in the first one, events pass there too; that nobody was asked shows in the missing answer."""
    code = "from steering.endpoint.identify.linux_events import open_events as o; e, why = o(); print(e is None, why)"
    done = subprocess.run(
        [*namespace, sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.startswith("True the kernel gives no process events: ")


@pytest.mark.needs("root")
def test_without_the_capability_it_works_or_says_so() -> None:
    """Since Linux 6.6 anybody may listen."""
    code = """
import os, subprocess, sys, time
sys.path.insert(0, ".")
from steering.endpoint.identify.linux_events import open_events
os.setgroups([]); os.setgid(4242); os.setuid(4242)
events, why = open_events()
if events is None:
    print(why)
else:
    now = time.monotonic_ns()
    subprocess.run(["/bin/true"], check=True)
    events.drain()
    print("works" if events.forked_since(os.getpid(), now) else "is deaf")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() in {
        "works",
        "the kernel gives no process events: Operation not permitted",
        "the kernel gives no process events: Permission denied",
    }


@NEEDED
def test_open_events() -> None:
    events, why = open_events()
    assert events is not None
    assert why == ""
    events.close()


def message(what: int, acknowledged: int, error: int, cut: int = 0) -> bytes:
    body = struct.pack("=IIQI", what, 0, 7, error) + bytes(20)
    whole = bytes(16) + struct.pack("=IIIIHH", 1, 1, 0, acknowledged, len(body), 0) + body
    return whole[: len(whole) - cut]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (message(0, 43, 0), 0),
        (message(0, 43, 1), 1),
        (message(0, 42, 0), None),  # the answer to another's question
        (message(1, 43, 0), None),  # an event
        (message(0, 43, 0, cut=20), 0),
        (message(0, 43, 0, cut=21), None),
        (b"", None),
    ],
)
def test_read_answer(text: bytes, expected: int | None) -> None:
    assert read_answer(text, 42) == expected


def run_filter(packet: bytes) -> int:
    """A classic BPF machine, as far as the filter goes."""
    code = [struct.unpack_from("=HBBI", filter_code(), at) for at in range(0, len(filter_code()), 8)]
    at = kept = word = 0
    while True:
        operation, if_true, if_false, value = code[at]
        at += 1
        match operation:
            case 0x20:
                word = int.from_bytes(packet[value : value + 4], "big")
            case 0x07:
                kept = word
            case 0x15:
                at += if_true if word == value else if_false
            case 0x1D:
                at += if_true if word == kept else if_false
            case 0x06:
                return int(value)
            case _:
                raise AssertionError(operation)


@pytest.mark.parametrize(
    ("what", "fields", "passes"),
    [
        (0x0, (0, 0, 0, 0), True),  # answers
        (0x1, (7, 7, 9, 9), True),  # a process is born
        (0x1, (7, 7, 9, 7), False),  # a thread
        (0x2, (7, 7, 0, 0), True),  # exec
        (0x2, (8, 7, 0, 0), True),
        (0x4, (7, 7, 0, 0), False),  # uid
        (0x40, (7, 7, 0, 0), False),
        (0x200, (7, 7, 0, 0), False),  # comm
        (0x40000000, (7, 7, 0, 0), False),  # coredump
        (0x80000000, (7, 7, 0, 17), True),  # a process ends
        (0x80000000, (9, 7, 0, 17), False),  # a thread
    ],
)
def test_the_filter_lets_in_what_is_of_whole_processes(what: int, fields: tuple[int, ...], passes: bool) -> None:
    packet = bytes(36) + struct.pack("=IIQ", what, 0, 5) + struct.pack("=IIII", *fields) + bytes(8)
    assert bool(run_filter(packet)) is passes


@NEEDED
def test_closing_lets_go_of_the_descriptor() -> None:
    before = descriptors()
    ProcessEvents().close()
    wait_until(lambda: descriptors() == before)
