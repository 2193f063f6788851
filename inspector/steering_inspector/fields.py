"""Header fields as (name, value) bytes: what is well formed, what is hop by hop, what frames a body.

Pure; shared by ``request`` and ``response``.
"""

import re
from collections.abc import Iterable, Sequence

from steering_inspector.framing import OURS, Body, ChunkedBody, LengthBody

Field = tuple[bytes, bytes]
Fields = Sequence[Field]

NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
_LENGTH = re.compile(rb"[0-9]{1,18}")

HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-connection proxy-authenticate proxy-authentication-info proxy-authorization "
    b"te trailer transfer-encoding upgrade http2-settings".split()
)
FRAMING = frozenset((b"content-length", b"transfer-encoding"))
# Some servers fold '_' into '-' (CGI, WSGI): such a name could be read there as a field that we took away or wrote.
_NEVER_WITH_UNDERSCORE = HOP_BY_HOP | FRAMING | {b"host"}
# A Connection field that names these would only break the message.
_NEVER_NAMED = FRAMING | frozenset((b"host", b"close", b"upgrade"))


class HeadError(Exception):
    """A head that is refused.  status: what a client is told; reason: the named reason for the access line."""

    def __init__(self, status: int, reason: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.reason = reason
        self.why = why


def check_fields(fields: Iterable[Field], status: int, reason: str) -> None:
    """Raises HeadError for a name that is no token, a value with control characters, or a framing look-alike."""
    for name, value in fields:
        if not NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise HeadError(status, reason, "a header field is malformed")
        if b"_" in name and name.lower().replace(b"_", b"-") in _NEVER_WITH_UNDERSCORE:
            raise HeadError(status, reason, "a header field looks like one that frames or routes the message")


def values_of(fields: Iterable[Field], name: bytes) -> list[bytes]:
    """Every value of a field, in order; ``name`` in lower case."""
    return [value for key, value in fields if key.lower() == name]


def tokens_of(fields: Iterable[Field], name: bytes) -> list[bytes]:
    """The comma-separated tokens of a field, in lower case."""
    return [token for value in values_of(fields, name) for t in value.split(b",") if (token := t.strip().lower())]


def end_to_end(fields: Fields, drop: frozenset[bytes]) -> list[Field]:
    """What goes on: not hop by hop, not named by Connection, not in ``drop`` (lower case), not ours."""
    named = frozenset(tokens_of(fields, b"connection")) - _NEVER_NAMED
    gone = HOP_BY_HOP | named | drop
    return [field for field in fields if (name := field[0].lower()) not in gone and not name.startswith(OURS)]


def body_of(fields: Fields, *, minor: int, status: int, reason: str, padded: bool) -> Body | None:
    """The body that the fields announce, or None where they announce none.

    Raises HeadError for everything on which two parsers could disagree: both kinds of framing, a coding other
    than exactly ``chunked``, chunks in HTTP/1.0, more than one length, a length that is not plain digits.
    """
    codings = values_of(fields, b"transfer-encoding")
    lengths = values_of(fields, b"content-length")
    if codings and lengths:
        raise HeadError(status, reason, "both Content-Length and Transfer-Encoding")
    if codings:
        if minor == 0:
            raise HeadError(status, reason, "Transfer-Encoding in HTTP/1.0")
        if len(codings) != 1 or codings[0].strip().lower() != b"chunked":
            raise HeadError(status, reason, "a Transfer-Encoding other than chunked")
        return ChunkedBody(padded=padded)
    if lengths:
        if len(lengths) != 1 or not _LENGTH.fullmatch(lengths[0]):
            raise HeadError(status, reason, "not one plain Content-Length")
        return LengthBody(int(lengths[0]))
    return None


def render_fields(fields: Iterable[Field]) -> bytes:
    return b"".join([b"%b: %b\r\n" % field for field in fields])
