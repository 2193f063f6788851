"""May an address be dialled on a client's behalf?  The guard against using the inspector to reach inside.

Pure.  It judges the very address that will be connected to, after resolution, so that no spelling of a host
(``127.1``, full-width digits) and no name that resolves inwards gets past it.
"""

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from steering.policy.hosts import Address

Network = IPv4Network | IPv6Network

# Most specific first; what is in none of these may be dialled.  Sources: IANA special-purpose registries
# (RFC 6890 and updates), the metadata addresses from the clouds' own documentation.
REFUSED: tuple[tuple[str, str], ...] = (
    ("169.254.169.254/32", "metadata"),
    ("169.254.170.2/32", "metadata"),
    ("169.254.170.23/32", "metadata"),
    ("100.100.100.200/32", "metadata"),
    ("168.63.129.16/32", "metadata"),
    ("192.0.0.192/32", "metadata"),
    ("fd00:ec2::254/128", "metadata"),
    ("fd00:ec2::23/128", "metadata"),
    ("fd20:ce::254/128", "metadata"),
    ("0.0.0.0/8", "unspecified"),
    ("10.0.0.0/8", "private"),
    ("100.64.0.0/10", "shared"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("172.16.0.0/12", "private"),
    ("192.0.0.0/24", "reserved"),
    ("192.0.2.0/24", "documentation"),
    ("192.88.99.0/24", "reserved"),
    ("192.168.0.0/16", "private"),
    ("198.18.0.0/15", "benchmarking"),
    ("198.51.100.0/24", "documentation"),
    ("203.0.113.0/24", "documentation"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("100::/64", "reserved"),
    ("2001::/23", "reserved"),
    ("2001:db8::/32", "documentation"),
    ("3fff::/20", "documentation"),
    ("5f00::/16", "reserved"),
    ("fc00::/7", "private"),
    ("fe80::/10", "link-local"),
    ("fec0::/10", "private"),
    ("ff00::/8", "multicast"),
    # Only 2000::/3 is given out to anybody (RFC 4291 2.4); what lies outside leads nowhere, or inside.
    ("::/3", "reserved"),
    ("4000::/2", "reserved"),
    ("8000::/1", "reserved"),
)
_REFUSED: tuple[tuple[Network, str], ...] = tuple((ip_network(text), why) for text, why in REFUSED)
_MAPPED = IPv6Network("::ffff:0:0/96")
_NAT64 = IPv6Network("64:ff9b::/96")  # 64:ff9b:1::/48 (RFC 8215) is for use inside: reserved, by ::/3
_TRANSLATED = IPv6Network("::ffff:0:0:0/96")  # RFC 2765
_LOW_32 = (_MAPPED, _TRANSLATED, _NAT64)
_COMPATIBLE = IPv6Network("::/96")
_6TO4 = IPv6Network("2002::/16")
_TEREDO = IPv6Network("2001::/32")


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationRules:
    """allow: networks opened up; a metadata service only by its very address.  own: (address, port) of every
    listener of the service, refused whatever is allowed; a wildcard listener stands for every address of this
    machine (``local``).
    """

    allow: tuple[Network, ...] = ()
    own: frozenset[tuple[str, int]] = frozenset()
    local: frozenset[str] = frozenset()


def refusal(address: Address, port: int, rules: DestinationRules) -> str | None:
    """Why ``address`` may not be dialled ("loopback", "metadata", "own listener", ...), or None."""
    bare = unwrap(address)
    if _is_own(bare, port, rules):
        return "own listener"
    why = _class_of(bare)
    opened = [network for network in rules.allow if bare in network]
    if why is None or (opened and (why != "metadata" or any(network.num_addresses == 1 for network in opened))):
        return None
    if bare is not address and isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return f"{why} behind a transition address"
    return why


@lru_cache(maxsize=4096)  # forty networks are asked of each address, and the same origins are dialled again and again
def _class_of(address: Address) -> str | None:
    return next((why for network, why in _REFUSED if address in network), None)


def unwrap(address: Address) -> Address:
    """The IPv4 address that an IPv6 one carries (mapped, compatible, NAT64, 6to4, Teredo), else the address itself."""
    if isinstance(address, IPv4Address):
        return address
    number = int(address)
    if any(address in network for network in _LOW_32) or (address in _COMPATIBLE and number > 0xFFFF):
        return IPv4Address(number & 0xFFFFFFFF)
    if address in _6TO4:
        return IPv4Address(number >> 80 & 0xFFFFFFFF)
    if address in _TEREDO:
        return IPv4Address(~number & 0xFFFFFFFF)
    return address


def _is_own(address: Address, port: int, rules: DestinationRules) -> bool:
    text = str(address)
    if (text, port) in rules.own:
        return True
    here = address.is_loopback or address.is_unspecified or text in rules.local
    wildcards = (("0.0.0.0", port), ("::", port))  # noqa: S104  # compared with, not bound
    if here and any(wildcard in rules.own for wildcard in wildcards):
        return True
    # 0.0.0.0 and :: reach a loopback listener, and so does all of 127/8 for one that listens on a wildcard only.
    return address.is_unspecified and any(own_port == port for _, own_port in rules.own)
