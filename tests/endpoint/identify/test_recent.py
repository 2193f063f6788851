"""Which processes are remembered, and for how long."""

import os
from collections.abc import Iterator

import pytest

from steering.endpoint.identify.recent import RecentProcesses
from tests.endpoint.identify.programs import Programs, descriptors, go_on

pytestmark = pytest.mark.needs("linux")


@pytest.fixture
def running(programs: Programs) -> Iterator[list[int]]:
    with (
        programs.running("slack", "wait()") as one,
        programs.running("slack", "wait()") as two,
        programs.running("slack", "wait()") as three,
    ):
        yield [one.pid, two.pid, three.pid]


def test_the_newest_come_first(running: list[int]) -> None:
    recent = RecentProcesses()
    for pid in running:
        assert recent.add(pid) is not None
    recent.touch(running[0])
    recent.touch(1)
    one, two, three = running
    assert [known.process.pid for known in recent.newest(9, 0)] == [one, three, two]
    assert [known.process.pid for known in recent.newest(2, 0)] == [one, three]
    recent.drop(one)
    assert [known.process.pid for known in recent.newest(9, 0)] == [three, two]
    recent.close()
    assert len(recent) == 0


def test_those_of_other_control_groups_are_passed_over(running: list[int]) -> None:
    recent = RecentProcesses()
    for pid, group in zip(running, (5, None, 6), strict=True):
        known = recent.add(pid)
        assert known is not None
        if group is not None:
            known.saw("/x", 7, group)
    one, two, three = running
    assert [known.process.pid for known in recent.newest(9, 5)] == [two, one]
    assert [known.process.pid for known in recent.newest(9, 6)] == [three, two]
    assert [known.process.pid for known in recent.newest(9, 0)] == [two]
    assert [known.process.pid for known in recent.newest(1, 5)] == [two]
    recent.close()


@pytest.mark.parametrize(("size", "kept"), [(1, 1), (2, 2), (3, 3), (4, 3)])
def test_no_more_than_its_size_and_no_descriptor_more(running: list[int], size: int, kept: int) -> None:
    before = descriptors()
    recent = RecentProcesses(size)
    for pid in running:
        recent.add(pid)
    assert len(recent) == kept == descriptors() - before
    recent.close()
    assert descriptors() == before


def test_one_dropped_meanwhile_is_passed_over(running: list[int]) -> None:
    recent = RecentProcesses()
    for pid in running:
        recent.add(pid)
    met = []
    for known in recent.newest(3, 0):
        met.append(known.process.pid)
        recent.drop(running[1])
    assert met == [running[2], running[0]]
    recent.close()


def test_a_number_given_away_again_is_another_process(programs: Programs) -> None:
    recent = RecentProcesses()
    with programs.running("slack", "wait()") as process:
        known = recent.add(process.pid)
        assert known is not None
        known.saw("/x", 7, 0)
        assert recent.get(process.pid) is known
        go_on(process)
        process.wait()
        assert known.process.executable() is None
        assert recent.add(process.pid) is None
        assert recent.get(process.pid) is None
    recent.close()


def test_what_it_was_seen_to_execute() -> None:
    recent = RecentProcesses()
    known = recent.add(os.getpid())
    assert known is not None
    paths = [known.path]
    known.saw("/usr/bin/x", 70, 5)
    assert ([*paths, known.path], known.at_ns, known.group) == ([None, "/usr/bin/x"], 70, 5)
    assert recent.add(os.getpid()) is not known  # as the newest process of that number: nothing is known of it
    recent.close()
