"""Names in the real view."""

from ipaddress import ip_address, ip_network

import pytest

from steering_dns import ResolveError
from tests.dns.world import world


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
