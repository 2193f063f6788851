"""Which upstream is asked, and that none of them is ourselves."""

from typing import Any

import pytest

from steering_dns import Forwarder, Limits, parse_upstream
from steering_dns.exchange import ExchangeError, exchange_with
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


async def test_a_loop_is_found_although_the_first_probe_was_lost() -> None:
    more: dict[str, Any] = {"loop_token": "0123"}
    async with UpstreamServer(dict(RECORDS)) as between:
        between.chaos.rcode = 2  # no answer to the probe: it may be ourselves or not
        limits = Limits(probe_again_s=0.05)
        async with world(upstreams=(parse_upstream(f"udp://127.0.0.1:{between.port}"),), limits=limits, **more) as w:
            await eventually(lambda: len(between.asked) >= 3)
            assert w.server.counters()["upstream:looped"] == 0
            between.records["0123.steering-loop-probe.example.", "TXT"] = ["loop"]
            between.chaos.rcode = None
            await eventually(lambda: w.server.counters()["upstream:looped"] == 1)


async def test_only_upstreams_over_tls_need_trust() -> None:
    async with UpstreamServer(dict(RECORDS)) as upstream:
        forwarder = Forwarder()
        await forwarder.ask((parse_upstream(f"tcp://127.0.0.1:{upstream.port}"),), NAME, 1, 0, within_s=5)
        forwarder.close()
    with pytest.raises(ExchangeError, match="needs TLS"):
        exchange_with(parse_upstream("tls://127.0.0.1"), None)
