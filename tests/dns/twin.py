"""The slow and obvious twin of ``answer.decide_wire``: dnslib parses, ``Planner`` decides, dnslib builds."""

from collections.abc import Mapping
from typing import Any

import dnslib

from steering_dns import wire
from steering_dns.plan import Local, Planner
from steering_dns.views import View

# (lower-case name with final dot, type) -> the answer that an upstream gave, and how long ago.
Cached = Mapping[tuple[str, int], tuple[list[dnslib.RR], int]]


def answer(
    packet: bytes, planner: Planner, view: View, now: float, cached: Cached, *, udp: bool = True
) -> dict[str, Any] | None:
    """What a reply has to say, for a well-formed query that is answered without asking; None: it must be asked."""
    asked = dnslib.DNSRecord.parse(packet)
    name = b"".join(bytes((len(label),)) + label for label in asked.q.qname.label) + b"\0"
    plan = planner.plan(wire.Query(packet[:2], 0, name.lower(), asked.q.qtype, asked.q.qclass, b"", None), view, now)
    header = dnslib.DNSHeader(id=asked.header.id, qr=1, aa=0, ra=1, rd=asked.header.rd, cd=asked.header.cd)
    reply = dnslib.DNSRecord(header, q=asked.q)
    opts = [record for record in asked.ar if record.rtype == dnslib.QTYPE.OPT]
    ede: int | None = None
    if isinstance(plan, Local):
        header.rcode, ede = plan.rcode, plan.ede
        found = dnslib.DNSRecord.parse(_after_question(asked, plan))
        reply.add_answer(*found.rr)
        reply.add_auth(*found.auth)
    else:
        entry = cached.get((wire.to_text(name.lower()) + ".", asked.q.qtype))
        if entry is None:
            return None
        records, age_s = entry
        reply.add_answer(*(dnslib.RR(asked.q.qname, r.rtype, r.rclass, r.ttl - age_s, r.rdata) for r in records))
    if opts:
        options = [] if ede is None else [dnslib.EDNSOption(15, ede.to_bytes(2, "big"))]
        reply.add_ar(dnslib.EDNS0(udp_len=1232, flags="do" if opts[0].edns_do else "", opts=options))
    limit = 65535 if not udp else min(max(opts[0].edns_len, 512), 1232) if opts else 512
    if len(reply.pack()) > limit:
        header.tc, reply.rr, reply.auth = 1, [], []
    return read(bytes(reply.pack()))


def _after_question(asked: dnslib.DNSRecord, plan: Local) -> bytes:
    header = dnslib.DNSHeader(q=1, a=plan.answers, auth=plan.authority)
    buffer = dnslib.DNSBuffer()
    header.pack(buffer)
    asked.q.pack(buffer)
    return bytes(buffer.data) + plan.sections


def read(reply: bytes) -> dict[str, Any]:
    """All that a reply says, record by record."""
    found = dnslib.DNSRecord.parse(reply)
    header = found.header
    return {
        "id": header.id,
        "flags": (header.qr, header.opcode, header.aa, header.tc, header.rd, header.ra, header.ad, header.cd),
        "rcode": header.rcode,
        "question": (found.q.qname.label, found.q.qtype, found.q.qclass),
        "answer": [_record(r) for r in found.rr],
        "authority": [_record(r) for r in found.auth],
        "opt": [(r.edns_len, r.edns_do, r.edns_ver, [(o.code, bytes(o.data)) for o in r.rdata]) for r in found.ar],
    }


def _record(record: dnslib.RR) -> tuple[object, ...]:
    return (
        tuple(label.lower() for label in record.rname.label),
        record.rtype,
        record.rclass,
        record.ttl,
        str(record.rdata),
    )
