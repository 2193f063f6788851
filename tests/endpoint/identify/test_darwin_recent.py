"""What is certain of a process, and since when."""

import pytest

from steering.endpoint.identify import darwin_recent
from steering.endpoint.identify.darwin_recent import DarwinRecent
from steering.endpoint.identify.darwin_sockets import Process
from steering.endpoint.identify.darwin_system import Change
from tests.endpoint.identify.darwin_worlds import ConstructedDarwin

SLACK = Process(7, 1, 501, (10, 0))


class World:
    """A constructed system, a clock, and what remembers."""

    def __init__(self, watchable: bool = True) -> None:
        self.now = 100
        self.system = ConstructedDarwin(watchable=watchable)
        self.recent = DarwinRecent(self.system, size=2, clock_ns=lambda: self.now)


@pytest.mark.parametrize(("at", "certain"), [(99, False), (100, True), (101, True)])
def test_it_is_certain_from_when_it_was_watched(at: int, certain: bool) -> None:
    world = World()
    world.recent.watch(SLACK)
    world.now = 500
    world.recent.watch(SLACK)  # the second time changes nothing
    assert world.recent.same_since(SLACK, at) is certain
    assert world.system.watched == [7]


def test_a_change_begins_anew() -> None:
    world = World()
    world.recent.saw(SLACK)
    world.now = 200
    world.system.happened = [Change(7, ended=False), Change(8, ended=False)]
    world.recent.drain()
    assert not world.recent.same_since(SLACK, 199) and world.recent.same_since(SLACK, 200)
    assert list(world.recent.newest(9)) == [7]


def test_what_ended_is_forgotten() -> None:
    world = World()
    world.recent.saw(SLACK)
    world.system.happened = [Change(7, ended=True)]
    world.recent.drain()
    assert not world.recent.is_watched(7) and not world.recent.same_since(SLACK, 10**9)
    assert list(world.recent.newest(9)) == []


def test_a_later_process_with_the_number_is_another() -> None:
    world = World()
    world.recent.watch(SLACK)
    later = SLACK._replace(started=(10, 1))
    assert not world.recent.same_since(later, 10**9)
    world.now = 300
    world.recent.watch(later)
    assert world.recent.same_since(later, 300) and not world.recent.same_since(later, 299)
    assert not world.recent.same_since(SLACK, 10**9)


def test_what_cannot_be_watched_is_never_certain() -> None:
    world = World(watchable=False)
    world.recent.saw(SLACK)
    assert not world.recent.same_since(SLACK, 10**9) and not world.recent.is_watched(7)
    assert list(world.recent.newest(9)) == [7]


def test_the_newest_are_tried_first_and_the_oldest_forgotten() -> None:
    world = World()
    for pid in (1, 2, 1, 3):
        world.recent.saw(SLACK._replace(pid=pid))
    assert list(world.recent.newest(9)) == [3, 1]
    assert list(world.recent.newest(1)) == [3] and list(world.recent.newest(0)) == []


@pytest.mark.parametrize("more", [-1, 0, 1])
def test_there_is_an_end_to_watching(monkeypatch: pytest.MonkeyPatch, more: int) -> None:
    monkeypatch.setattr(darwin_recent, "WATCHED", 3)
    world = World()
    for pid in range(1, 4 + more):
        world.recent.watch(SLACK._replace(pid=pid))
    assert world.recent.is_watched(1) is (more <= 0)
