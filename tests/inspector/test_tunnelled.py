"""A tunnel in the register: its line, its time, and its end when it is no longer bypassed."""

import asyncio
from typing import Any

import pytest

from steering_inspector.settings import Limits
from tests.inspector.clients import RULES, Wire, dial_tls, policy_of, running, until
from tests.inspector.origin import Head


async def test_tunnels_that_are_no_longer_bypassed_are_closed() -> None:
    async with running() as rig:
        wire = await rig.open("pinned.example")
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        rig.live.swap(policy_of(RULES))
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        rig.live.swap(policy_of(RULES[1:]))
        assert await wire.at_end() == b""
        await wire.close()
        (line,) = await rig.settled()
        assert line.reason == "policy-change"


async def test_a_bypass_that_ends_closes_its_tunnels_without_a_change_of_rules() -> None:
    now = 1_800_000_000.0
    rules = [{"name": "for a while", "domains": ["pinned.example"], "expires_at": "2027-01-15T08:00:10Z"}]
    async with running(rules=rules, clock=lambda: now, limits=Limits(sweep_s=0.1)) as rig:
        wire = await rig.open("pinned.example")
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        now += 9.9
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        now += 0.1  # half-open: the instant itself is outside
        assert await wire.at_end() == b""
        await wire.close()
        (line,) = await rig.settled()
        assert (line.rule, line.reason, round(line.duration_ms)) == ("for a while", "policy-change", 10_000)


def test_tunnels_are_looked_at_often_enough() -> None:
    """Within a minute, by the design; the clock ticks twice a second."""
    assert Limits().sweep_s + 0.5 < 60


@pytest.mark.parametrize(
    ("rules", "stays"),
    [
        ([{"name": "a", "domains": ["pinned.example", "other.example"]}], True),
        ([{"name": "a", "domains": ["pinned.example"]}], False),
        ([{"name": "a", "domains": ["other.example"]}], False),
    ],
)
async def test_every_name_that_was_visible_must_stay_bypassed(rules: list[dict[str, Any]], stays: bool) -> None:
    both = [{"name": "a", "domains": ["pinned.example", "other.example"]}]
    async with running(rules=both) as rig:
        wire = await rig.open("pinned.example", connect="other.example")
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        rig.live.swap(policy_of(rules))
        if stays:
            assert (await wire.get("pinned.example", "/hello"))[0] == 200
        else:
            assert await wire.at_end() == b""
        await wire.close()


async def test_a_tunnel_opened_by_a_setting_stays_until_its_name_is_blocked() -> None:
    async with running(allow_no_http1=True) as rig:
        link, told = await dial_tls(rig, rig.tls, sni="www.example", alpn=("h2",))
        rig.live.swap(policy_of([{"name": "look", "action": "inspect", "domains": ["www.example"]}]))
        link.write(b"GET /hello HTTP/1.1\r\nHost: www.example\r\n\r\n")
        await until(lambda: told.got.endswith(b"hello\n"))
        rig.live.swap(policy_of([{"name": "no", "action": "block", "domains": ["www.example"]}]))
        await until(lambda: told.over)
        (line,) = await rig.settled()
        assert (line.effect, line.reason) == ("tunnel", "policy-change")
        link.close()


async def test_a_tunnel_half_closes_and_its_line_counts_both_ways() -> None:
    async with running() as rig:

        async def count(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
            writer.write(str(len(await reader.read())).encode())
            return True

        rig.origin.replies["/count"] = count
        link, told = await dial_tls(rig, rig.tls, sni="pinned.example")
        link.write(b"POST /count HTTP/1.1\r\n\r\n" + bytes(3_000_000))
        link.finish()
        # asyncio's servers end a TLS connection with its first half; the bytes have passed all the same.
        await until(lambda: told.over)
        (line,) = await rig.settled()
        assert (line.effect, line.rule, line.host) == ("tunnel", "pinned", "pinned.example")
        assert line.received == link.sent > 3_000_000 and line.sent == link.received > 0
        link.close()


async def test_a_tunnel_is_cut_when_nothing_passes_for_too_long() -> None:
    async with running(limits=Limits(tunnel_idle_s=1.5)) as rig:
        busy, idle = await rig.open("pinned.example"), await rig.open("pinned.example")

        async def keep_busy() -> None:
            while len(rig.log) < 1:
                await busy.get("pinned.example", "/hello")
                await asyncio.sleep(0.1)

        assert (await asyncio.gather(idle.at_end(), keep_busy()))[0] == b""
        assert (await busy.get("pinned.example", "/hello"))[0] == 200
        await busy.close()
        await idle.close()
        assert [line.reason for line in await rig.settled(2)] == ["timeout", ""]


async def test_a_drain_waits_for_tunnels_and_then_cuts_them() -> None:
    async with running() as rig:
        wire = await rig.open("pinned.example")
        draining = asyncio.get_running_loop().create_task(rig.inspector.drain(0.5))
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        assert await wire.at_end() == b""
        await draining
        await wire.close()
        assert [line.reason for line in rig.log] == ["shutdown"]


async def test_each_tunnel_leaves_one_line() -> None:
    async with running() as rig:
        wires: list[Wire] = [await rig.open("pinned.example") for _ in range(5)]
        for wire in wires:
            await wire.close()
        await rig.settled(5)
        await until(lambda: not rig.inspector.counters()["connections"])
        assert len(rig.log) == 5 and rig.inspector.counters()["tunnel"] == 5
