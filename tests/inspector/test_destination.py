"""May an address be dialled: every way of writing "inside", the limits of every network, own listeners."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering_inspector.destination import REFUSED, DestinationRules, refusal, unwrap

NOTHING = DestinationRules()


def why(address: str, rules: DestinationRules = NOTHING, port: int = 443) -> str | None:
    return refusal(ip_address(address), port, rules)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        # What getaddrinfo makes of 127.1, 2130706433, 0x7f000001, 0177.0.0.1 and full-width digits; and of 0.
        ("127.0.0.1", "loopback"),
        ("127.255.255.254", "loopback"),
        ("0.0.0.0", "unspecified"),
        ("::", "unspecified"),
        ("::1", "loopback"),
        # One inside another.
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "private"),
        ("::ffff:169.254.169.254", "metadata"),
        ("::127.0.0.1", "loopback behind a transition address"),
        ("::ffff:0:127.0.0.1", "loopback behind a transition address"),
        ("64:ff9b::7f00:1", "loopback behind a transition address"),
        ("64:ff9b::a9fe:a9fe", "metadata behind a transition address"),
        ("2002:7f00:1::", "loopback behind a transition address"),
        ("2002:c0a8:101::1", "private behind a transition address"),
        ("2001:0:4136:e378:8000:63bf:80ff:fffe", "loopback behind a transition address"),
        ("64:ff9b:1::7f00:1", "reserved"),
        ("64:ff9b:1::808:808", "reserved"),
        # Metadata services, which are not all in private networks.
        ("169.254.169.254", "metadata"),
        ("169.254.170.2", "metadata"),
        ("100.100.100.200", "metadata"),
        ("168.63.129.16", "metadata"),
        ("192.0.0.192", "metadata"),
        ("fd00:ec2::254", "metadata"),
        ("fd20:ce::254", "metadata"),
        # Networks at both ends and beyond.
        ("9.255.255.255", None),
        ("10.0.0.0", "private"),
        ("10.255.255.255", "private"),
        ("11.0.0.0", None),
        ("100.63.255.255", None),
        ("100.64.0.0", "shared"),
        ("100.127.255.255", "shared"),
        ("100.128.0.0", None),
        ("172.15.255.255", None),
        ("172.16.0.0", "private"),
        ("172.31.255.255", "private"),
        ("172.32.0.0", None),
        ("192.167.255.255", None),
        ("192.168.0.0", "private"),
        ("192.169.0.0", None),
        ("198.17.255.255", None),
        ("198.18.0.0", "benchmarking"),
        ("198.20.0.0", None),
        ("223.255.255.255", None),
        ("224.0.0.0", "multicast"),
        ("240.0.0.0", "reserved"),
        ("255.255.255.255", "reserved"),
        ("1fff:ffff::", "reserved"),
        ("2000::", None),
        ("2606:4700::1111", None),
        ("3ffe:ffff::", None),
        ("4000::", "reserved"),
        ("8000::", "reserved"),
        ("fbff::", "reserved"),
        ("fc00::", "private"),
        ("fdff::1", "private"),
        ("fe80::1", "link-local"),
        ("fe80::1%eth0", "link-local"),
        ("ff02::1", "multicast"),
        ("2001:db8::1", "documentation"),
        # Public, however it is wrapped.
        ("::ffff:8.8.8.8", None),
        ("64:ff9b::808:808", None),
        ("2002:808:808::1", None),
    ],
)
def test_what_may_be_dialled(address: str, expected: str | None) -> None:
    assert why(address) == expected


@pytest.mark.parametrize(
    ("allowed", "address", "expected"),
    [
        ("10.1.0.0/16", "10.1.2.3", None),
        ("10.1.0.0/16", "10.2.2.3", "private"),
        ("10.1.0.0/16", "::ffff:10.1.2.3", None),
        ("10.1.0.0/16", "64:ff9b::a01:203", None),
        ("fd00::/8", "fd12::1", None),
        ("127.0.0.0/8", "127.0.0.1", None),
        ("127.0.0.0/8", "::1", "loopback"),
        # A metadata service by its very address only.
        ("169.254.0.0/16", "169.254.169.254", "metadata"),
        ("169.254.0.0/16", "169.254.1.1", None),
        ("169.254.169.254/32", "169.254.169.254", None),
        ("fc00::/7", "fd00:ec2::254", "metadata"),
        ("0.0.0.0/0", "100.100.100.200", "metadata"),
    ],
)
def test_what_is_opened_up(allowed: str, address: str, expected: str | None) -> None:
    assert why(address, DestinationRules(allow=(ip_network(allowed),))) == expected


EVERYTHING = (ip_network("0.0.0.0/0"), ip_network("::/0"))


@pytest.mark.parametrize(
    ("own", "local", "address", "port", "expected"),
    [
        (("127.0.0.1", 8080), (), "127.0.0.1", 8080, "own listener"),
        (("127.0.0.1", 8080), (), "127.0.0.1", 8081, None),
        (("127.0.0.1", 8080), (), "127.0.0.2", 8080, None),
        (("127.0.0.1", 8080), (), "::ffff:127.0.0.1", 8080, "own listener"),
        (("127.0.0.1", 8080), (), "64:ff9b::7f00:1", 8080, "own listener"),
        (("127.0.0.1", 8080), (), "0.0.0.0", 8080, "own listener"),
        (("127.0.0.1", 8080), (), "::", 8080, "own listener"),
        (("::1", 8080), (), "::1", 8080, "own listener"),
        (("0.0.0.0", 3128), (), "127.9.9.9", 3128, "own listener"),
        (("0.0.0.0", 3128), (), "192.0.2.10", 3128, "documentation"),
        (("0.0.0.0", 3128), ("192.0.2.10",), "192.0.2.10", 3128, "own listener"),
        (("::", 3128), ("192.0.2.10",), "192.0.2.10", 3128, "own listener"),
        (("::", 3128), (), "::1", 3128, "own listener"),
        (("192.0.2.10", 3128), (), "192.0.2.10", 3128, "own listener"),
    ],
)
def test_own_listeners_are_refused_whatever_is_opened_up(
    own: tuple[str, int], local: tuple[str, ...], address: str, port: int, expected: str | None
) -> None:
    allow = EVERYTHING if expected != "documentation" else ()
    rules = DestinationRules(allow=allow, own=frozenset((own,)), local=frozenset(local))
    assert why(address, rules, port) == expected


def test_the_table_holds_networks_the_most_specific_first() -> None:
    networks = [ip_network(text) for text, _ in REFUSED]
    for number, network in enumerate(networks):
        for earlier in networks[:number]:
            wider = earlier.version == network.version and network.subnet_of(earlier)  # type: ignore[arg-type]  # alike
            assert not wider, f"{network} is never reached behind {earlier}"


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_however_it_is_wrapped(address: IPv4Address) -> None:
    number = int(address)
    wrapped = [
        IPv6Address(0xFFFF << 32 | number),
        IPv6Address(0x64FF9B << 96 | number),
        IPv6Address(0x2002 << 112 | number << 80),
        IPv6Address(0x2001 << 112 | (~number & 0xFFFFFFFF)),
    ]
    bare = refusal(address, 443, NOTHING)
    assert [unwrap(one) for one in wrapped] == [address] * 4
    assert all((refusal(one, 443, NOTHING) is None) == (bare is None) for one in wrapped)


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_nothing_that_is_not_global_may_be_dialled(address: IPv4Address | IPv6Address) -> None:
    if not unwrap(address).is_global or unwrap(address).is_multicast:
        assert refusal(address, 443, NOTHING) is not None
