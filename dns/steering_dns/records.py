"""The records that this resolver answers of its own, built by dnslib once per policy.

Pure.  dnslib is only given what we wrote ourselves.
"""

import struct
from collections.abc import Sequence

import dnslib

from steering_dns import doh, wire
from steering_dns.settings import Address, Discovery

SOA_NAME, SOA_CONTACT = "steering.invalid", "nobody.steering.invalid"


def soa(ttl_s: int) -> bytes:
    """The SOA that makes a negative answer cacheable for ``ttl_s`` (RFC 2308)."""
    # By hand: dnslib would compress one name against the other, at an offset that is not the packet's.
    names = wire.to_wire(SOA_NAME) + wire.to_wire(SOA_CONTACT)
    rdata = names + struct.pack("!5I", 1, 3600, 600, 86400, ttl_s)
    return wire.record(wire.SOA, ttl_s, rdata)


def addresses(found: Sequence[Address], version: int, ttl_s: int) -> tuple[bytes, int]:
    """The address records of one family, and how many."""
    rtype, make = (wire.A, dnslib.A) if version == 4 else (wire.AAAA, dnslib.AAAA)
    family = [address for address in found if address.version == version]
    return b"".join(wire.record(rtype, ttl_s, _packed(make(str(a)))) for a in family), len(family)


def minimal_any(ttl_s: int) -> bytes:
    """The answer to ANY (RFC 8482 4.2)."""
    return wire.record(wire.HINFO, ttl_s, b"\x07RFC8482\x00")


def designated(found: Discovery, ttl_s: int) -> tuple[bytes, int]:
    """The SVCB records of ``_dns.resolver.arpa``, and how many (RFC 9461, RFC 9462): HTTPS first, then TLS."""
    hints = [
        (key, b"".join(a.packed for a in found.addresses if a.version == version)) for key, version in ((4, 4), (6, 6))
    ]
    ways = [
        (found.https_port, 443, b"\x02h2\x08http/1.1", [(7, doh.TEMPLATE.encode())]),
        (found.tls_port, 853, b"\x03dot", []),
    ]
    made = []
    for priority, (port, usual, alpn, more) in enumerate(ways, 1):
        if port:
            given = [(1, alpn), *([(3, port.to_bytes(2, "big"))] if port != usual else []), *hints, *more]
            values = b"".join(struct.pack("!HH", key, len(value)) + value for key, value in given if value)
            rdata = priority.to_bytes(2, "big") + wire.to_wire(found.name) + values
            made.append(wire.record(wire.SVCB, ttl_s, rdata))
    return b"".join(made), len(made)


def text(value: str, *, chaos: bool = False) -> bytes:
    """A TXT record."""
    made = wire.record(wire.TXT, 0, _packed(dnslib.TXT(value)))
    return made[:4] + b"\0\3" + made[6:] if chaos else made


def _packed(rdata: dnslib.RD) -> bytes:
    buffer = dnslib.DNSBuffer()
    rdata.pack(buffer)
    return bytes(buffer.data)
