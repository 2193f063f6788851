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
