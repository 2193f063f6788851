"""HTTP/1 heads through aiohttp's C parsers, one head at a time.

The only module that touches aiohttp's parser classes, which are semi-public: pyproject holds the minor
version, ``tests/inspector/test_parsers.py`` the contract.  Bodies never pass through them (see ``framing``), so a
parser lives for one head: making one costs half a microsecond and leaves no state from message to message.
"""

import re
from asyncio import AbstractEventLoop
from typing import cast

from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError
from aiohttp.http_parser import HttpRequestParser, HttpResponseParser, RawRequestMessage, RawResponseMessage

from steering_inspector.fields import HeadError
from steering_inspector.settings import Limits

C_PARSER = HttpRequestParser.__module__ == "aiohttp._http_parser"
# RFC 9112 2.2 lets a recipient take a bare LF.  We take it from origins (old servers send it, browsers read it),
# never from clients.
_LAX_END = re.compile(rb"\n\r?\n")

# Nobody reads the payload streams that the parsers make, so they need neither loop nor protocol.
# (None would make a stream ask for, and thereby create, an event loop.)
_LOOP = cast(AbstractEventLoop, object())
_PROTOCOL = BaseProtocol(_LOOP)


def end_of_request_head(data: bytes | bytearray, start: int = 0) -> int:
    """Where the head at the beginning of ``data`` ends, or -1.  Bytes before ``start`` are known to hold no end."""
    found = data.find(b"\r\n\r\n", max(0, start - 3))
    return found + 4 if found >= 0 else -1


def end_of_response_head(data: bytes | bytearray, start: int = 0) -> int:
    """As ``end_of_request_head``, taking bare LF."""
    found = _LAX_END.search(data, max(0, start - 2))
    return found.end() if found else -1


def parse_request_head(head: bytes, limits: Limits) -> RawRequestMessage:
    """Parse exactly one request head, strictly.  Raises HeadError."""
    parser = HttpRequestParser(
        _PROTOCOL,
        _LOOP,
        65536,
        max_line_size=limits.max_line_bytes,
        max_field_size=limits.max_line_bytes,
        max_headers=limits.max_fields,
    )
    try:
        messages = parser.feed_data(head)[0]
    except BadHttpMethod as exc:
        raise HeadError(501, "not-implemented", "the method is not known here") from exc
    except HttpProcessingError as exc:
        raise HeadError(400, "bad-request", _first_line(exc)) from exc
    except Exception as exc:  # a parser's own fault must not end the process; unknown is refused
        raise HeadError(400, "bad-request", type(exc).__name__) from exc
    if len(messages) != 1:
        raise HeadError(400, "bad-request", "not one HTTP/1 request")
    return messages[0][0]


def parse_response_head(head: bytes, limits: Limits) -> RawResponseMessage:
    """Parse exactly one response head, as leniently as aiohttp does; ``response`` checks it.  Raises HeadError."""
    parser = HttpResponseParser(
        _PROTOCOL,
        _LOOP,
        65536,
        max_line_size=limits.max_line_bytes,
        max_field_size=limits.max_line_bytes,
        max_headers=limits.max_fields,
        response_with_body=False,
        read_until_eof=False,
    )
    try:
        messages = parser.feed_data(head)[0]
    except HttpProcessingError as exc:
        raise HeadError(502, "origin-protocol", _first_line(exc)) from exc
    except Exception as exc:  # as above
        raise HeadError(502, "origin-protocol", type(exc).__name__) from exc
    if len(messages) != 1:
        raise HeadError(502, "origin-protocol", "not one HTTP/1 response")
    return messages[0][0]


def _first_line(exc: HttpProcessingError) -> str:
    """What the parser says, without the excerpt of the peer's bytes that follows it."""
    lines = [line.strip() for line in exc.message.splitlines() if line.strip()]
    text = lines[0].partition(":")[0][:80] if lines else ""
    return text if " " in text else type(exc).__name__
