"""What a client asks for in its ClientHello (RFC 8446 4.1.2), read without a TLS library and without consuming it.

Pure.  HOT PATH, once per connection: about 20 us for a hello of openssl or curl.
"""

import struct
from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

MAX_HELLO_BYTES = 65536
# Clients cut a hello into a few records at most; thousands of tiny ones are meant to cost us.
MAX_RECORDS = 64

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_SERVER_NAME, _SIGNATURE_ALGORITHMS, _ALPN, _SUPPORTED_VERSIONS, _ECH = 0, 13, 16, 43, 0xFE0D
_GREASE = frozenset(high << 8 | high for high in range(0x0A, 0x100, 0x10))  # RFC 8701
_NAME_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")


class HelloError(ValueError):
    """The bytes are no ClientHello that can be acted on."""


class NotTls(HelloError):
    """The first bytes cannot begin a TLS connection."""


class MalformedHello(HelloError):
    """TLS, but not to be understood; the text says what is wrong."""


@dataclass(frozen=True)
class ClientHello:
    """A ClientHello.

    sni: the server name as sent, or None.  alpn: in the client's order; empty where the extension is absent.
    versions: highest first is not guaranteed; of supported_versions, else the legacy version.
    ciphers, extensions, signature_algorithms: ids in the order sent, GREASE (RFC 8701) left out.
    has_ech: says nothing by itself, browsers send a dummy with every hello.
    """

    sni: str | None
    alpn: tuple[bytes, ...]
    versions: tuple[int, ...]
    ciphers: tuple[int, ...]
    extensions: tuple[int, ...]
    signature_algorithms: tuple[int, ...]

    @property
    def has_ech(self) -> bool:
        return _ECH in self.extensions

    @property
    def offers_http1(self) -> bool:
        """Whether HTTP/1.1 may be spoken: named in ALPN, or no ALPN at all, which means just that."""
        return not self.alpn or b"http/1.1" in self.alpn

    @cached_property
    def fingerprint(self) -> str:
        """JA4 of the client's TLS library: alike for one program's connections, whatever their order of extensions."""
        versions = {0x0304: "13", 0x0303: "12", 0x0302: "11", 0x0301: "10"}
        a = (
            f"t{versions.get(max(self.versions, default=0), '00')}{'i' if self.sni is None else 'd'}"
            f"{min(len(self.ciphers), 99):02}{min(len(self.extensions), 99):02}{_ends_of(self.alpn)}"
        )
        ciphers = ",".join(f"{c:04x}" for c in sorted(self.ciphers))
        extensions = ",".join(f"{e:04x}" for e in sorted(self.extensions) if e not in (_SERVER_NAME, _ALPN))
        algorithms = ",".join(f"{s:04x}" for s in self.signature_algorithms)
        return f"{a}_{_short_hash(ciphers)}_{_short_hash(f'{extensions}_{algorithms}' if algorithms else extensions)}"


def _ends_of(alpn: tuple[bytes, ...]) -> str:
    """First and last character of the first protocol; in hexadecimal where they are no letters or digits."""
    if not alpn:
        return "00"
    first = alpn[0]
    ends = first[:1] + first[-1:]
    return ends.decode("ascii") if ends.isalnum() else f"{first.hex()[0]}{first.hex()[-1]}"


def _short_hash(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12] if text else "000000000000"


def parse_client_hello(data: bytes) -> ClientHello | None:
    """Read the ClientHello that ``data`` begins with, or None while it is incomplete.

    Raises NotTls or MalformedHello.
    """
    body = _handshake_body(data)
    return None if body is None else _Reader(body).hello()


def _handshake_body(data: bytes) -> bytes | None:
    """The ClientHello message out of its records; it may be spread over several (RFC 8446 5.1)."""
    message = b""
    at = 0
    for _ in range(MAX_RECORDS):
        header = data[at : at + 5]
        _check_record(header, first=at == 0)
        if len(header) < 5:
            return None
        size = header[3] << 8 | header[4]
        if not 0 < size <= 16384 + 256:
            raise MalformedHello(f"a TLS record of {size} bytes")
        part = data[at + 5 : at + 5 + size]
        message = message + part if message else part
        if message and message[0] != _CLIENT_HELLO:
            raise MalformedHello("the first handshake message is no ClientHello")
        if len(message) >= 4:
            wanted = int.from_bytes(message[1:4], "big")
            if wanted + 4 > MAX_HELLO_BYTES:
                raise MalformedHello(f"a ClientHello of {wanted} bytes")
            if len(message) >= wanted + 4:
                return message[4 : wanted + 4]
        if len(part) < size:
            return None
        at += 5 + size
        if at > MAX_HELLO_BYTES:
            raise MalformedHello(f"a ClientHello that does not end within {MAX_HELLO_BYTES} bytes")
    raise MalformedHello(f"a ClientHello in more than {MAX_RECORDS} records")


def _check_record(header: bytes, *, first: bool) -> None:
    error = NotTls if first else MalformedHello
    if header and header[0] != _HANDSHAKE:
        raise error(f"the record type is {header[0]}, not handshake")
    if len(header) > 1 and header[1] != 3:
        raise error(f"the record's major version is {header[1]}")


class _Reader:
    """Walks the fields of a ClientHello; running past an end is malformed."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def vector(self, length_bytes: int) -> bytes:
        start = self.at + length_bytes
        end = start + int.from_bytes(self.data[self.at : start], "big")
        if start > len(self.data) or end > len(self.data):
            raise MalformedHello("a length runs past the end of the ClientHello")
        self.at = end
        return self.data[start:end]

    def hello(self) -> ClientHello:
        if len(self.data) < 34:
            raise MalformedHello("the ClientHello is too short")
        legacy = self.data[0] << 8 | self.data[1]
        self.at = 34
        if len(self.vector(1)) > 32:
            raise MalformedHello("the session id is longer than 32 bytes")
        ciphers = _ids(self.vector(2), "cipher suites")
        if not self.vector(1):
            raise MalformedHello("no compression method")
        known: dict[int, bytes] = {}
        if self.at < len(self.data):
            _collect_extensions(self.vector(2), known)
        if self.at != len(self.data):
            raise MalformedHello("bytes behind the extensions")
        versions = _ids(known[_SUPPORTED_VERSIONS][1:], "versions") if _SUPPORTED_VERSIONS in known else (legacy,)
        algorithms = known.get(_SIGNATURE_ALGORITHMS)
        return ClientHello(
            sni=_server_name(known[_SERVER_NAME]) if _SERVER_NAME in known else None,
            alpn=_protocols(known[_ALPN]) if _ALPN in known else (),
            versions=versions,
            ciphers=ciphers,
            extensions=tuple(e for e in known if e not in _GREASE),
            signature_algorithms=_ids(algorithms[2:], "signature algorithms") if algorithms else (),
        )


def _collect_extensions(data: bytes, known: dict[int, bytes]) -> None:
    at, end = 0, len(data)
    while at < end:
        if at + 4 > end:
            raise MalformedHello("an extension is cut off")
        kind = data[at] << 8 | data[at + 1]
        stop = at + 4 + (data[at + 2] << 8 | data[at + 3])
        if stop > end:
            raise MalformedHello("an extension runs past the end")
        if kind in known:
            raise MalformedHello(f"extension {kind} stands twice")  # RFC 8446 4.2
        known[kind] = data[at + 4 : stop]
        at = stop


def _ids(data: bytes, what: str) -> tuple[int, ...]:
    if len(data) % 2:
        raise MalformedHello(f"the list of {what} has an odd length")
    numbers = struct.unpack(f">{len(data) // 2}H", data)
    return numbers if _GREASE.isdisjoint(numbers) else tuple(n for n in numbers if n not in _GREASE)


def _server_name(data: bytes) -> str | None:
    """RFC 6066 3.  Exactly one host name; anything that no host name holds is refused, not passed on."""
    names = _Reader(data).vector(2)
    if len(names) + 2 != len(data) or not names:
        raise MalformedHello("the server name list has a wrong length")
    if names[0] != 0:
        raise MalformedHello("the server name is of an unknown type")
    reader = _Reader(names)
    reader.at = 1
    name = reader.vector(2)
    if reader.at != len(names):
        raise MalformedHello("more than one server name")
    if not name or len(name) > 255 or not _NAME_CHARACTERS.issuperset(name):
        raise MalformedHello("the server name is no host name")
    return name.decode("ascii")


def _protocols(data: bytes) -> tuple[bytes, ...]:
    """RFC 7301 3.1."""
    listed = _Reader(data).vector(2)
    if len(listed) + 2 != len(data):
        raise MalformedHello("the ALPN list has a wrong length")
    reader = _Reader(listed)
    protocols = []
    while reader.at < len(listed):
        protocol = reader.vector(1)
        if not protocol:
            raise MalformedHello("an empty protocol in ALPN")
        protocols.append(protocol)
    if not protocols:
        raise MalformedHello("ALPN without a protocol")
    return tuple(protocols)
