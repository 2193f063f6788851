"""An identifier is believed while it knows this very process, and only then."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import suppress
from ipaddress import ip_address

import pytest

from steering.endpoint.identify import selftest
from steering.endpoint.identify.identity import Ends, Identifier, Identity, Method
from steering.endpoint.trial import ATTEMPTS, TriedIdentifier, tried
from steering.policy import System

ENDS = Ends(ip_address("127.0.0.1"), 1000, ip_address("127.0.0.1"), 2000)
ME = Identity(system=System.LINUX, pid=os.getpid(), names=("python3",), method=Method.MAP)
OTHER = Identity(system=System.LINUX, pid=1, names=("init",), method=Method.MAP)
NOBODY = Identity(system=System.LINUX, unknown="not found")


class Constant:
    """Answers the same for everything."""

    notes: tuple[str, ...] = ("constructed",)

    def __init__(self, quick: Identity | None, slow: Identity) -> None:
        self.wants: frozenset[str] = frozenset()
        self.quick, self.slow = quick, slow
        self.watched = self.closed = False

    def fast(self, ends: Ends) -> Identity | None:
        return self.quick

    async def full(self, ends: Ends) -> Identity:
        return self.slow

    def watch(self) -> None:
        self.watched = True

    def close(self) -> None:
        self.closed = True


class Script:
    """A self-test that ends as it is told, the last over and over."""

    def __init__(self, *ends: Sequence[selftest.Tested]) -> None:
        self._ends = list(ends)
        self.calls = 0

    async def __call__(self, identifier: Identifier) -> Sequence[selftest.Tested]:
        self.calls += 1
        return self._ends.pop(0) if len(self._ends) > 1 else self._ends[0]


GOOD = (selftest.Tested("IPv4", ME, ""), selftest.Tested("IPv6", ME, ""))
BAD = (selftest.Tested("IPv4", ME, ""), selftest.Tested("IPv6", NOBODY, "not found"))


async def test_the_real_self_test_tells_who_knows_us() -> None:
    right = await tried(Constant(None, ME))
    assert right.passed and right.words.startswith("passed: IPv4: by socket map")
    wrong = await tried(Constant(OTHER, OTHER))
    assert not wrong.passed
    assert wrong.words.startswith(f"failed: IPv4: process 1 was named, this is {os.getpid()}")


# What the attempts come to -> how many there are, and what is said.
TRIALS = {
    "at once": (Script(GOOD), 1, "passed: IPv4: by socket map; IPv6: by socket map"),
    "at the last": (Script(BAD, BAD, GOOD), ATTEMPTS, "passed: IPv4: by socket map; IPv6: by socket map"),
    "never": (Script(BAD), ATTEMPTS, "failed: IPv4: by socket map; IPv6: not found"),
    "nothing to test": (Script(()), ATTEMPTS, "failed: this computer has no loopback address to test it with"),
}


@pytest.mark.parametrize("case", TRIALS)
async def test_a_few_attempts(case: str) -> None:
    script, calls, words = TRIALS[case]
    trial = await tried(Constant(ME, ME), script)
    assert (trial.words, trial.passed, script.calls) == (words, words.startswith("passed"), calls)


async def test_nothing_is_believed_before_it_has_passed_and_nothing_after_it_has_failed() -> None:
    identifier = TriedIdentifier(Constant(ME, ME), System.LINUX, Script(GOOD, BAD))
    for passed in (False, True, False):
        quick, slow = identifier.fast(ENDS), await identifier.full(ENDS)
        if passed:
            assert (quick, slow) == (ME, ME)
        else:
            assert quick == slow and slow.unknown.endswith("has not passed") and not slow.names
        await identifier.try_now()


async def test_what_failed_is_tested_again_and_what_passed_is_not() -> None:
    script = Script(BAD, BAD, BAD, BAD, GOOD)
    identifier = TriedIdentifier(Constant(ME, ME), System.LINUX, script)
    assert not (await identifier.try_now()).passed
    told = asyncio.Event()
    again = asyncio.create_task(identifier.try_again(lambda trial: told.set(), every_s=0.01))
    try:
        async with asyncio.timeout(10):
            await told.wait()
        calls = script.calls
        for _ in range(20):
            await asyncio.sleep(0.01)
        assert (calls, script.calls) == (5, 5) and identifier.trial.passed
    finally:
        again.cancel()
        with suppress(asyncio.CancelledError):
            await again


def test_everything_else_is_the_inner_one() -> None:
    inner = Constant(ME, ME)
    identifier = TriedIdentifier(inner, System.LINUX, Script(GOOD))
    identifier.wants = frozenset({"sha256"})
    identifier.watch()
    identifier.close()
    assert (inner.wants, identifier.wants) == (frozenset({"sha256"}), frozenset({"sha256"}))
    assert (inner.watched, inner.closed, identifier.notes) == (True, True, ("constructed",))
