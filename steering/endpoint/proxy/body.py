"""Where the body of a request ends, found as it passes by.

Pure.  ``take`` gives as much of the bytes as belongs to the body; ``over`` says that it has ended.
"""

import re
from typing import Protocol

MAX_LINE = 8192  # of a chunk's size, or a trailer
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?\r\n")


class BodyError(ValueError):
    """A chunked body that cannot be read as one."""


class Body(Protocol):
    over: bool

    def take(self, data: bytes) -> bytes: ...


class Counted:
    """A body of known length."""

    __slots__ = ("_left", "over")

    def __init__(self, length: int) -> None:
        self._left = length
        self.over = not length

    def take(self, data: bytes) -> bytes:
        part = data[: self._left]
        self._left -= len(part)
        self.over = not self._left
        return part


class Chunked:
    """RFC 9112 7.1: lines that say how many bytes follow, zero for none; then trailers, to an empty line.

    The framing is passed on as it stands, so it is read as strictly as any reader may.
    """

    __slots__ = ("_in_trailers", "_left", "_line", "over")

    def __init__(self) -> None:
        self._left = 0  # of a chunk, with the CRLF behind it
        self._line = b""  # as far as it has come
        self._in_trailers = False
        self.over = False

    def take(self, data: bytes) -> bytes:
        """Raises BodyError."""
        at = 0
        while at < len(data) and not self.over:
            at = self._through_chunk(data, at) if self._left else self._through_line(data, at)
        return data[:at]

    def _through_chunk(self, data: bytes, at: int) -> int:
        part = data[at : at + self._left]
        for place, expected in ((2, b"\r"), (1, b"\n")):  # the end of the chunk, where it is in this part
            index = self._left - place
            if 0 <= index < len(part) and part[index : index + 1] != expected:
                raise BodyError("a chunk is longer than it says")
        self._left -= len(part)
        return at + len(part)

    def _through_line(self, data: bytes, at: int) -> int:
        end = data.find(b"\n", at) + 1 or len(data)
        self._line += data[at:end]
        if len(self._line) > MAX_LINE:
            raise BodyError("a line between chunks is too long")
        if self._line.endswith(b"\n"):
            line, self._line = self._line, b""
            self._at_line(line)
        return end

    def _at_line(self, line: bytes) -> None:
        if self._in_trailers:
            if not line.endswith(b"\r\n"):
                raise BodyError("a trailer without CRLF")
            self.over = line == b"\r\n"
            return
        found = _SIZE.fullmatch(line)
        if found is None:
            raise BodyError("the size of a chunk cannot be read")
        size = int(found[1], 16)
        self._in_trailers = not size
        self._left = size + 2 if size else 0


def body_of(length: int | None) -> Body:
    """length: None for a chunked one."""
    return Chunked() if length is None else Counted(length)
