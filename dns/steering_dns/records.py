"""The records that this resolver answers of its own, built by dnslib once per policy.

Pure.  dnslib is only given what we wrote ourselves.
"""

import struct
from collections.abc import Sequence

import dnslib

from steering_dns import wire
from steering_dns.settings import Address

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


def text(value: str, *, chaos: bool = False) -> bytes:
    """A TXT record."""
    made = wire.record(wire.TXT, 0, _packed(dnslib.TXT(value)))
    return made[:4] + b"\0\3" + made[6:] if chaos else made


def _packed(rdata: dnslib.RD) -> bytes:
    buffer = dnslib.DNSBuffer()
    rdata.pack(buffer)
    return bytes(buffer.data)
