"""DNS over HTTPS (RFC 8484): what a request asks, and what its response says of how long it may be kept.

Pure, whatever the version of HTTP.  GET carries the question in ``dns``, base64url without padding; POST in its body.
An answer is 200 whatever its rcode; the errors here are about HTTP alone.
"""

import re
from base64 import urlsafe_b64decode
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

from steering_dns.wire import OPT, QNAME_AT, SOA

PATH = "/dns-query"
TEMPLATE = PATH + "{?dns}"
MEDIA = b"application/dns-message"
MAX_MESSAGE = 65_535
_BASE64URL = re.compile(rb"[A-Za-z0-9_-]+")
_MAX_TEXT = (MAX_MESSAGE * 4 + 2) // 3

REASONS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    411: "Length Required",
    413: "Content Too Large",
    414: "URI Too Long",
    415: "Unsupported Media Type",
    431: "Request Header Fields Too Large",
    501: "Not Implemented",
    503: "Service Unavailable",
    505: "HTTP Version Not Supported",
}


class Asked(NamedTuple):
    """status: 200 where ``message`` is to be answered, else that of the error; ``message`` is then a word on it."""

    status: int
    message: bytes


def question_of(method: bytes, target: bytes, media: bytes, body: bytes) -> Asked:
    """The DNS message of a request.  media: its Content-Type, "" where it has none."""
    path, _, query = target.partition(b"?")
    if path != PATH.encode():
        return Asked(404, b"DNS over HTTPS is at " + PATH.encode())
    if method == b"POST":
        if media.partition(b";")[0].strip().lower() != MEDIA:
            return Asked(415, b"the Content-Type has to be " + MEDIA)
        return Asked(200, body) if body else Asked(400, b"the body is empty")
    if method == b"GET":
        return _from_query(query)
    return Asked(405, b"GET and POST alone")


def _from_query(query: bytes) -> Asked:
    given = [part[4:] for part in query.split(b"&") if part.startswith(b"dns=")]
    if len(given) != 1 or not given[0]:
        return Asked(400, b"one dns=... with the question is wanted")
    text = unquote_to_bytes(given[0]) if b"%" in given[0] else given[0]
    if len(text) > _MAX_TEXT:
        return Asked(414, b"the question is too long")
    if not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        return Asked(400, b"dns=... is no base64url without padding")
    return Asked(200, urlsafe_b64decode(text + b"=" * (-len(text) % 4)))


def max_age(reply: bytes) -> int:
    """For how long a reply of ours may be kept: the least TTL of its answers, or what its SOA says (RFC 8484 5.1).

    0 where it has neither, as SERVFAIL.
    """
    answers, authority = int.from_bytes(reply[6:8], "big"), int.from_bytes(reply[8:10], "big")
    at = _after_name(reply, QNAME_AT) + 4 if reply[4:6] == b"\0\1" else QNAME_AT
    ttls: list[int] = []
    for number in range(answers + authority):
        at = _after_name(reply, at)
        rtype, size = int.from_bytes(reply[at : at + 2], "big"), int.from_bytes(reply[at + 8 : at + 10], "big")
        at += 10 + size
        if rtype != OPT and (number < answers or (rtype == SOA and not answers)):
            ttls.append(int.from_bytes(reply[at - size - 6 : at - size - 2], "big"))
            if number >= answers:
                ttls.append(int.from_bytes(reply[at - 4 : at], "big"))
    return min(ttls, default=0)


def _after_name(packet: bytes, at: int) -> int:
    while True:
        length = packet[at]
        if length >= 0xC0:
            return at + 2
        at += 1 + length
        if not length:
            return at
