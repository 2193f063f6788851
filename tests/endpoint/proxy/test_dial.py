"""Connecting: the first address that answers, and words for why none did."""

import asyncio
import gc
from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from steering.endpoint.proxy.dial import DialError, SystemResolver, addresses_of, by_turns, connect
from steering.policy import parse_host
from steering.policy.hosts import Address
from tests.endpoint.proxy.rig import bound, limits

V4 = [ip_address(f"192.0.2.{i}") for i in range(1, 4)]
V6 = [ip_address(f"2001:db8::{i}") for i in range(1, 4)]


@pytest.mark.parametrize(
    ("given", "tried"),
    [
        ([], []),
        (V4, V4),
        ([*V6, *V4], [V6[0], V4[0], V6[1], V4[1], V6[2], V4[2]]),
        ([V4[0], *V6], [V4[0], *V6]),
        ([*V4, V6[0]], [V4[0], V6[0], V4[1], V4[2]]),
    ],
)
def test_families_take_turns(given: Sequence[Address], tried: list[Address]) -> None:
    assert by_turns(given) == tried


@pytest.mark.parametrize(
    "addresses", [["127.0.0.1"], ["127.0.0.2", "127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["::1", "127.0.0.1"]]
)
async def test_the_first_that_answers(addresses: list[str]) -> None:
    with bound() as listener:
        port = listener.getsockname()[1]
        with await connect([ip_address(address) for address in addresses], port, limits()) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)
            assert not sock.getblocking()


@pytest.mark.parametrize("addresses", [[], ["127.0.0.1"], ["127.0.0.1", "127.0.0.2"], ["255.255.255.255"]])
async def test_none_that_answers(addresses: list[str]) -> None:
    with bound() as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DialError) as caught:
        await connect([ip_address(address) for address in addresses], port, limits())
    assert caught.value.reason == "unreachable"


async def test_who_is_cancelled_leaves_no_socket() -> None:
    with bound() as listener:
        port = listener.getsockname()[1]
        addresses = [ip_address("127.0.0.1")] * 4
        for turns in range(4):
            task = asyncio.ensure_future(connect(addresses, port, limits(attempt_s=0.0)))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled():
                task.result().close()
        for _ in range(5):
            await asyncio.sleep(0)
        gc.collect()  # a socket left open would warn, and warnings are errors


async def test_what_is_looked_up() -> None:
    asked = []

    async def resolve(name: str) -> Sequence[Address]:
        asked.append(name)
        return V4

    assert await addresses_of(parse_host("192.0.2.9"), resolve) == (ip_address("192.0.2.9"),)
    assert await addresses_of(parse_host("a.example"), resolve) == V4
    with pytest.raises(DialError):
        await addresses_of(parse_host("127.1"), resolve)
    assert asked == ["a.example"]


async def test_the_system_is_asked_once_for_all_that_wait() -> None:
    resolver = SystemResolver()
    try:
        found = await asyncio.gather(*(resolver("localhost") for _ in range(50)))
        assert all(ip_address("127.0.0.1") in each or ip_address("::1") in each for each in found)
        with pytest.raises(DialError) as caught:
            await resolver("a" * 300)
        assert caught.value.reason == "no-address"
        waiting = asyncio.ensure_future(resolver("localhost"))
        await asyncio.sleep(0)
        waiting.cancel()
        assert await resolver("localhost")  # one that has gone takes nothing from the others
    finally:
        resolver.close()
