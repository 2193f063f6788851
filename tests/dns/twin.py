"""The slow and obvious twin of ``answer.decide_wire``: dnslib parses, ``Planner`` decides, dnslib builds."""

from typing import Any

import dnslib

from steering_dns import wire
from steering_dns.plan import Local, Planner
from steering_dns.views import View


def answer(packet: bytes, planner: Planner, view: View, now: float) -> dict[str, Any] | None:
    """What a reply has to say, for a well-formed query that is answered without asking; None: it must be asked."""
    asked = dnslib.DNSRecord.parse(packet)
    name = b"".join(bytes((len(label),)) + label for label in asked.q.qname.label) + b"\0"
    query = wire.Query(packet[:2], 0, name.lower(), asked.q.qtype, asked.q.qclass, b"", None)
    plan = planner.plan(query, view, now)
    if not isinstance(plan, Local):
        return None
    return {
        "id": asked.header.id,
        "rcode": plan.rcode,
        "rd": asked.header.rd,
        "question": (asked.q.qname.label, asked.q.qtype, asked.q.qclass),
        "counts": (plan.answers, plan.authority, len([r for r in asked.ar if r.rtype == dnslib.QTYPE.OPT])),
    }


def read(reply: bytes) -> dict[str, Any]:
    """The same of a reply."""
    found = dnslib.DNSRecord.parse(reply)
    return {
        "id": found.header.id,
        "rcode": found.header.rcode,
        "rd": found.header.rd,
        "question": (found.q.qname.label, found.q.qtype, found.q.qclass),
        "counts": (len(found.rr), len(found.auth), len(found.ar)),
    }
