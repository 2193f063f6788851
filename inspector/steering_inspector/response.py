"""Is this response head one that a client cannot misread, and what is sent on of it?

Pure.  aiohttp reads responses leniently by design, and a hostile origin sits on that side: nothing of its head is
sent on raw, and what two parsers could read differently is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from steering_inspector.fields import (
    FRAMING,
    Field,
    HeadError,
    body_of,
    check_fields,
    end_to_end,
    render_fields,
    tokens_of,
)
from steering_inspector.fields import values_of as field_values
from steering_inspector.framing import Body, ChunkedBody, CloseBody, LengthBody
from steering_inspector.request import CONNECTION_AUTH, Request

BAD = "origin-protocol"
# Alt-Svc would move the client to HTTP/3, past this inspector.
NOT_SENT_ON = FRAMING | {b"alt-svc", b"alternate-protocol"}


class ParsedResponse(Protocol):
    """A head as ``heads.parse_response_head`` gives it: parsed, but not checked.  version: major, minor."""

    @property
    def code(self) -> int: ...

    @property
    def reason(self) -> str: ...

    @property
    def version(self) -> tuple[int, int]: ...

    @property
    def raw_headers(self) -> Sequence[Field]: ...


@dataclass(slots=True, kw_only=True)
class Response:
    """A checked response.

    minor: of the origin's version.  fields: end-to-end fields without framing.  block: the same, written.
    body: None where there is none.
    length: the Content-Length to tell, also where no body follows it (HEAD, 304); None for none.
    keep_alive: whether the origin's connection can be used again.
    connection_auth: it asks to authenticate the connection (NTLM, Negotiate).
    """

    minor: int
    status: int
    phrase: str
    fields: list[Field]
    block: bytes
    body: Body | None
    length: int | None
    keep_alive: bool
    connection_auth: bool

    @property
    def interim(self) -> bool:
        return self.status < 200 and self.status != 101


def check_response(head: ParsedResponse, request: Request) -> Response:
    """Check the head that answers ``request``.  Raises HeadError."""
    major, minor = head.version
    if major != 1 or minor not in (0, 1):
        raise HeadError(502, BAD, "a version other than HTTP/1.0 and HTTP/1.1")
    if not 100 <= head.code <= 599:
        raise HeadError(502, BAD, "a status code out of range")
    fields: tuple[Field, ...] = tuple(head.raw_headers)
    check_fields(fields, 502, BAD)
    announced = body_of(fields, minor=minor, status=502, reason=BAD, padded=True)
    if head.code == 101:
        _check_switch(fields, request)
    connection = tokens_of(fields, b"connection")
    kept = end_to_end(fields, NOT_SENT_ON)
    return response_of(
        request.method,
        minor=minor,
        status=head.code,
        phrase=_phrase(head.reason),
        fields=kept,
        block=render_fields(kept),
        announced=announced,
        persistent=b"close" not in connection and (minor == 1 or b"keep-alive" in connection),
        connection_auth=any(v.lower().startswith(CONNECTION_AUTH) for v in field_values(fields, b"www-authenticate")),
    )


def response_of(
    method: str,
    *,
    minor: int,
    status: int,
    phrase: str,
    fields: list[Field],
    block: bytes,
    announced: Body | None,
    persistent: bool,
    connection_auth: bool,
) -> Response:
    """A checked response to a request of ``method``.  announced: the body that the fields tell of."""
    body: Body | None = announced if announced is not None else CloseBody()
    length = announced.left if isinstance(announced, LengthBody) else None
    if method == "HEAD" or status < 200 or status in (204, 304):
        body = None
        length = length if method == "HEAD" or status == 304 else None
    elif length == 0:
        body = None
    return Response(
        minor=minor,
        status=status,
        phrase=phrase,
        fields=fields,
        block=block,
        body=body,
        length=length,
        keep_alive=persistent and not isinstance(body, CloseBody),
        connection_auth=connection_auth,
    )


def render_response(response: Response, request: Request, advertised: str, *, keep_alive: bool) -> bytes:
    """The head as it is sent to the client.  keep_alive: whether we shall read another request after it."""
    more = b""
    if response.length is not None:
        more = b"Content-Length: %d\r\n" % response.length
    elif isinstance(response.body, ChunkedBody) and request.minor == 1:
        more = b"Transfer-Encoding: chunked\r\n"
    if response.status == 101:
        more += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    elif not keep_alive and not response.interim:
        more += b"Connection: close\r\n"
    first = f"HTTP/1.1 {response.status} {response.phrase}\r\n".encode("ascii")
    last = b"\r\n" if response.interim else f"Via: 1.{response.minor} {advertised}\r\n\r\n".encode("ascii")
    return b"%b%b%b%b" % (first, response.block, more, last)


def _check_switch(fields: tuple[Field, ...], request: Request) -> None:
    if not request.websocket or tokens_of(fields, b"upgrade") != [b"websocket"]:
        raise HeadError(502, "origin-protocol", "the origin switches to a protocol that was not asked for")


def _phrase(text: str) -> str:
    return "".join(c for c in text if " " <= c <= "~")[:100]
