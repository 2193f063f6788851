"""Which addresses a public name must not resolve to (DNS rebinding).

Pure.  A page on the internet could otherwise reach into the network of whoever opens it, by pointing its own name
at a private address.  Internal zones are answered unfiltered.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from steering_dns.wire import AAAA, HTTPS, SVCB, A

Network = IPv4Network | IPv6Network

# Not ``is_global``: documentation and benchmarking networks are harmless, and labs use them.
PRIVATE: tuple[Network, ...] = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.168.0.0/16",
            "::/128",
            "::1/128",
            "fc00::/7",
            "fe80::/10",
            "fec0::/10",
        ),
    )
)
_NAT64 = ip_network("64:ff9b::/96")
_IPV4_HINT, _IPV6_HINT = 4, 6


class Private:
    """The filter, with the networks that the configuration opens up."""

    __slots__ = ("_allowed",)

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)

    def holds(self, packed: bytes) -> bool:
        """Whether ``packed`` (4 or 16 bytes) is an address that a public name must not have."""
        address: IPv4Address | IPv6Address = _unwrapped(packed)
        return any(address in network for network in PRIVATE) and not any(
            address in network for network in self._allowed
        )

    def in_record(self, rtype: int, rdata: bytes) -> bool:
        """Whether the record gives such an address, be it as a hint of an HTTPS record."""
        if rtype in (A, AAAA):
            return self.holds(rdata)
        return rtype in (HTTPS, SVCB) and any(map(self.holds, _hints(rdata)))


def _unwrapped(packed: bytes) -> IPv4Address | IPv6Address:
    """The IPv4 address inside a mapped, compatible, NAT64 or 6to4 address, else the address itself."""
    if len(packed) == 4:
        return IPv4Address(packed)
    address = IPv6Address(packed)
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address in _NAT64 or (packed[:12] == bytes(12) and packed[12:] > b"\0\0\0\1"):
        return IPv4Address(packed[12:])
    return address.sixtofour or address


def _hints(rdata: bytes) -> list[bytes]:
    """The addresses in the ipv4hint and ipv6hint of an SVCB record; what cannot be read counts as loopback."""
    at = 2
    while at < len(rdata) and rdata[at]:
        at += 1 + rdata[at]
    at += 1
    found: list[bytes] = []
    while at + 4 <= len(rdata):
        key, length = int.from_bytes(rdata[at : at + 2], "big"), int.from_bytes(rdata[at + 2 : at + 4], "big")
        size = {_IPV4_HINT: 4, _IPV6_HINT: 16}.get(key, 0)
        if size:
            value = rdata[at + 4 : at + 4 + length]
            if len(value) % size:
                return [b"\x7f\0\0\1"]
            found += [value[i : i + size] for i in range(0, len(value), size)]
        at += 4 + length
    return found if at == len(rdata) else [b"\x7f\0\0\1"]
