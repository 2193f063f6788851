"""What a DNS packet asks, read by hand, and the bytes of an answer around its sections.

Pure.  The question is attacker-chosen: every field is checked here, and ``parse_query`` never raises.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

A, NS, CNAME, SOA, PTR, HINFO, TXT, AAAA, DNAME, OPT = 1, 2, 5, 6, 12, 13, 16, 28, 39, 41
SRV, MX, RRSIG, NSEC, NSEC3, SVCB, HTTPS, ANY = 33, 15, 46, 47, 50, 64, 65, 255
IN, CHAOS = 1, 3
ADDRESS_TYPES = frozenset({A, AAAA, HTTPS, SVCB})  # what leads a browser to a server: all decided together

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16

EDE_STALE, EDE_FORGED, EDE_BLOCKED, EDE_FILTERED, EDE_PROHIBITED = 3, 4, 15, 17, 18
EDE_NO_AUTHORITY = 22

MAX_NAME = 255
MAX_UDP_REPLY = 1232  # DNS flag day 2020: fits every path without fragments
MIN_UDP_REPLY = 512
MAX_TCP_REPLY = 65535
MAX_ADDITIONAL = 4  # OPT and TSIG, with room; a query has no use for more
QNAME_AT = 12
QNAME_POINTER = b"\xc0\x0c"


class Edns(NamedTuple):
    """The client's OPT record.  payload: what it takes by UDP."""

    payload: int
    version: int
    do: bool


class Query(NamedTuple):
    """A question fit to be answered.

    name: lower-case wire name.  question: the bytes as they came, echoed in the reply.
    shape: index into ``heads``: 1 RD, 2 CD, 4 EDNS.
    """

    id: bytes
    shape: int
    name: bytes
    qtype: int
    qclass: int
    question: bytes
    edns: Edns | None

    @property
    def key(self) -> bytes:
        return self.name + self.question[-4:]


class Fault(NamedTuple):
    """A packet that gets an error and nothing else."""

    reply: bytes


def parse_query(packet: bytes) -> Query | Fault | None:
    """The question of ``packet``, an error to send back, or None: say nothing (too short, or itself an answer)."""
    if len(packet) < 12 or packet[2] & 0x80:
        return None
    if packet[2] & 0x78:
        return Fault(_bare(packet, NOTIMP))
    if packet[4:10] != b"\0\1\0\0\0\0":
        return Fault(_bare(packet, FORMERR))
    end = skip_name(packet, QNAME_AT)
    if end is None or end + 4 > len(packet):
        return Fault(_bare(packet, FORMERR))
    question = packet[QNAME_AT : end + 4]
    found = _parse_additional(packet, end + 4)
    if isinstance(found, bool):
        return Fault(_bare(packet, FORMERR, question))
    rd_cd = packet[2] & 1 | (packet[3] & 0x10) >> 3
    query = Query(
        id=packet[:2],
        shape=rd_cd if found is None else rd_cd | 4,
        name=packet[QNAME_AT:end].lower(),
        qtype=int.from_bytes(packet[end : end + 2], "big"),
        qclass=int.from_bytes(packet[end + 2 : end + 4], "big"),
        question=question,
        edns=found,
    )
    if found is not None and found.version:
        return Fault(render(query, NOERROR, opt=opt_record(BADVERS, do=found.do)))
    return query


def skip_name(packet: bytes, at: int) -> int | None:
    """Where the uncompressed name that begins at ``at`` ends, or None: it is cut, too long or has a pointer."""
    start, size = at, len(packet)
    while at < size:
        length = packet[at]
        if length == 0:
            return at + 1 if at + 1 - start <= MAX_NAME else None
        if length > 63:
            return None
        at += 1 + length
    return None


def _parse_additional(packet: bytes, at: int) -> Edns | bool | None:
    """The OPT record, None where there is none; False: malformed."""
    count = int.from_bytes(packet[10:12], "big")
    if count > MAX_ADDITIONAL:
        return False
    edns: Edns | None = None
    for _ in range(count):
        root = packet[at : at + 1] == b"\0"
        end = skip_name(packet, at)
        if end is None or end + 10 > len(packet):
            return False
        after = end + 10 + int.from_bytes(packet[end + 8 : end + 10], "big")
        if after > len(packet):
            return False
        if packet[end : end + 2] == b"\0\x29":
            if edns is not None or not root or not _options_whole(packet, end + 10, after):
                return False
            payload = int.from_bytes(packet[end + 2 : end + 4], "big")
            edns = Edns(payload, packet[end + 5], bool(packet[end + 6] & 0x80))
        at = after
    return edns if at == len(packet) else False


def _options_whole(packet: bytes, at: int, end: int) -> bool:
    while at + 4 <= end:
        at += 4 + int.from_bytes(packet[at + 2 : at + 4], "big")
    return at == end


@lru_cache(maxsize=4096)
def heads(rcode: int, answers: int, authority: int, truncated: bool = False) -> tuple[bytes, ...]:
    """Flags and counts of a reply, by a query's shape: QR=1, RA=1, AA=0, AD=0; RD and CD as asked."""
    counts = b"\0\1" + answers.to_bytes(2, "big") + authority.to_bytes(2, "big")
    return tuple(
        bytes((0x80 | (0x02 if truncated else 0) | shape & 1, 0x80 | (shape & 2) << 3 | rcode & 0x0F))
        + counts
        + (b"\0\1" if shape & 4 else b"\0\0")
        for shape in range(8)
    )


def render(
    query: Query,
    rcode: int,
    sections: bytes = b"",
    *,
    answers: int = 0,
    authority: int = 0,
    opt: bytes | None = None,
    limit: int = MAX_TCP_REPLY,
) -> bytes:
    """The reply to ``query``; longer than ``limit`` it is cut to TC=1 without records (RFC 2181 9)."""
    if query.edns is None:
        opt = b""
    elif opt is None:
        opt = opt_record(rcode, do=query.edns.do)
    size = 12 + len(query.question) + len(sections) + len(opt)
    if size > limit:
        return query.id + heads(rcode, 0, 0, True)[query.shape] + query.question + opt
    return query.id + heads(rcode, answers, authority)[query.shape] + query.question + sections + opt


def udp_limit(edns: Edns | None) -> int:
    """How long a reply by UDP may be."""
    return MIN_UDP_REPLY if edns is None else min(max(edns.payload, MIN_UDP_REPLY), MAX_UDP_REPLY)


@lru_cache(maxsize=1024)
def opt_record(rcode: int = 0, *, do: bool = False, ede: int | None = None) -> bytes:
    """Our OPT record, with an extended error (RFC 8914) where ``ede`` says so."""
    options = b"" if ede is None else b"\0\x0f\0\2" + ede.to_bytes(2, "big")
    ttl = bytes((rcode >> 4, 0, 0x80 if do else 0, 0))
    return b"\0\0\x29" + MAX_UDP_REPLY.to_bytes(2, "big") + ttl + len(options).to_bytes(2, "big") + options


def record(rtype: int, ttl_s: int, rdata: bytes, owner: bytes = QNAME_POINTER) -> bytes:
    """A resource record of class IN, of the asked name unless ``owner`` says otherwise."""
    fixed = rtype.to_bytes(2, "big") + b"\0\1" + ttl_s.to_bytes(4, "big") + len(rdata).to_bytes(2, "big")
    return owner + fixed + rdata


def labels_of(name: bytes) -> list[bytes]:
    """The labels of a whole wire name, leftmost first, without the root."""
    return [name[at + 1 : at + 1 + name[at]] for at in _label_offsets(name)]


def suffixes_of(name: bytes) -> Iterator[bytes]:
    """The wire name itself and every name above it, down to the root."""
    for at in _label_offsets(name):
        yield name[at:]
    yield b"\0"


def _label_offsets(name: bytes) -> Iterator[int]:
    at = 0
    while name[at]:
        yield at
        at += 1 + name[at]


def to_wire(name: str) -> bytes:
    """The wire form of a normalised name; "" is the root."""
    labels = name.encode("ascii").split(b".") if name else []
    return b"".join(bytes((len(label),)) + label for label in labels) + b"\0"


def to_text(name: bytes) -> str:
    """A wire name for people: RFC 4343 escapes for what no host name has."""
    return ".".join("".join(map(_escaped, label)) for label in labels_of(name)) or "."


def _escaped(byte: int) -> str:
    char = chr(byte)
    if char in ".\\":
        return "\\" + char
    return char if 0x21 <= byte <= 0x7E else f"\\{byte:03d}"


def _bare(packet: bytes, rcode: int, question: bytes = b"") -> bytes:
    """An error for a packet of which at most the question could be read."""
    flags = bytes((0x80 | packet[2] & 0x79, 0x80 | packet[3] & 0x10 | rcode))
    return packet[:2] + flags + (b"\0\1" if question else b"\0\0") + b"\0" * 6 + question
