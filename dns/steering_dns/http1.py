"""HTTP/1.1 (RFC 9112) as far as DNS over HTTPS needs it: one request after the other, bytes in, requests out.

Pure, but for the connection's own state.  Strict: what could be read in two ways ends the connection with 400.  A body
has a Content-Length; a client that will not say it gets 411 (RFC 9110 15.5.12).
"""

import re
from typing import NamedTuple

MAX_HEAD_BYTES = 16_384 + 87_381  # a GET carries its question in the target
MAX_BODY_BYTES = 65_535
_REQUEST_LINE = re.compile(rb"([A-Z]{1,20}) (/[\x21-\x7e]*) HTTP/1\.([01])")
_LENGTH = re.compile(rb"[0-9]{1,9}")
_ONCE = frozenset((b"content-length", b"content-type", b"host"))
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([\x20-\x7e\x80-\xff\t]*?)[ \t]*")


class Http1Request(NamedTuple):
    """keep: whether the connection goes on after the response.  status: not 200 where it is an error already.

    expects: 100 Continue.
    """

    method: bytes
    target: bytes
    media: bytes
    body: bytes
    keep: bool
    status: int = 200
    expects: bool = False


class Http1:
    """One connection.  ``receive`` bytes, then ``next`` until None; each request is to be answered before the next."""

    def __init__(self) -> None:
        self._in = bytearray()
        self._sought = 0  # no head ends before
        self._head: tuple[Http1Request, int] | None = None  # of which the body is missing, and its size
        self._continued = False

    def receive(self, data: bytes) -> None:
        self._in += data

    @property
    def wants_continue(self) -> bool:
        """Whether the client waits for 100 Continue; says so once a request."""
        if self._head is None or self._continued or self._in or not self._head[0].expects:
            return False
        self._continued = True
        return True

    def next(self) -> Http1Request | None:
        """The next whole request, None where more bytes are needed."""
        if self._head is None:
            self._head = self._read_head()
        if self._head is None:
            return None
        request, size = self._head
        if len(self._in) < size:
            return None
        body = bytes(self._in[:size])
        del self._in[:size]
        self._head, self._continued = None, False
        return request._replace(body=body)

    def _read_head(self) -> tuple[Http1Request, int] | None:
        """The head of a request, and how long its body is."""
        while self._in.startswith(b"\r\n"):  # RFC 9112 2.2
            del self._in[:2]
            self._sought = 0
        end = self._in.find(b"\r\n\r\n", self._sought)
        if end > MAX_HEAD_BYTES or (end < 0 and len(self._in) > MAX_HEAD_BYTES):
            return _error(431), 0
        if end < 0:
            self._sought = max(len(self._in) - 3, 0)
            return None
        head = bytes(self._in[:end])
        del self._in[: end + 4]
        self._sought = 0
        return _parse_head(head)


def _parse_head(head: bytes) -> tuple[Http1Request, int]:
    first, *lines = head.split(b"\r\n")
    line = _REQUEST_LINE.fullmatch(first)
    if line is None:
        return _error(400), 0
    fields: dict[bytes, bytes] = {}
    for text in lines:
        field = _FIELD.fullmatch(text)
        if field is None:
            return _error(400), 0
        name = field[1].lower()
        if name in fields and name in _ONCE:
            return _error(400), 0
        fields[name] = field[2]
    method, target, minor = line[1], line[2], line[3]
    if b"transfer-encoding" in fields or (method == b"POST" and b"content-length" not in fields):
        return _error(411), 0
    length = fields.get(b"content-length", b"0")
    if (minor == b"1" and b"host" not in fields) or not _LENGTH.fullmatch(length):
        return _error(400), 0
    if int(length) > MAX_BODY_BYTES:
        return _error(413), 0
    options = {word.strip().lower() for word in fields.get(b"connection", b"").split(b",")}
    keep = b"close" not in options and (minor == b"1" or b"keep-alive" in options)
    expects = fields.get(b"expect", b"").lower() == b"100-continue"
    return Http1Request(method, target, fields.get(b"content-type", b""), b"", keep, expects=expects), int(length)


def _error(status: int) -> Http1Request:
    """After which nothing of the connection can be read any more."""
    return Http1Request(b"", b"", b"", b"", keep=False, status=status)
