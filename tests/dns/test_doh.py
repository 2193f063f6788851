"""What a request asks, and for how long its answer may be kept."""

from base64 import urlsafe_b64encode

import dns.flags
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering_dns.doh import MAX_MESSAGE, MEDIA, REASONS, max_age, question_of

QUERY = dns.message.make_query("steered.example", "A", id=0).to_wire()
TEXT = urlsafe_b64encode(QUERY).rstrip(b"=")
LONGEST = urlsafe_b64encode(b"q" * MAX_MESSAGE).rstrip(b"=")

CASES: dict[str, tuple[tuple[bytes, bytes, bytes, bytes], int, bytes | None]] = {
    "POST": ((b"POST", b"/dns-query", MEDIA, QUERY), 200, QUERY),
    "POST with a parameter": ((b"POST", b"/dns-query", b"Application/DNS-Message ; x=1", QUERY), 200, QUERY),
    "POST with a query": ((b"POST", b"/dns-query?x", MEDIA, QUERY), 200, QUERY),
    "GET": ((b"GET", b"/dns-query?dns=" + TEXT, b"", b""), 200, QUERY),
    "GET with more": ((b"GET", b"/dns-query?ct&dns=" + TEXT + b"&x=y", b"", b""), 200, QUERY),
    "GET in percents": ((b"GET", b"/dns-query?dns=%41" + TEXT[1:], b"", b""), 200, QUERY),
    "the longest": ((b"GET", b"/dns-query?dns=" + LONGEST, b"", b""), 200, b"q" * MAX_MESSAGE),
    "longer": ((b"GET", b"/dns-query?dns=" + LONGEST + b"A", b"", b""), 414, None),
    "padding": ((b"GET", b"/dns-query?dns=" + urlsafe_b64encode(b"x"), b"", b""), 400, None),
    "base64": ((b"GET", b"/dns-query?dns=a+/a", b"", b""), 400, None),
    "no base64": ((b"GET", b"/dns-query?dns=%FF%FE", b"", b""), 400, None),
    "one letter": ((b"GET", b"/dns-query?dns=A", b"", b""), 400, None),
    "nothing": ((b"GET", b"/dns-query?dns=", b"", b""), 400, None),
    "no dns": ((b"GET", b"/dns-query", b"", b""), 400, None),
    "dns twice": ((b"GET", b"/dns-query?dns=" + TEXT + b"&dns=" + TEXT, b"", b""), 400, None),
    "empty body": ((b"POST", b"/dns-query", MEDIA, b""), 400, None),
    "another medium": ((b"POST", b"/dns-query", b"application/dns-json", QUERY), 415, None),
    "no medium": ((b"POST", b"/dns-query", b"", QUERY), 415, None),
    "another path": ((b"GET", b"/", b"", b""), 404, None),
    "a path below": ((b"GET", b"/dns-query/x?dns=" + TEXT, b"", b""), 404, None),
    "HEAD": ((b"HEAD", b"/dns-query?dns=" + TEXT, b"", b""), 405, None),
    "PUT": ((b"PUT", b"/dns-query", MEDIA, QUERY), 405, None),
}


@pytest.mark.parametrize("case", CASES)
def test_questions(case: str) -> None:
    request, status, message = CASES[case]
    found = question_of(*request)
    assert (found.status, found.message if status == 200 else None) == (status, message)
    assert found.status in REASONS


@given(st.binary(max_size=60), st.binary(max_size=200), st.binary(max_size=60), st.binary(max_size=60))
def test_any_request(method: bytes, target: bytes, media: bytes, body: bytes) -> None:
    for way in (method, b"GET", b"POST"):
        for path in (target, b"/dns-query?" + target, b"/dns-query?dns=" + target):
            assert question_of(way, path, media, body).status in REASONS


def reply(*records: str, authority: str = "") -> bytes:
    made = dns.message.make_response(dns.message.make_query("a.example", "A", use_edns=0))
    for record in records:
        name, ttl, rtype, rdata = record.split(" ", 3)
        made.answer.append(dns.rrset.from_text(name, int(ttl), "IN", rtype, rdata))
    if authority:
        name, ttl, rtype, rdata = authority.split(" ", 3)
        made.authority.append(dns.rrset.from_text(name, int(ttl), "IN", rtype, rdata))
    return made.to_wire()


SOA = "example. {} SOA ns.example. admin.example. 1 2 3 4 {}"


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (reply("a.example. 300 A 192.0.2.1"), 300),
        (reply("a.example. 300 CNAME b.example.", "b.example. 7 A 192.0.2.1"), 7),
        (reply("a.example. 300 A 192.0.2.1", authority=SOA.format(5, 5)), 300),
        (reply(authority=SOA.format(60, 30)), 30),
        (reply(authority=SOA.format(20, 30)), 20),
        (reply(authority="example. 20 NS ns.example."), 0),
        (reply(), 0),
        (b"\0\0\x80\1" + b"\0" * 8, 0),  # FORMERR without a question
    ],
)
def test_an_answer_may_be_kept_as_long_as_its_shortest_ttl(packet: bytes, expected: int) -> None:
    assert max_age(packet) == expected
