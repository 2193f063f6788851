"""SOCKS version 5 (RFC 1928), the part of it that programs use: no authentication, CONNECT, names and addresses.

Pure: bytes in, what they say out; incomplete is None, wrong is a SocksError.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from steering.endpoint.proxy.request import Connect
from steering.policy import PolicyError, parse_host

VERSION = 5
NO_AUTHENTICATION, NONE_ACCEPTABLE = 0, 0xFF
CHOSEN = bytes((VERSION, NO_AUTHENTICATION))
NOT_CHOSEN = bytes((VERSION, NONE_ACCEPTABLE))
SUCCEEDED, FAILED, NOT_ALLOWED, UNREACHABLE, NO_COMMAND, NO_ADDRESS = 0, 1, 2, 4, 7, 8
_CONNECT = 1
_IPV4, _NAME, _IPV6 = 1, 3, 4


class SocksError(ValueError):
    """reply: the code that the client is answered with."""

    def __init__(self, reply: int, why: str) -> None:
        super().__init__(why)
        self.reply = reply


@dataclass(frozen=True, slots=True)
class Greeting:
    """size: bytes used.  acceptable: whether the client can do without authentication."""

    size: int
    acceptable: bool


def parse_greeting(data: bytes) -> Greeting | None:
    if len(data) < 2 or len(data) < 2 + data[1]:
        return None
    return Greeting(2 + data[1], NO_AUTHENTICATION in data[2 : 2 + data[1]])


def parse_request(data: bytes) -> tuple[Connect, int] | None:
    """The request and the bytes used; None while incomplete.  Raises SocksError."""
    if len(data) < 5:
        return None
    if data[0] != VERSION:
        raise SocksError(FAILED, "the request is not of SOCKS version 5")
    if data[1] != _CONNECT:
        raise SocksError(NO_COMMAND, "only CONNECT is spoken")
    if data[3] not in (_IPV4, _NAME, _IPV6):
        raise SocksError(NO_ADDRESS, "an address of no known kind")
    length = {_IPV4: 4, _IPV6: 16, _NAME: 1 + data[4]}[data[3]]
    end = 4 + length + 2
    if len(data) < end:
        return None
    raw, port = data[4 : 4 + length], int.from_bytes(data[end - 2 : end], "big")
    if not port:
        raise SocksError(NOT_ALLOWED, "port 0")
    try:
        return Connect(host=parse_host(_text(data[3], raw)), port=port), end
    except (PolicyError, UnicodeDecodeError) as exc:
        raise SocksError(NO_ADDRESS, str(exc)) from exc


def _text(kind: int, raw: bytes) -> str:
    if kind == _NAME:
        return raw[1:].decode("utf-8")
    return str(IPv4Address(raw) if kind == _IPV4 else IPv6Address(raw))


def reply(code: int) -> bytes:
    """An answer; the bound address is left out, as nobody reads it."""
    return bytes((VERSION, code, 0, _IPV4)) + bytes(6)
