"""Names in the real view."""

import inspect
from contextlib import suppress
from ipaddress import ip_address, ip_network

import pytest

from steering_dns import ResolveError, resolve
from steering_dns.resolve import Resolver
from tests.dns.world import policy_of, world


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pinned.example", ["2001:db8::10", "203.0.113.10"]),
        ("steered.example", ["203.0.113.99"]),
        ("host.corp.example", ["10.9.9.9"]),
        ("localhost", ["::1", "127.0.0.1"]),
        ("steering.example", ["192.0.2.7"]),
        ("nothing.example", "nxdomain"),
        ("a.local", "nxdomain"),
        ("inner.pinned.example", "private"),
        ("loop.pinned.example", "servfail"),
        ("1.2.3.4", "name"),
        ("a..b", "name"),
        ("ünknown.example", "nxdomain"),
    ],
)
async def test_resolve(name: str, expected: list[str] | str) -> None:
    async with world() as w:
        resolver = w.server.resolver()
        if isinstance(expected, list):
            assert await resolver.resolve(name) == [ip_address(text) for text in expected]
            return
        with pytest.raises(ResolveError) as caught:
            await resolver.resolve(name)
        assert caught.value.reason == expected


async def test_opened_networks_and_the_shared_cache() -> None:
    async with world(allowed_private=(ip_network("192.168.0.0/16"),)) as w:
        assert await w.server.resolver().resolve("inner.pinned.example") == [ip_address("192.168.1.1")]
        await w.ask("inner.pinned.example")
        assert len([1 for question in w.upstream.asked if question == ("inner.pinned.example.", "A")]) == 1


def at_once(resolver: Resolver, host: str) -> list[str] | None:
    """What it answers without being waited for."""
    found = resolver.addresses(host)
    if isinstance(found, list):
        return [str(address) for address in found]
    assert inspect.iscoroutine(found)
    found.close()
    return None


async def test_what_is_known_is_answered_at_once_for_as_long_as_it_stands() -> None:
    async with world() as w:
        resolver, began = w.server.resolver(), w.clock.now
        assert at_once(resolver, "pinned.example") is None
        found = await resolver.resolve("pinned.example")
        known = [str(address) for address in found]
        assert at_once(resolver, "pinned.example") == known == ["2001:db8::10", "203.0.113.10"]
        asked = len(w.upstream.asked)
        for moved, answer in ((0.0, known), (29.0, known), (300.0, None), (-1.0, None)):
            w.clock.now = began + moved
            assert at_once(resolver, "pinned.example") == answer, moved
        w.clock.now = began + 301.0
        assert await resolver.resolve("pinned.example") == found
        assert len(w.upstream.asked) > asked


async def test_a_change_of_policy_has_every_name_asked_for_again() -> None:
    async with world() as w:
        resolver = w.server.resolver()
        await resolver.resolve("pinned.example")
        w.live.swap(policy_of([{"name": "other", "domains": ["other.example"]}]))
        assert at_once(resolver, "pinned.example") is None


@pytest.mark.parametrize("name", ["nothing.example", "inner.pinned.example", "loop.pinned.example", "localhost"])
async def test_what_has_no_address_or_is_our_own_is_not_remembered(name: str) -> None:
    async with world() as w:
        resolver = w.server.resolver()
        with suppress(ResolveError):
            await resolver.resolve(name)
        assert at_once(resolver, name) is None


@pytest.mark.parametrize("literal", ["203.0.113.7", "2001:db8::7", "::ffff:192.0.2.1"])
async def test_an_address_stands_for_itself(literal: str) -> None:
    """A CONNECT to an address without SNI is opened under it, and a bypass may name addresses."""
    async with world() as w:
        assert at_once(w.server.resolver(), literal) == [str(ip_address(literal))]


@pytest.mark.parametrize("host", ["1.2.3", "0x7f.1", "127.1", ""])
async def test_an_old_notation_of_an_address_is_none(host: str) -> None:
    async with world() as w:
        waited = w.server.resolver().addresses(host)
        assert not isinstance(waited, list)
        with pytest.raises(ResolveError):
            await waited


async def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "MAX_KNOWN", 2)
    names = ("pinned.example", "steered.example", "branch.example")
    async with world() as w:
        resolver = w.server.resolver()
        for name in names:
            await resolver.resolve(name)
        assert [at_once(resolver, name) is not None for name in names] == [False, False, True]
