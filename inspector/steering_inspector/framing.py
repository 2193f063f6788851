"""Where a body ends, and what is in it: content length, chunks, or the end of the connection.

Pure.  Bodies are decoded and framed anew, so that no chunk extension, odd spelling or stray byte of one side
ever reaches the other.  Each reader's ``feed`` takes what arrived and returns a ``Piece``.
"""

import re
from typing import NamedTuple, Protocol

MAX_CHUNK_LINE = 1024
MAX_TRAILER_BYTES = 16384
MAX_CHUNK = 2**62
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:;[\t\x20-\x7e\x80-\xff]*)?")
# Old IIS and some embedded servers pad the size; browsers read it.  From origins only.
_PADDED_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*?)[ \t]*")
# RFC 9110 6.5.1: what must not be taken from a trailer section: framing, routing, authentication, content.
# Fields by which the service and its helpers speak to each other; neither clients nor origins say any to the other.
OURS = (b"steering-", b"steering_")
FORBIDDEN_TRAILERS = frozenset(
    b"transfer-encoding content-length host connection te trailer upgrade keep-alive content-encoding content-type "
    b"content-range authorization cookie set-cookie www-authenticate proxy-authenticate proxy-authorization "
    b"alt-svc cache-control expect max-forwards pragma range age date expires location retry-after vary warning".split()
)


class BodyError(Exception):
    """A body that does not keep to its framing."""


class Piece(NamedTuple):
    """payload: decoded bytes.  used: how many of the fed bytes were consumed.  done: the body has ended."""

    payload: bytes
    used: int
    done: bool


class Body(Protocol):
    """A body being read.  ends_at_close: only the end of the connection ends it."""

    ends_at_close: bool

    def feed(self, data: bytes) -> Piece: ...


class LengthBody:
    """A body of a known length."""

    __slots__ = ("ends_at_close", "left")

    def __init__(self, length: int) -> None:
        self.left = length
        self.ends_at_close = False

    def feed(self, data: bytes) -> Piece:
        if len(data) <= self.left:
            self.left -= len(data)
            return Piece(data, len(data), self.left == 0)
        used = self.left
        self.left = 0
        return Piece(data[:used], used, True)


class CloseBody:
    """A body that the end of the connection ends."""

    __slots__ = ("ends_at_close",)

    def __init__(self) -> None:
        self.ends_at_close = True

    def feed(self, data: bytes) -> Piece:
        return Piece(data, len(data), False)


class ChunkedBody:
    """A chunked body (RFC 9112 7.1).  padded: take blanks after a chunk size.

    trailers: the permitted trailer fields, complete when the body is done.
    """

    __slots__ = ("_in_trailers", "_left", "_line", "_size", "_trailer_bytes", "ends_at_close", "trailers")

    def __init__(self, *, padded: bool = False) -> None:
        self._size = _PADDED_SIZE if padded else _SIZE
        self._left = 0  # bytes of the chunk still to come, with its CRLF: 2 while only the CRLF is due
        self._line = b""  # an incomplete line
        self._in_trailers = False
        self._trailer_bytes = 0
        self.trailers: list[tuple[bytes, bytes]] = []
        self.ends_at_close = False

    def feed(self, data: bytes) -> Piece:
        payload: list[bytes] = []
        at, end = 0, len(data)
        while at < end:
            if self._left > 2:
                take = min(self._left - 2, end - at)
                payload.append(data[at : at + take])
                self._left -= take
                at += take
            elif self._left:
                if data[at] != b"\r\n"[2 - self._left]:
                    raise BodyError("a chunk is longer than its size says")
                self._left -= 1
                at += 1
            else:
                line, at = self._take_line(data, at)
                if line is not None and self._line_ends_body(line):
                    return Piece(b"".join(payload), at, True)
        return Piece(b"".join(payload), at, False)

    def _take_line(self, data: bytes, at: int) -> tuple[bytes | None, int]:
        """The line that begins at ``at`` without its CRLF, or None while it is incomplete; and where to go on."""
        newline = data.find(b"\n", at)
        stop = newline + 1 if newline >= 0 else len(data)
        line = self._line + data[at:stop]
        if len(line) > (MAX_TRAILER_BYTES if self._in_trailers else MAX_CHUNK_LINE):
            raise BodyError("a chunk's size line or a trailer is too long")
        if newline < 0:
            self._line = line
            return None, stop
        self._line = b""
        if not line.endswith(b"\r\n") or b"\r" in line[:-2]:
            raise BodyError("a line in chunked framing does not end in CRLF")
        return line[:-2], stop

    def _line_ends_body(self, line: bytes) -> bool:
        if self._in_trailers:
            if not line:
                return True
            self._add_trailer(line)
            return False
        match = self._size.fullmatch(line)
        size = int(match[1], 16) if match else -1
        if not 0 <= size <= MAX_CHUNK:
            raise BodyError("a chunk's size is not a hexadecimal number")
        self._in_trailers = size == 0
        self._left = size + 2 if size else 0
        return False

    def _add_trailer(self, line: bytes) -> None:
        self._trailer_bytes += len(line)
        match = _TRAILER.fullmatch(line)
        if match is None or self._trailer_bytes > MAX_TRAILER_BYTES or len(self.trailers) >= 100:
            raise BodyError("a trailer is malformed, or there are too many")
        name = match[1].lower()
        if name not in FORBIDDEN_TRAILERS and not name.startswith(OURS):
            self.trailers.append((match[1], match[2]))


def render_chunk(payload: bytes) -> bytes:
    """One chunk; nothing for an empty payload, which would end the body."""
    return b"%x\r\n%b\r\n" % (len(payload), payload) if payload else b""


def render_last_chunk(trailers: list[tuple[bytes, bytes]]) -> bytes:
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n" + b"".join(b"%b: %b\r\n" % field for field in trailers) + b"\r\n"
