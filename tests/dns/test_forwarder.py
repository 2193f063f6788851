"""Which upstream is asked, and that none of them is ourselves."""

from typing import Any

import pytest

from steering_dns import Forwarder, parse_upstream
from steering_dns.forwarder import UNWELL_S, ForwardError
from tests.dns.upstream import UpstreamServer
from tests.dns.world import RECORDS, free_port, world
from tests.kit import eventually

NAME = b"\6pinned\7example\0"


async def test_the_unwell_are_asked_last_for_a_while() -> None:
    async with UpstreamServer(dict(RECORDS)) as first, UpstreamServer(dict(RECORDS)) as second:
        now = [0.0]
        forwarder = Forwarder(clock=lambda: now[0])
        group = tuple(parse_upstream(f"udp://127.0.0.1:{s.port}") for s in (first, second))
        first.chaos.drop = 2
        for _ in range(3):
            await forwarder.ask(group, NAME, 1, 0, within_s=5)
        assert (len(first.asked), len(second.asked)) == (2, 3)
        now[0] += UNWELL_S
        await forwarder.ask(group, NAME, 1, 0, within_s=5)
        assert (len(first.asked), len(second.asked)) == (3, 3)
        forwarder.close()


async def test_servfail_asks_the_next_and_is_passed_on_when_all_say_so() -> None:
    async with UpstreamServer(dict(RECORDS)) as first, UpstreamServer(dict(RECORDS)) as second:
        forwarder = Forwarder()
        group = tuple(parse_upstream(f"udp://127.0.0.1:{s.port}") for s in (first, second))
        first.chaos.rcode = 2
        assert (await forwarder.ask(group, NAME, 1, 0, within_s=5))[3] & 15 == 0
        second.chaos.rcode = 5
        assert (await forwarder.ask(group, NAME, 1, 0, within_s=5))[3] & 15 == 5
        forwarder.close()


@pytest.mark.parametrize("upstreams", [(), (f"udp://127.0.0.1:{free_port()}",)])
async def test_nobody_answers(upstreams: tuple[str, ...]) -> None:
    forwarder = Forwarder()
    with pytest.raises(ForwardError):
        await forwarder.ask(tuple(map(parse_upstream, upstreams)), NAME, 1, 0, within_s=2)
    forwarder.close()


async def test_a_loop_through_another_resolver_is_found() -> None:
    more: dict[str, Any] = {"loop_token": "0123"}
    async with world(**more) as inner:
        # The outer service shares the token, as its workers do; asking the inner one, it hears itself.
        async with world(upstreams=(parse_upstream(f"udp://127.0.0.1:{inner.port}"),), **more) as outer:
            await eventually(lambda: outer.server.counters()["upstream:looped"] == 1)
            assert await outer.answer("pinned.example") == ("SERVFAIL", [])
        assert inner.server.counters()["upstream:looped"] == 0
