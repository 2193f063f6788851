"""The local proxy as a service: accepting, limits, what lasts and what a change of policy ends, and its end."""

import asyncio
import resource
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from steering.endpoint.identify.identity import Ends, Identity
from steering.policy import System
from tests.endpoint.proxy.rig import CURL, RULES, Named, Wire, bound, limits, running
from tests.inspector.origin import Head
from tests.kit import eventually


@pytest.mark.parametrize(
    ("rules", "ends"),
    [
        (RULES, False),
        (RULES[1:], True),
        ([*RULES, {"name": "not that", "action": "inspect", "domains": ["pin.example"]}], True),
        ([*RULES, {"name": "who", "action": "block", "domains": ["pin.example"], "programs": ["curl"]}], True),
        ([*RULES, {"name": "who", "action": "block", "domains": ["pin.example"], "programs": ["slack"]}], False),
    ],
)
async def test_a_change_of_policy_ends_what_is_no_longer_direct(rules: list[dict[str, Any]], ends: bool) -> None:
    async with running() as rig:
        wire = await rig.open(f"pin.example:{rig.tls.port}", "pin.example")
        await wire.get("pin.example")
        rig.swap(rules)
        if not ends:
            await wire.get("pin.example")
            assert rig.lines == []
        else:
            assert await wire.ended()
            (line,) = rig.lines
            assert (line.effect, line.reason) == ("direct", "policy-change")
        await wire.close()


async def test_what_goes_through_the_inspector_is_its_to_decide_again() -> None:
    async with running() as rig:
        wire = await rig.open(f"www.example:{rig.tls.port}", "www.example")
        rig.swap([{"name": "now direct", "domains": ["www.example"]}])
        assert (await wire.get("www.example")).endswith(b"hello\n")
        await wire.close()


async def test_a_bypass_that_ends_closes_without_a_change_of_rules() -> None:
    now = 1_800_000_000.0
    rules = [{"name": "for a while", "domains": ["pin.example"], "expires_at": "2027-01-15T08:00:10Z"}]
    async with running(rules=rules, clock=lambda: now, within=limits(sweep_s=0.0)) as rig:
        wire = await rig.open(f"pin.example:{rig.tls.port}", "pin.example")
        now += 9.9
        await wire.get("pin.example")
        now += 0.1
        assert await wire.ended()
        assert [line.reason for line in await rig.settled()] == ["policy-change"]
        await wire.close()


WWW_BLOCKED = [{"name": "not any more", "action": "block", "domains": ["www.example"]}]
WWW_BYPASSED = [{"name": "by the way", "domains": ["www.example"]}]


@pytest.mark.parametrize(
    ("rules", "mode", "ends"),
    [
        (None, "open", False),
        (None, "closed", True),
        (WWW_BLOCKED, "open", True),
        (WWW_BYPASSED, "open", False),
        (WWW_BYPASSED, "closed", False),
    ],
)
async def test_what_went_past_the_inspector_lasts_as_long_as_that_is_allowed(
    rules: list[dict[str, Any]] | None, mode: str, ends: bool
) -> None:
    async with running(bundle=False) as rig:
        dead = bound()
        rig.inspector.port = dead.getsockname()[1]
        dead.close()
        rig.swap(inspector_unreachable="open")
        wire = await rig.open(f"www.example:{rig.tls.port}", "www.example")
        rig.swap(rules, inspector_unreachable=mode)
        if ends:
            assert await wire.ended()
        else:
            await wire.get("www.example")
        await wire.close()


@pytest.mark.parametrize("host", ["pin.example", "www.example"])
async def test_what_stands_still_is_closed(host: str) -> None:
    async with running(within=limits(idle_s=0.2)) as rig:
        wire = await rig.open(f"{host}:{rig.tls.port}", host)
        assert await wire.ended()
        await wire.close()
        assert [line.reason for line in await rig.settled()] == ["timeout"]


async def test_no_more_connections_than_the_limit() -> None:
    async with running(within=limits(max_connections=3)) as rig:
        wires = [await rig.open(f"pin.example:{rig.tls.port}", "pin.example") for _ in range(3)]
        assert rig.proxy.counters()["connections"] == 3
        waiting = await rig.connect()
        await waiting.send(f"GET {rig.url}/healthz HTTP/1.1\r\n\r\n".encode())
        await eventually(lambda: rig.proxy.counters().get("accept:full"))
        assert rig.proxy.counters()["connections"] == 3
        await wires.pop().close()
        assert (await waiting.head()).startswith(b"HTTP/1.1 ")  # served once one has gone
        for wire in [*wires, waiting]:
            await wire.close()


class _Broken(Named):
    def fast(self, ends: Ends) -> Identity | None:
        raise RuntimeError("a fault")


@pytest.mark.parametrize(("host", "effect"), [("app.example", "proxy"), ("pin.example", "direct")])
async def test_a_fault_in_identifying_is_an_unknown_program(host: str, effect: str) -> None:
    async with running(identifier=_Broken(Identity(system=System.LINUX, names=("slack",)))) as rig:
        wire = await rig.open(f"{host}:{rig.tls.port}", host)
        await wire.close()
        assert [line.effect for line in await rig.settled()] == [effect]
        assert rig.proxy.counters()["internal-error"] == 1


async def test_a_captured_listener_that_is_asked_for_itself_closes() -> None:
    listener = bound()
    async with running() as rig:
        rig.proxy.start(captured=[listener])
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.getsockname()[1])
        with suppress(ConnectionResetError):
            assert await reader.read() == b""
        writer.close()
        assert rig.lines == []


async def test_its_end_ends_everything() -> None:
    async with running() as rig:
        direct = await rig.open(f"pin.example:{rig.tls.port}", "pin.example")
        through = await rig.open(f"www.example:{rig.tls.port}", "www.example")
        begun = await rig.connect()
        await begun.send(b"GET http://")
        await eventually(lambda: rig.proxy.counters()["connections"] == 3)
        await rig.proxy.close()
        for wire in (direct, through, begun):
            assert await wire.ended()
            await wire.close()
        assert sorted(line.reason for line in rig.lines) == ["shutdown", "shutdown"]
        with pytest.raises(OSError):
            await rig.connect()


async def test_counters_name_effects_and_reasons() -> None:
    async with running() as rig:
        wire = await rig.open(f"pin.example:{rig.tls.port}", "pin.example")
        await wire.close()
        wire = await rig.connect()
        await wire.send(b"GET / HTTP/1.1\r\n\r\n")
        await wire.rest()
        await wire.close()
        await rig.settled(2)
        counters = rig.proxy.counters()
        assert (counters["direct"], counters["refuse"], counters["reason:bad-request"]) == (1, 1, 1)


def rss_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


@pytest.mark.needs("linux")
@pytest.mark.parametrize("host", ["pin.example", "www.example"])
@pytest.mark.parametrize("form", ["tunnel", "plain"])
async def test_a_slow_reader_holds_the_origin_back(host: str, form: str) -> None:
    """256 MB are on offer; what is not read stays at the origin."""
    offered = 256 << 20
    written = 0

    async def flood(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
        nonlocal written
        writer.transport.set_write_buffer_limits(high=65536)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % offered)
        block = bytes(65536)
        while written < offered:
            writer.write(block)
            written += len(block)
            await writer.drain()
        return None

    async with running() as rig:
        rig.plain.replies["/flood"] = flood
        rig.inspector.forward[host] = rig.plain.port
        wire = await rig.connect()
        if form == "tunnel":
            await wire.ask_connect(f"{host}:{rig.plain.port}")
            await wire.send(b"X /flood HTTP/1.1\r\n\r\n")  # no method of HTTP: passed as it is
        else:
            await wire.send(f"GET http://{host}:{rig.plain.port}/flood HTTP/1.1\r\n\r\n".encode())
        await wire.head()
        before = rss_bytes()
        await _settled(lambda: written)
        assert written < 64 << 20
        assert rss_bytes() - before < 32 << 20
        got = 0
        while got < offered:
            got += len(await wire.reader.read(1 << 20))
        assert got == offered
        assert rss_bytes() - before < 48 << 20
        await wire.close()


async def _settled(value: Any) -> None:
    """Until it has not changed for a while: that nothing more comes is what is waited for."""
    seen, still = value(), 0
    while still < 10:
        await asyncio.sleep(0.02)
        seen, still = value(), (still + 1 if value() == seen else 0)


async def test_a_request_whose_end_the_client_does_not_see_is_over_all_the_same() -> None:
    """A pool keeps a connection that was closed until it would use it again."""
    async with running() as rig:
        wire: Wire = await rig.connect()
        await wire.send(f"GET http://pin.example:{rig.plain.port}/until-close HTTP/1.1\r\n\r\n".encode())
        assert (await wire.rest()).endswith(b"until the end")
        assert [line.effect for line in await rig.settled()] == ["direct"]
        await wire.close()


async def test_one_user_does_not_take_all_the_room() -> None:
    who = Named(CURL)  # alice
    async with running(identifier=who, within=limits(max_user_connections=2)) as rig:
        direct = await rig.open(f"pin.example:{rig.tls.port}", "pin.example")
        through = await rig.open(f"www.example:{rig.tls.port}", "www.example")
        assert rig.works.held == {"alice": 2}
        refused = await rig.connect()
        assert await refused.rest() == b""
        assert rig.proxy.counters()["accept:user-full"] == 1
        who.quick = replace(CURL, user="bob")
        other = await rig.open(f"pin.example:{rig.tls.port}", "pin.example")
        assert rig.works.held == {"alice": 2, "bob": 1}
        for wire in (refused, direct, through, other):
            await wire.close()
        await eventually(lambda: not rig.works.held)


async def test_who_is_not_known_at_once_takes_no_more_room_than_a_user() -> None:
    """A program that opens its socket without close-on-exec is not, and could take all the room."""
    who = Named(None)
    async with running(identifier=who, within=limits(max_user_connections=2)) as rig:
        unknown = [await rig.connect() for _ in range(2)]
        await eventually(lambda: rig.works.held == {"": 2})
        refused = await rig.connect()
        assert await refused.rest() == b""
        who.quick = CURL
        known = await rig.open(f"pin.example:{rig.tls.port}", "pin.example")
        assert rig.works.held == {"": 2, "alice": 1}
        for wire in (refused, known, *unknown):
            await wire.close()
        await eventually(lambda: not rig.works.held)
