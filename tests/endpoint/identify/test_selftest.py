"""The self-test: connections to ourselves must be found to be ours."""

import os
from collections.abc import Callable

import pytest

from steering.endpoint.identify import open_identifier
from steering.endpoint.identify.identity import Ends, Identity, Method
from steering.endpoint.identify.selftest import KINDS, run_self_test
from steering.policy import System
from tests.endpoint.identify.programs import descriptors


class Answers:
    """An identifier with these answers; None: not at once."""

    notes: tuple[str, ...] = ()
    wants: frozenset[str] = frozenset()

    def __init__(self, fast: Callable[[Ends], Identity | None], full: Identity | None = None) -> None:
        self._fast = fast
        self._full = full
        self.asked: list[Ends] = []

    def fast(self, ends: Ends) -> Identity | None:
        self.asked.append(ends)
        return self._fast(ends)

    async def full(self, ends: Ends) -> Identity:
        assert self._full is not None
        return self._full

    def watch(self) -> None:
        pass

    def close(self) -> None:
        pass


US = Identity(system=System.LINUX, pid=os.getpid(), names=("python",))
OTHERS = Identity(system=System.LINUX, pid=1, names=("init",))
NOBODY = Identity(system=System.LINUX, pid=os.getpid(), unknown="why")


@pytest.mark.needs("linux")
async def test_the_real_ladder_passes() -> None:
    identifier = open_identifier()
    results = await run_self_test(identifier)
    assert [(result.kind, result.why, result.identity.pid) for result in results] == [
        (kind, "", os.getpid()) for kind in KINDS
    ]
    assert {result.identity.method for result in results} <= {Method.MAP, Method.RECENT, Method.CGROUP, Method.SCAN}
    identifier.close()


@pytest.mark.parametrize(
    ("identifier", "identity", "why"),
    [
        (Answers(lambda _: US), US, ""),
        (Answers(lambda _: None, US), US, ""),
        (Answers(lambda _: OTHERS), OTHERS, f"process 1 was named, this is {os.getpid()}"),
        (Answers(lambda _: None, OTHERS), OTHERS, f"process 1 was named, this is {os.getpid()}"),
        (Answers(lambda _: NOBODY), NOBODY, "why"),
    ],
)
async def test_what_went_wrong_is_told_for_each_kind(identifier: Answers, identity: Identity, why: str) -> None:
    results = await run_self_test(identifier)
    assert [(result.kind, result.identity, result.why) for result in results] == [
        (kind, identity, why) for kind in KINDS
    ]
    assert all(result.took_us > 0 for result in results)
    assert [str(ends.local) for ends in identifier.asked] == ["127.0.0.1", "127.0.0.1", "::1"]
    assert all(ends.local == ends.remote and ends.local_port != ends.remote_port for ends in identifier.asked)


async def test_a_kind_of_address_that_is_not_here_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(KINDS, "IPv6", ("2001:db8::1", "2001:db8::1", KINDS["IPv6"][2]))
    before = descriptors()
    assert [result.kind for result in await run_self_test(Answers(lambda _: US))] == ["IPv4", "IPv4-mapped"]
    assert descriptors() == before
