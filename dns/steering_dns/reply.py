"""What an upstream's reply says of the asked name, rebuilt from nothing but the records that belong to it.

Pure.  An upstream can lie, and anybody can pretend to be one: only the records on the CNAME chain from the asked
name are kept (and, where the client wants DNSSEC, their signatures and proofs); glue never is.  Names are
uncompressed within limits of records, of name bytes and of chain length, so that no reply costs more than its size.
"""

import struct
from dataclasses import dataclass
from typing import NamedTuple

from steering_dns import rebinding
from steering_dns.wire import (
    AAAA,
    CNAME,
    DNAME,
    HTTPS,
    MX,
    NOERROR,
    NS,
    NSEC,
    NSEC3,
    NXDOMAIN,
    OPT,
    PTR,
    QNAME_AT,
    RRSIG,
    SOA,
    SRV,
    SVCB,
    A,
    record,
    suffixes_of,
)

MAX_RECORDS = 1000
MAX_NAME_BYTES = 262_144  # uncompressed, over the whole reply
MAX_POINTERS = 64
MAX_CHAIN = 16
MAX_NEGATIVE_S = 300

_FIXED = struct.Struct("!HHIH")
# Where names may be compressed inside record data (RFC 3597 4): bytes before the names, how many names.
_NAMES_IN = {NS: (0, 1), CNAME: (0, 1), PTR: (0, 1), DNAME: (0, 1), SOA: (0, 2), MX: (2, 1), SRV: (6, 1)}
_PROOFS = frozenset({RRSIG, NSEC, NSEC3})


class ReplyError(ValueError):
    """The reply cannot be used; the text says why."""


class Record(NamedTuple):
    owner: bytes
    rtype: int
    ttl_s: int
    rdata: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Sections:
    """An answer ready to be sent: everything after the question.

    ttl_at: offsets of the TTLs in ``body``.  ttl_s: how long it may be kept.  addresses: packed, of the asked type.
    targets: the names that the chain went through, without the asked one.  filtered: private addresses taken out.
    """

    rcode: int
    body: bytes
    ttl_at: tuple[int, ...]
    answers: int
    authority: int
    ttl_s: int
    addresses: tuple[bytes, ...] = ()
    targets: tuple[bytes, ...] = ()
    filtered: int = 0


def read_reply(
    packet: bytes,
    name: bytes,
    qtype: int,
    *,
    do: bool,
    max_ttl_s: int,
    private: rebinding.Private | None,
    own_soa: bytes = b"",
) -> Sections:
    """The part of ``packet`` that answers ``name`` and ``qtype``.  Raises ReplyError.

    ``packet`` carries the question for the lower-case ``name`` (id and question were matched before).
    private: which addresses a public name must not have; None: any will do.
    own_soa: an SOA record of ours, for an answer of which that left nothing: without one it could not be kept.
    """
    rcode = packet[3] & 0x0F
    answers, authority = _parse_sections(packet, QNAME_AT + len(name) + 4)
    if rcode not in (NOERROR, NXDOMAIN):
        return Sections(rcode=rcode, body=b"", ttl_at=(), answers=0, authority=0, ttl_s=0)
    chain = _chain(answers, name, qtype)
    above = {suffix for link in chain for suffix in suffixes_of(link)}
    kept = [r for r in answers if _belongs(r, chain, above, qtype, do=do)]
    filtered = 0
    if private is not None:
        public = [r for r in kept if not private.in_record(r.rtype, r.rdata)]
        filtered, kept = len(kept) - len(public), public
    positive = any(r.rtype == qtype and r.owner.lower() == chain[-1] for r in kept)
    proofs = [r for r in authority if do and r.rtype in _PROOFS]
    if not positive:
        proofs = [r for r in authority if r.rtype == SOA and r.owner.lower() in above][:1] + proofs
    if filtered and not positive and own_soa:
        proofs = [_owned(own_soa, name), *proofs]
    ttl_s = _ttl(kept, proofs, max_ttl_s, positive=positive)
    body, ttl_at = _build(kept, proofs, name, min(ttl_s, max_ttl_s) if not positive else max_ttl_s)
    return Sections(
        rcode=rcode,
        body=body,
        ttl_at=ttl_at,
        answers=len(kept),
        authority=len(proofs),
        ttl_s=ttl_s,
        addresses=tuple(r.rdata for r in kept if r.rtype == qtype and qtype in (A, AAAA)),
        targets=tuple(chain[1:]),
        filtered=filtered,
    )


def _owned(soa: bytes, name: bytes) -> Record:
    """A record whose owner is a pointer to the question, as ``wire.record`` makes it, with its owner spelt out."""
    rtype, _, ttl_s, _ = _FIXED.unpack_from(soa, 2)
    return Record(name, rtype, ttl_s, soa[2 + _FIXED.size :])


def _chain(answers: list[Record], name: bytes, qtype: int) -> list[bytes]:
    """The asked name and the CNAME targets after it, lower-case.  A loop or a long chain is an error."""
    chain = [name]
    if qtype == CNAME:
        return chain
    cnames = {r.owner.lower(): r.rdata.lower() for r in reversed(answers) if r.rtype == CNAME}
    while chain[-1] in cnames:
        target = cnames[chain[-1]]
        if target in chain or len(chain) > MAX_CHAIN:
            raise ReplyError("CNAME chain loops or is too long")
        chain.append(target)
    return chain


def _belongs(r: Record, chain: list[bytes], above: set[bytes], qtype: int, *, do: bool) -> bool:
    """Whether an answer is a link of the chain, what it ends in, or the DNAME that made a link.

    above: the names of the chain and all that are above them.
    """
    owner = r.owner.lower()
    if r.rtype == DNAME and qtype != DNAME:
        return owner in above and owner not in chain
    if owner not in chain:
        return do and r.rtype == RRSIG and r.rdata[:2] == b"\0\x27" and owner in above
    if r.rtype == CNAME:
        return True
    return (owner == chain[-1] and r.rtype == qtype) or (do and r.rtype == RRSIG)


def _ttl(answers: list[Record], authority: list[Record], max_ttl_s: int, *, positive: bool) -> int:
    """How long the whole may be kept.  A negative answer without SOA is not kept (RFC 2308 5)."""
    ttls = [r.ttl_s for r in answers]
    if not positive:
        soa = next((r for r in authority if r.rtype == SOA), None)
        if soa is None or len(soa.rdata) < 22:
            return 0
        ttls += [soa.ttl_s, int.from_bytes(soa.rdata[-4:], "big"), MAX_NEGATIVE_S]
    return min([*ttls, max_ttl_s])


def _build(
    answers: list[Record], authority: list[Record], name: bytes, max_ttl_s: int
) -> tuple[bytes, tuple[int, ...]]:
    body = bytearray()
    ttl_at: list[int] = []
    base = QNAME_AT + len(name) + 4
    where = {suffix: QNAME_AT + len(name) - len(suffix) for suffix in suffixes_of(name) if len(suffix) > 1}
    for r in (*answers, *authority):
        owner = _compressed(r.owner, where, base + len(body))
        ttl_at.append(len(body) + len(owner) + 4)
        body += record(r.rtype, min(r.ttl_s, max_ttl_s), r.rdata, owner)
        if r.rtype == CNAME:
            _remember(r.rdata, where, base + len(body) - len(r.rdata))
    return bytes(body), tuple(ttl_at)


def _compressed(name: bytes, where: dict[bytes, int], at: int) -> bytes:
    out = b""
    for suffix in suffixes_of(name):
        known = where.get(suffix.lower())
        if known is not None:
            return out + (0xC000 | known).to_bytes(2, "big")
        if len(suffix) > 1:
            if at + len(out) < 0x4000:
                where[suffix.lower()] = at + len(out)
            out += suffix[: 1 + suffix[0]]
    return out + b"\0"


def _remember(name: bytes, where: dict[bytes, int], at: int) -> None:
    for suffix in suffixes_of(name):
        position = at + len(name) - len(suffix)
        if len(suffix) > 1 and position < 0x4000:
            where.setdefault(suffix.lower(), position)


def _parse_sections(packet: bytes, at: int) -> tuple[list[Record], list[Record]]:
    counts = [int.from_bytes(packet[i : i + 2], "big") for i in (6, 8)]
    if sum(counts) > MAX_RECORDS:
        raise ReplyError(f"more than {MAX_RECORDS} records")
    budget = [MAX_NAME_BYTES]
    sections: tuple[list[Record], list[Record]] = ([], [])
    try:
        for section, count in zip(sections, counts, strict=True):
            for _ in range(count):
                owner, at = _name(packet, at, budget)
                rtype, rclass, ttl_s, length = _FIXED.unpack_from(packet, at)
                at += 10
                if at + length > len(packet):
                    raise ReplyError("a record is cut")
                if rclass == 1 and rtype != OPT:
                    rdata = _rdata(packet, at, length, rtype, budget)
                    section.append(Record(owner, rtype, 0 if ttl_s & 0x80000000 else ttl_s, rdata))
                at += length
    except (IndexError, struct.error) as exc:
        raise ReplyError("the reply is cut") from exc
    return sections


def _rdata(packet: bytes, at: int, length: int, rtype: int, budget: list[int]) -> bytes:
    end = at + length
    if (rtype == A and length != 4) or (rtype == AAAA and length != 16) or (rtype in (HTTPS, SVCB) and length < 3):
        raise ReplyError("an address record of the wrong length")
    if rtype not in _NAMES_IN:
        return packet[at:end]
    before, names = _NAMES_IN[rtype]
    out = packet[at : at + before]
    at += before
    for _ in range(names):
        name, at = _name(packet, at, budget)
        out += name
    if at > end:
        raise ReplyError("a name runs past its record")
    return out + packet[at:end]


def _name(packet: bytes, at: int, budget: list[int]) -> tuple[bytes, int]:
    """The uncompressed name at ``at`` and where the reading goes on.  Pointers only go backwards."""
    out = bytearray()
    after = -1
    for _ in range(MAX_POINTERS * 4):
        length = packet[at]
        if length >= 0xC0:
            target = (length & 0x3F) << 8 | packet[at + 1]
            if after < 0:
                after = at + 2
            if target >= at:
                raise ReplyError("a compression pointer that does not go backwards")
            at = target
            continue
        if length > 63:
            raise ReplyError("a label of unknown kind")
        out += packet[at : at + 1 + length]
        at += 1 + length
        if length == 0:
            budget[0] -= len(out)
            if len(out) > 255 or budget[0] < 0 or at > len(packet):
                raise ReplyError("a name is too long, or names take too much room")
            return bytes(out), after if after >= 0 else at
    raise ReplyError("a name has too many parts")
