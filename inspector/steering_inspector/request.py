"""Is this request head one that two servers could not read differently, and what is sent on of it?

Pure.  aiohttp's parser accepts some forms that must not be passed on (research of 46 malformed heads): they are
refused here, or written anew in the one form that all servers read alike.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from steering.policy import Host, parse_host
from steering.policy.errors import HostError
from steering_inspector.fields import (
    FRAMING,
    Field,
    HeadError,
    body_of,
    check_fields,
    end_to_end,
    render_fields,
    tokens_of,
    values_of,
)
from steering_inspector.framing import Body, LengthBody

IDEMPOTENT = frozenset(("GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "PROPFIND", "REPORT", "SEARCH"))
CONNECTION_AUTH = (b"ntlm", b"negotiate")
BAD = "bad-request"
_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^\[\]:/?#@\s\\]+)(?::([0-9]{1,5}))?")
_PATH = re.compile(r"[\x21\x22\x24-\x7e]+")  # visible ASCII without '#'
_ABSOLUTE = re.compile(r"(https?)://([^/?#\\]*)([/?].*)?", re.IGNORECASE)
_DROPPED = FRAMING | {b"host", b"expect"}
_DEFAULT_PORTS = {"http": 80, "https": 443}


class ParsedRequest(Protocol):
    """A head as ``heads.parse_request_head`` gives it: parsed, but not checked.  version: major, minor."""

    @property
    def method(self) -> str: ...

    @property
    def path(self) -> str: ...

    @property
    def version(self) -> tuple[int, int]: ...

    @property
    def raw_headers(self) -> Sequence[Field]: ...


@dataclass(frozen=True, slots=True)
class Authority:
    """A host with a port; ``port`` None where none was written."""

    host: Host
    port: int | None


@dataclass(slots=True, kw_only=True)
class Request:
    """A checked request.

    authority: of the target in absolute form and CONNECT, else of Host; None for HTTP/1.0 without either.
    scheme: of a target in absolute form, else "".  path: the target to send on, in origin form.
    fields: end-to-end fields, without Host, Content-Length, Transfer-Encoding and Expect.  block: the same, written.
    body: None where there is none.  websocket: it asks to become a WebSocket.
    connection_auth: it authenticates the connection (NTLM, Negotiate) instead of the request.
    attestations: what the client gives as Steering-Attestation; it means nothing but to a listener for helpers.
    """

    method: str
    scheme: str
    authority: Authority | None
    path: str
    minor: int
    fields: list[Field]
    block: bytes
    body: Body | None
    keep_alive: bool
    websocket: bool
    expects_continue: bool
    connection_auth: bool
    via: list[bytes]
    attestations: list[bytes]

    @property
    def line(self) -> str:
        """For logs: without the query, in which sites put tokens, searches and names."""
        path, mark, _ = self.path.partition("?")
        return f"{self.method} {path}{mark and '?...'}"

    @property
    def accept(self) -> str:
        """What kinds of answer the client reads; "" where it does not say."""
        return b",".join(values_of(self.fields, b"accept")).decode("latin-1")

    @property
    def may_repeat(self) -> bool:
        """Whether it may be sent a second time when a kept-alive connection turns out to be dead (RFC 9110 9.2.2)."""
        return self.body is None and self.method in IDEMPOTENT


def parse_authority(text: str) -> Authority:
    """Parse ``host`` or ``host:port``.  Raises HeadError: userinfo, blanks and paths are refused."""
    match = _AUTHORITY.fullmatch(text)
    port = int(match[2]) if match and match[2] else None
    if match is None or (port is not None and not 0 < port < 65536):
        raise HeadError(400, "bad-request", "not a host with an optional port")
    try:
        host = parse_host(match[1])
    except HostError as exc:
        raise HeadError(400, "bad-request", str(exc)) from exc
    return Authority(host, port)


def check_request(head: ParsedRequest) -> Request:
    """Check a parsed head.  Raises HeadError."""
    major, minor = head.version
    if major != 1 or minor not in (0, 1):
        raise HeadError(505, "not-implemented", "only HTTP/1.0 and HTTP/1.1 are spoken here")
    fields: tuple[Field, ...] = tuple(head.raw_headers)
    check_fields(fields, 400, BAD)
    body = body_of(fields, minor=minor, status=400, reason=BAD, padded=False)
    if isinstance(body, LengthBody) and body.left == 0:
        written_length = True
        body = None
    else:
        written_length = False
    host = _host(fields, minor)
    scheme, authority, path = _target(head, host)
    if head.method == "CONNECT" and (body is not None or values_of(fields, b"content-length")):
        raise HeadError(400, BAD, "CONNECT with a body")
    connection = tokens_of(fields, b"connection")
    kept = end_to_end(fields, _DROPPED)
    if written_length:
        kept.append((b"Content-Length", b"0"))
    expect = tokens_of(fields, b"expect")
    if expect and expect != [b"100-continue"]:
        raise HeadError(417, "bad-request", "an expectation other than 100-continue")
    return Request(
        method=head.method,
        scheme=scheme,
        authority=authority,
        path=path,
        minor=minor,
        fields=kept,
        block=render_fields(kept),
        body=body,
        keep_alive=minor == 1 and b"close" not in connection,
        websocket=_is_websocket(head, fields, connection, body),
        expects_continue=minor == 1 and bool(expect) and body is not None,
        connection_auth=_authenticates_connection(fields),
        via=values_of(fields, b"via"),
        attestations=values_of(fields, b"steering-attestation"),
    )


def render_request(request: Request, host: bytes, advertised: str) -> bytes:
    """The head as it is sent to the origin.  host: the value of Host."""
    more = b""
    if isinstance(request.body, LengthBody):
        more = b"Content-Length: %d\r\n" % request.body.left
    elif request.body is not None:
        more = b"Transfer-Encoding: chunked\r\n"
    if request.expects_continue:
        more += b"Expect: 100-continue\r\n"
    if request.websocket:
        more += b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    target = f"{request.method} {request.path} HTTP/1.1\r\nHost: ".encode("ascii")
    via = f"Via: 1.{request.minor} {advertised}\r\n\r\n".encode("ascii")
    return b"%b%b\r\n%b%b%b" % (target, host, request.block, more, via)


def loops(request: Request, advertised: str) -> bool:
    """Whether this very inspector has seen the request before."""
    if not request.via:
        return False
    own = advertised.encode("ascii").lower()
    return any(part.split()[1:2] == [own] for value in request.via for part in value.lower().split(b","))


def host_value(authority: Authority, scheme: str) -> bytes:
    """The value of Host for an origin: the port only where it is not the scheme's own."""
    text = f"[{authority.host.text}]" if ":" in authority.host.text else authority.host.text
    if authority.port is not None and authority.port != _DEFAULT_PORTS[scheme]:
        text = f"{text}:{authority.port}"
    return text.encode("ascii")


def _host(fields: tuple[Field, ...], minor: int) -> Authority | None:
    values = values_of(fields, b"host")
    if len(values) > 1 or (not values and minor == 1):
        raise HeadError(400, BAD, "not exactly one Host")
    if not values or not values[0]:
        return None
    return parse_authority(values[0].decode("latin-1"))


def _target(head: ParsedRequest, host: Authority | None) -> tuple[str, Authority | None, str]:
    """Scheme (or ""), authority and path.  RFC 9112 3.2.2: the target's authority wins and Host is rewritten."""
    target = head.path
    if head.method == "CONNECT":
        return "", parse_authority(target), target
    if not _PATH.fullmatch(target):
        raise HeadError(400, BAD, "the request target holds what no target may hold")
    if target.startswith("/"):
        return "", host, target
    if target == "*" and head.method == "OPTIONS":
        return "", host, target
    match = _ABSOLUTE.fullmatch(target)
    if match is None:
        raise HeadError(400, "bad-request", "a target that is neither a path nor an http or https URL")
    rest = match[3] or ("*" if head.method == "OPTIONS" else "/")  # RFC 9112 3.2.4
    return match[1].lower(), parse_authority(match[2]), "/" + rest if rest.startswith("?") else rest


def _is_websocket(head: ParsedRequest, fields: tuple[Field, ...], connection: list[bytes], body: Body | None) -> bool:
    """Any other Upgrade is taken out of the request, which every server must take (RFC 9110 7.8)."""
    if tokens_of(fields, b"upgrade") != [b"websocket"] or b"upgrade" not in connection:
        return False
    if head.method != "GET" or head.version[1] != 1 or body is not None:
        raise HeadError(400, "bad-request", "a WebSocket begins with a GET of HTTP/1.1 without a body")
    if values_of(fields, b"sec-websocket-version") != [b"13"]:
        raise HeadError(426, "not-implemented", "only version 13 of WebSocket is spoken here")
    return True


def _authenticates_connection(fields: tuple[Field, ...]) -> bool:
    return any(value.lower().startswith(CONNECTION_AUTH) for value in values_of(fields, b"authorization"))
