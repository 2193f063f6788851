"""The inspector as a service: who may connect and how many, draining, and what is left behind."""

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable
from ipaddress import ip_network
from pathlib import Path
from socket import AF_INET6, IPPROTO_IPV6, IPV6_V6ONLY, SOCK_STREAM, socket

import pytest

from steering.streams.link import Link
from steering.streams.tunnel import Direction, Pair
from steering_inspector.preface import Preface
from steering_inspector.server import own_name
from steering_inspector.session import Session
from steering_inspector.settings import Limits
from steering_inspector.tunnelled import Tunnelled
from tests.inspector.clients import RULES, Rig, Wire, dial_tls, issuer, policy_of, running, until
from tests.inspector.origin import inspector_ca, origin_ca, running_origin


def open_files() -> int:
    gc.collect()
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


async def test_no_descriptor_is_left_behind() -> None:
    before = open_files()
    async with running() as rig:
        for host in ("www.example", "pinned.example", "blocked.example") * 5:
            wire = await rig.open(host)
            await wire.get(host, "/big?600000")
            await wire.close()
        await until(lambda: not rig.inspector.counters()["connections"])
    await until(lambda: open_files() <= before + 2)


async def asks(rig: Rig, host: str) -> None:
    wire = await rig.open(host)
    await wire.get(host, "/hello")
    await wire.close()


async def distrusts(rig: Rig, host: str) -> None:
    link, _ = await dial_tls(rig, rig.explicit, connect=f"{host}:{rig.origin.port}", sni=host, alpn=("other",))
    link.close()


async def leaves(rig: Rig, host: str) -> None:
    wire = await rig.connect()
    await wire.send(b"CONNECT ")
    wire.writer.transport.abort()


@pytest.mark.parametrize("host", ["www.example", "pinned.example", "blocked.example"])
@pytest.mark.parametrize("visit", [asks, distrusts, leaves])
async def test_a_connection_that_is_over_needs_no_garbage_collector(
    visit: Callable[[Rig, str], Awaitable[None]], host: str
) -> None:
    """It goes by reference counts: memory is given back at once, and a worker may freeze what it has when the rules
    change, where a cycle would stay for ever.
    """
    ours = (Link, Session, Preface, Tunnelled, Pair, Direction)
    async with running() as rig:
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(3):
                await visit(rig, host)
            await until(lambda: not rig.inspector.counters()["connections"])
            await asyncio.sleep(0)
            gc.collect()
            assert [type(thing).__name__ for thing in gc.garbage if isinstance(thing, ours)] == []
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()


async def test_clients_are_capped_at_the_limit() -> None:
    async with running(limits=Limits(max_connections_per_client=2)) as rig:
        first, second = await rig.connect(), await rig.connect()
        assert (await first.get("www.example", f"http://www.example:{rig.plain.port}/hello"))[0] == 200
        assert (await second.get("www.example", f"http://www.example:{rig.plain.port}/hello"))[0] == 200
        third = await rig.connect()
        assert (await third.at_end()).startswith(b"HTTP/1.1 503 ")
        await first.close()
        await until(lambda: rig.inspector.counters()["connections"] < 2)
        fourth = await rig.connect()
        assert (await fourth.get("www.example", f"http://www.example:{rig.plain.port}/hello"))[0] == 200
        for wire in (second, third, fourth):
            await wire.close()


async def test_a_client_outside_the_allowed_networks_is_refused() -> None:
    async with running(allowed=()) as rig:
        wire = await rig.connect()
        assert (await wire.at_end()).startswith(b"HTTP/1.1 403 ")
        await wire.close()
        (line,) = await rig.settled()
        assert line.reason == "client"


async def drained(rig: Rig) -> None:
    await rig.inspector.drain(5)
    assert rig.inspector.counters()["connections"] == 0


async def test_draining_lets_an_exchange_end() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(b"POST /echo HTTP/1.1\r\nHost: www.example\r\nContent-Length: 4\r\n\r\nab")
        idle = await rig.open("www.example")
        draining = asyncio.get_running_loop().create_task(drained(rig))
        assert await idle.at_end() == b""
        await wire.send(b"cd")
        status, head, body = await wire.answer()
        assert (status, body) == (200, b"abcd") and b"Connection: close" in head
        await wire.close()
        await idle.close()
        await draining


async def test_all_connections_together_are_capped_and_wait_in_the_kernel() -> None:
    """At the limit nothing more is accepted; whoever waited is served when there is room."""
    async with running(limits=Limits(max_connections=2)) as rig:
        first, second = await rig.connect(), await rig.connect()
        target = f"http://www.example:{rig.plain.port}/hello"
        for wire in (first, second):
            assert (await wire.get("www.example", target))[0] == 200
        third = await rig.connect()
        waiting = asyncio.get_running_loop().create_task(third.get("www.example", target))
        await until(lambda: rig.inspector.counters().get("accept:full", 0) > 0)
        assert (rig.inspector.counters()["connections"], waiting.done()) == (2, False)
        await first.close()
        assert (await waiting)[0] == 200
        for wire in (second, third):
            await wire.close()


@pytest.mark.parametrize(("kind", "said"), [("explicit", b"HTTP/1.1 403 "), ("http", b"HTTP/1.1 403 "), ("tls", b"")])
async def test_a_client_of_another_network_is_told_where_http_is_spoken(kind: str, said: bytes) -> None:
    async with running(allowed=(ip_network("10.0.0.0/8"),)) as rig:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", getattr(rig, kind)))
        got = await wire.at_end()
        assert got.startswith(said) and bool(got) == bool(said)
        await wire.close()
        (line,) = await rig.settled()
        assert (line.effect, line.reason, line.status, line.client) == ("refuse", "client", 403, "127.0.0.1")


async def test_a_client_over_a_mapped_address_is_the_ipv4_client() -> None:
    async with running(allowed=(ip_network("127.0.0.1/32"),)) as rig:
        listener = socket(AF_INET6, SOCK_STREAM)
        listener.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 0)
        listener.bind(("::", 0))
        listener.listen()
        rig.inspector.start([listener])
        wire = Wire(*await asyncio.open_connection("127.0.0.1", listener.getsockname()[1]))
        assert (await wire.get("www.example", f"http://www.example:{rig.plain.port}/hello"))[0] == 200
        await wire.close()
        assert (await rig.settled())[0].client == "127.0.0.1"


async def test_own_listeners_on_a_wildcard_are_not_reached_through_the_proxy() -> None:
    """The way into an admin page that trusts who comes from this machine (CVE-2025-23217)."""
    async with running_origin(None) as admin:
        async with running(own=frozenset({("0.0.0.0", admin.port)})) as rig:
            for host in ("127.0.0.1", "127.0.0.9", "rebound.example"):
                wire = await rig.connect()
                status, head, _ = await wire.get(host, f"http://{host}:{admin.port}/hello")
                assert status == 403 and b"Steering-Reason: destination" in head
                await wire.close()
        assert admin.connections == 0


async def test_a_swap_may_come_from_another_thread_and_after_the_end() -> None:
    async with running() as rig:
        wire = await rig.open("pinned.example")
        await asyncio.to_thread(rig.live.swap, policy_of([]))
        assert await wire.at_end() == b""
        await wire.close()
    rig.live.swap(policy_of([]))


async def test_trust_is_replaced_without_a_restart() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        assert (await wire.get("www.example", "/hello"))[0] == 200
        rig.inspector.replace_trust(inspector_ca().trusting())
        status, head, _ = await wire.get("www.example", "/hello")
        assert status == 502 and b"Steering-Reason: origin-unknown-issuer" in head
        await wire.close()


async def test_a_rotated_ca_signs_from_now_on() -> None:
    async with running() as rig:
        old = await rig.open("www.example")
        rig.inspector.replace_leaves(origin_ca())
        new = await rig.open("www.example")
        assert [await issuer(wire) for wire in (old, new)] == ["test inspector", "test origins"]
        assert (await old.get("www.example", "/hello"))[0] == 200
        for wire in (old, new):
            await wire.close()


async def test_reloads_under_load_lose_no_request_and_no_descriptor() -> None:
    before = open_files()
    async with running() as rig:
        wires = [await rig.open("www.example") for _ in range(4)]
        swapping = True

        async def ask(wire: Wire) -> int:
            count = 0
            while swapping:
                assert (await wire.get("www.example", "/hello"))[0] == 200
                count += 1
            return count

        asking = asyncio.gather(*map(ask, wires))
        for _ in range(200):
            rig.live.swap(policy_of(RULES))
            await asyncio.sleep(0)
        swapping = False
        assert min(await asking) > 0
        for wire in wires:
            await wire.close()
        await until(lambda: not rig.inspector.counters()["connections"])
    await until(lambda: open_files() <= before + 2)


async def test_one_inspector_behind_another_is_no_loop_but_its_own_request_is() -> None:
    async with running(advertised="") as rig:
        wire = await rig.connect()
        target = f"http://www.example:{rig.plain.port}/head"
        for via, expected in (("steering", 200), ("steering-00000000", 200), (own_name(), 508)):
            status, _, body = await wire.get("www.example", target, f"Via: 1.1 {via}".encode())
            assert status == expected
            if status == 200:
                assert f"Via: 1.1 {own_name()}\r\n".encode() in body
        await wire.close()
