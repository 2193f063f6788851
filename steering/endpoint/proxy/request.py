"""The head of a request to the local proxy, read strictly and written anew for whoever it goes to.

Pure.  One request a connection: ``Connection: close`` goes along, and ``onerequest`` lets nothing follow, so that no
second request can pass by the decision made for the first.  Headers of ours that a local program sends are dropped:
only the helper attests.
"""

import re
from dataclasses import dataclass

from steering.formats.attestation import PREFIX
from steering.policy import Host, PolicyError, parse_host

MAX_FIELDS = 100
HTTP_PORT, HTTPS_PORT = 80, 443
_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VERSION = re.compile(rb"HTTP/1\.[01]")
_TARGET = re.compile(rb"[!-~]+")
_FIELD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([^\x00-\x08\x0a-\x1f\x7f]*)")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_PORT = re.compile(r"0{0,4}[0-9]{1,5}")
_HOP_BY_HOP = frozenset(
    (
        b"connection",
        b"upgrade",
        b"proxy-connection",
        b"proxy-authorization",
        b"proxy-authenticate",
        b"keep-alive",
        b"te",
        b"http2-settings",
    )
)
# What a client may not have dropped by listing it in Connection: the body would be read as the next request.
_FRAMING = frozenset((b"host", b"content-length", b"transfer-encoding"))

Field = tuple[bytes, bytes]
_CLOSE: tuple[Field, ...] = ((b"Connection", b"close"),)
_UPGRADE: tuple[Field, ...] = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"))


class RequestError(Exception):
    """A request that is not served.  status: of the answer.  reason: for the access line."""

    def __init__(self, status: int, reason: str, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.reason = reason
        self.why = why


@dataclass(frozen=True, slots=True, kw_only=True)
class Connect:
    """CONNECT, or a SOCKS request: a connection to ``host`` and ``port``."""

    host: Host
    port: int

    @property
    def authority(self) -> str:
        return authority_text(self.host, self.port)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plain:
    """A request by plain HTTP.  path: origin-form.  fields: what is passed on.

    length: of the body, None for a chunked one.  upgrade: to WebSocket, the only one that is passed on.
    """

    method: bytes
    host: Host
    port: int
    path: bytes
    version: bytes
    fields: tuple[Field, ...]
    length: int | None
    upgrade: bool

    @property
    def authority(self) -> str:
        return authority_text(self.host, self.port)

    def to_origin(self) -> bytes:
        return self._head(self.path, ())

    def to_inspector(self, extra: tuple[Field, ...]) -> bytes:
        shown = authority_text(self.host, self.port, default=HTTP_PORT).encode("ascii")
        return self._head(b"http://" + shown + self.path, extra)

    def _head(self, target: bytes, extra: tuple[Field, ...]) -> bytes:
        shown = authority_text(self.host, self.port, default=HTTP_PORT).encode("ascii")
        ending = _UPGRADE if self.upgrade else _CLOSE
        lines = [b" ".join((self.method, target, self.version)), b"Host: " + shown]
        lines += [name + b": " + value for name, value in (*self.fields, *ending, *extra)]
        return b"\r\n".join(lines) + b"\r\n\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """A request for the helper itself.  host: of the Host header, as sent."""

    method: bytes
    path: bytes
    host: str


def authority_text(host: Host, port: int, default: int = -1) -> str:
    name = f"[{host.text}]" if host.address is not None and host.address.version == 6 else host.text
    return name if port == default else f"{name}:{port}"


def end_of_head(data: bytes | bytearray, before: int = 0) -> int:
    """The offset behind the head's empty line, or -1 where it has not arrived.

    before: bytes that were looked through already; who sends one at a time must not have all looked through each time.
    """
    end = data.find(b"\r\n\r\n", max(0, before - 3))
    return -1 if end < 0 else end + 4


def parse_head(head: bytes) -> Connect | Plain | Own:
    """Read the whole head of a request to a proxy.  Raises RequestError."""
    method, target, version, fields = _read(head)
    if method == b"CONNECT":
        host, port = _authority(target, 0)
        if not port:
            raise _bad("CONNECT without a port")
        return Connect(host=host, port=port)
    if target.startswith(b"/"):
        return Own(method=method, path=target.partition(b"?")[0], host=_only_host(fields).decode("latin-1"))
    scheme, mark, after = target.partition(b"://")
    if not mark or scheme.lower() != b"http":
        raise _bad("a proxy takes http:// targets and CONNECT")
    if sum(name.lower() == b"host" for name, _ in fields) > 1:
        raise _bad("more than one Host header")
    authority, path = _split_path(after)
    host, port = _authority(authority, HTTP_PORT)
    return _plain(method, host, port, path, version, fields)


def parse_inner(head: bytes, port: int) -> Plain:
    """Read the whole head of a request that was meant for its origin, whose Host says who that is.

    port: what the client connected to; a Host that names another is refused.  Raises RequestError.
    """
    method, target, version, fields = _read(head)
    host, named = _authority(_only_host(fields), port)
    if method == b"CONNECT" or not target.startswith(b"/"):
        raise _bad("a request to an origin must name a path")
    if named != port:
        raise RequestError(421, "misdirected", f"the request names port {named} on a connection to port {port}")
    return _plain(method, host, port, target, version, fields)


def _read(head: bytes) -> tuple[bytes, bytes, bytes, list[Field]]:
    line, *rest = head[:-4].split(b"\r\n")
    return *_request_line(line), _fields(rest)


def _request_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    parts = line.split(b" ")
    if len(parts) != 3:
        raise _bad("the request line has not three parts")
    method, target, version = parts
    if not (_TOKEN.fullmatch(method) and _TARGET.fullmatch(target) and _VERSION.fullmatch(version)):
        raise _bad("the request line is none of HTTP/1")
    return method, target, version


def _fields(lines: list[bytes]) -> list[Field]:
    if len(lines) > MAX_FIELDS:
        raise RequestError(431, "too-large", f"more than {MAX_FIELDS} header fields")
    fields = []
    for line in lines:
        found = _FIELD.fullmatch(line)
        if found is None:
            raise _bad("a header field cannot be read")
        fields.append((found[1], found[2].strip(b" \t")))
    return fields


def _only_host(fields: list[Field]) -> bytes:
    hosts = [value for name, value in fields if name.lower() == b"host"]
    if len(hosts) != 1:
        raise _bad("there must be one Host header")
    return hosts[0]


def _authority(text: bytes, default: int) -> tuple[Host, int]:
    shown = text.decode("latin-1")
    name, colon, digits = shown.rpartition(":") if not shown.endswith("]") else (shown, "", "")
    if not colon:
        name, digits = shown, ""
    if not shown.isascii() or (":" in name and not (name.startswith("[") and name.endswith("]"))):
        raise _bad(f"{shown[:60]!r} is no host with a port")
    if digits and not (_PORT.fullmatch(digits) and 0 < int(digits) < 65536):
        raise _bad(f"{digits[:20]!r} is no port")
    try:
        return parse_host(name), int(digits or default)
    except PolicyError as exc:
        raise _bad(str(exc)) from exc


def _split_path(after: bytes) -> tuple[bytes, bytes]:
    after = after.partition(b"#")[0]
    end = next((place for place, byte in enumerate(after) if byte in b"/?"), len(after))
    path = after[end:]
    return after[:end], path if path.startswith(b"/") else b"/" + path


def _plain(method: bytes, host: Host, port: int, path: bytes, version: bytes, fields: list[Field]) -> Plain:
    length = _body_length(version, fields)
    listed = {token for name, value in fields if name.lower() == b"connection" for token in _tokens(value)}
    upgrade = (
        version == b"HTTP/1.1"
        and b"upgrade" in listed
        and [value.lower() for name, value in fields if name.lower() == b"upgrade"] == [b"websocket"]
    )
    dropped = _HOP_BY_HOP | (listed - _FRAMING) | {b"host"}
    kept = tuple(
        (name, value) for name, value in fields if name.lower() not in dropped and not name.lower().startswith(PREFIX)
    )
    return Plain(
        method=method, host=host, port=port, path=path, version=version, fields=kept, length=length, upgrade=upgrade
    )


def _body_length(version: bytes, fields: list[Field]) -> int | None:
    """RFC 9112 6.3, with every form refused that two readers could take differently."""
    lengths = [value for name, value in fields if name.lower() == b"content-length"]
    codings = [value for name, value in fields if name.lower() == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise _bad("the length of the body is said more than once")
    if codings:
        if version == b"HTTP/1.0" or codings[0].lower() != b"chunked":
            raise _bad("a transfer coding other than chunked, or one in HTTP/1.0")
        return None
    if lengths and not _LENGTH.fullmatch(lengths[0]):
        raise _bad("the length of the body is no number")
    return int(lengths[0]) if lengths else 0


def _tokens(value: bytes) -> set[bytes]:
    return {token.strip(b" \t").lower() for token in value.split(b",")}


def _bad(why: str) -> RequestError:
    return RequestError(400, "bad-request", why)
