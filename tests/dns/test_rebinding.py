from ipaddress import ip_address, ip_network

import dns.rdata
import pytest

from steering_dns import wire
from steering_dns.rebinding import Private


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("10.0.0.1", True), ("9.255.255.255", False), ("11.0.0.0", False), ("127.0.0.1", True), ("0.0.0.0", True),
        ("100.64.0.1", True), ("169.254.169.254", True), ("172.32.0.1", False), ("192.168.0.1", True),
        ("203.0.113.1", False), ("::1", True), ("::", True), ("fd00::1", True), ("fe80::1", True),
        ("2001:db8::1", False), ("::ffff:10.0.0.1", True), ("::10.0.0.1", True), ("64:ff9b::a00:1", True),
        ("64:ff9b::cb00:7101", False), ("2002:a00:1::", True),
    ],
)  # fmt: skip
def test_addresses(text: str, private: bool) -> None:
    assert Private().holds(ip_address(text).packed) is private


def test_the_configuration_opens_networks() -> None:
    assert not Private((ip_network("127.0.0.0/8"),)).holds(b"\x7f\0\0\1")


@pytest.mark.parametrize(
    ("text", "private"),
    [
        ("1 . alpn=h2", False),
        ("1 . ipv4hint=203.0.113.1,10.0.0.1", True),
        ("1 target.example. ipv6hint=fd00::1", True),
        ("1 . ipv6hint=2001:db8::1", False),
    ],
)
def test_hints(text: str, private: bool) -> None:
    rdata = dns.rdata.from_text("IN", "HTTPS", text).to_wire()
    assert rdata is not None
    assert Private().in_record(wire.HTTPS, rdata) is private
    assert Private().in_record(wire.HTTPS, rdata[:-1]) is True
