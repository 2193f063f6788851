"""A UDP socket on a wildcard address that answers from the address it was asked at.

Shell.  A socket bound to one address needs none of this.  On ``0.0.0.0`` or ``::`` the kernel would choose the source
of an answer by its route, and a client that asked another address of this machine drops such an answer.  Linux tells
the address with each datagram and takes it back with the answer (ip(7) IP_PKTINFO, RFC 3542 6.1).
"""

import socket
import struct
import sys
from typing import Any, Protocol

_IP_PKTINFO = 8  # linux/in.h; Python 3.11 has no name for it
_PKTINFO = struct.Struct("=I4s4s")  # interface, local address to send from, destination in the header
PKTINFO_ROOM = 64
Ancillary = list[tuple[int, int, bytes]]
Client = tuple[Any, ...]  # the text of the address, the port, and what only the socket that gave it understands


class Datagrams(Protocol):
    """What the resolver needs of a UDP socket: itself, or a ``WildcardSocket`` around it."""

    def recvfrom(self, max_bytes: int, /) -> tuple[bytes, Client]: ...

    def sendto(self, packet: bytes, client: Client, /) -> int: ...


class WildcardSocket:
    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)

    def recvfrom(self, max_bytes: int) -> tuple[bytes, Client]:
        packet, ancillary, _, address = self._sock.recvmsg(max_bytes, PKTINFO_ROOM)
        return packet, (address[0], address[1], address, _returned(ancillary))

    def sendto(self, packet: bytes, client: Client) -> int:
        _, _, address, ancillary = client
        return self._sock.sendmsg((packet,), ancillary, 0, address)


def datagrams_of(sock: socket.socket) -> Datagrams:
    """``sock`` itself, or what answers for it where it is bound to a wildcard address."""
    return WildcardSocket(sock) if is_wildcard(sock) and sys.platform == "linux" else sock


def is_wildcard(sock: socket.socket) -> bool:
    return sock.getsockname()[0] in ("0.0.0.0", "::")  # noqa: S104  # compared, not bound


def _returned(received: Ancillary) -> Ancillary:
    """The address of the question as the source of the answer; the way to the client is the routing table's."""
    for level, kind, value in received:
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            _, local, _ = _PKTINFO.unpack(value)
            return [(level, kind, _PKTINFO.pack(0, local, b"\0\0\0\0"))]
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            scoped = value[:2] == b"\xfe\x80"  # link-local means nothing without its interface
            return [(level, kind, value if scoped else value[:16] + b"\0\0\0\0")]
    return []
