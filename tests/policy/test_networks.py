"""The map finds every network that holds an address, as a loop over all of them would."""

from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy.networks import NetworkMap
from tests.policy.work import calls

LISTED = ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "10.1.2.0/31", "::/0", "2001:db8::/32", "::1/128"]
MAP = NetworkMap((ip_network(text), text) for text in LISTED)


@pytest.mark.parametrize(
    ("address", "found"),
    [
        ("10.1.2.3", ["10.1.2.3/32", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"]),
        ("10.1.2.2", ["10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"]),
        ("10.1.2.1", ["10.1.2.0/31", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"]),
        ("10.255.255.255", ["10.0.0.0/8", "0.0.0.0/0"]),
        ("11.0.0.0", ["0.0.0.0/0"]),
        ("9.255.255.255", ["0.0.0.0/0"]),
        ("::1", ["::1/128", "::/0"]),
        ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", ["2001:db8::/32", "::/0"]),
        ("2001:db9::", ["::/0"]),
        ("::ffff:10.1.2.3", ["10.1.2.3/32", "10.1.0.0/16", "10.0.0.0/8", "0.0.0.0/0"]),
    ],
)
def test_boundaries(address: str, found: list[str]) -> None:
    assert sorted(MAP.holding(ip_address(address))) == sorted(found)


networks = st.builds(
    lambda number, prefix: IPv4Network((number, prefix), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32)
) | st.builds(
    lambda number, prefix: IPv6Network((number, prefix), strict=False), st.integers(0, 2**128 - 1), st.integers(0, 128)
)


@given(st.lists(networks, max_size=20), st.data())
def test_as_a_loop_finds_them(listed: list[IPv4Network | IPv6Network], data: st.DataObject) -> None:
    near = [a for n in listed for a in (n.network_address, n.broadcast_address)]
    address = data.draw(st.sampled_from(near) if near else st.ip_addresses())
    bare = getattr(address, "ipv4_mapped", None) or address
    expected = [i for i, network in enumerate(listed) if bare in network]
    assert sorted(NetworkMap((n, i) for i, n in enumerate(listed)).holding(address)) == expected


def test_empty() -> None:
    assert not NetworkMap[str]([])
    assert MAP
    assert NetworkMap[str]([]).holding(ip_address("::1")) == []


def test_one_look_up_for_each_length_of_prefix_in_use() -> None:
    many = NetworkMap((IPv4Network((i << 8, 24)), i) for i in range(10_000))
    assert calls(lambda: many.holding(ip_address("0.1.0.1")))["dict.get"] == 1
