"""Answers asked for once, failures remembered for a moment."""

import pytest

from steering_dns import Limits
from steering_dns.forwarder import ROUNDS
from steering_dns.lookup import FAILURE_S
from tests.dns.world import world


async def test_a_failure_is_not_asked_again_at_once() -> None:
    async with world() as w:
        w.upstream.chaos.garbage = -1
        for _ in range(3):
            assert (await w.answer("pinned.example"))[0] == "SERVFAIL"
        assert w.upstream.asked.count(("pinned.example.", "A")) == ROUNDS
        w.upstream.chaos.garbage = 0
        w.clock.now += FAILURE_S
        assert (await w.answer("pinned.example"))[0] == "NOERROR"


@pytest.mark.parametrize(("limit", "rcode"), [(0, "SERVFAIL"), (1, "NOERROR"), (2, "NOERROR")])
async def test_questions_at_one_time_are_bounded(limit: int, rcode: str) -> None:
    async with world(limits=Limits(questions=limit)) as w:
        assert (await w.answer("pinned.example"))[0] == rcode
    async with world(limits=Limits(questions_per_client=limit)) as w:
        assert (await w.answer("pinned.example"))[0] == rcode


async def test_negative_answers_are_cached() -> None:
    async with world() as w:
        for _ in range(2):
            assert await w.answer("nothing.pinned.example") == ("NXDOMAIN", [])
        assert w.upstream.asked.count(("nothing.pinned.example.", "A")) == 1
        w.clock.now += 60
        await w.answer("nothing.pinned.example")
        assert w.upstream.asked.count(("nothing.pinned.example.", "A")) == 2


@pytest.mark.parametrize("rcode", [1, 2, 4, 5, 9])
async def test_what_upstreams_fail_to_say_is_servfail_and_not_asked_again_at_once(rcode: int) -> None:
    async with world() as w:
        w.upstream.chaos.rcode = rcode
        for _ in range(3):
            assert await w.answer("pinned.example") == ("SERVFAIL", [])
        assert w.upstream.asked.count(("pinned.example.", "A")) == ROUNDS
        w.upstream.chaos.rcode = None
        w.clock.now += FAILURE_S - 0.1
        assert (await w.answer("pinned.example"))[0] == "SERVFAIL"
        w.clock.now += 0.1
        assert (await w.answer("pinned.example"))[0] == "NOERROR"


async def test_zones_and_dnssec_have_answers_of_their_own() -> None:
    """What a client without DO got is not given to one with it, nor the other way."""
    async with world() as w:
        for want_dnssec in (False, True, False, True):
            await w.ask("pinned.example", want_dnssec=want_dnssec, use_edns=0)
        assert w.upstream.asked.count(("pinned.example.", "A")) == 2
