"""Which socket is at the other end: one exact question to the kernel (sock_diag(7), linux/inet_diag.h).

HOT PATH, once per connection: about 10 us, whatever the number of sockets, and no privilege is needed.  An exact
question finds an IPv4-mapped IPv6 socket too; a dump by source, as others do it, does not, and its first row may be
somebody else's socket.  The answer is compared with the question before it is believed.
"""

import socket
import struct
from typing import NamedTuple

from steering.endpoint.identify.identity import Ends

NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 20, 1
_INET_DIAG_CGROUP_ID = 21
_TCP_TIME_WAIT = 6
# nlmsghdr; family, protocol, extensions, pad, states; ports, addresses, interface, cookie
_REQUEST = struct.Struct("=IHHIIBBBxI4s16s16sI8s")
_ASKED = 24  # offset of the ports and addresses
_PORTS = struct.Struct(">HH")
_HEADER = struct.Struct("=IHHII")
_ATTRIBUTE = struct.Struct("=HH")
_ID = 20  # offset of inet_diag_sockid: behind nlmsghdr (16) and family, state, timer, retrans
_COOKIE = _ID + 40
_TAIL = _ID + 48  # expires, rqueue, wqueue, uid, inode
_MESSAGE_BYTES = _TAIL + 20
_ANY_COOKIE = b"\xff" * 8


class Socket(NamedTuple):
    """A socket as the kernel knows it.  inode: as in ``socket:[N]`` under /proc/PID/fd.  cgroup: 0 where not told."""

    inode: int
    uid: int
    cookie: int
    cgroup: int


class SockDiag:
    """One netlink socket, kept.  Raises OSError where the kernel offers none."""

    def __init__(self) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, NETLINK_SOCK_DIAG
        )
        self._socket.bind((0, 0))
        self._socket.connect((0, 0))
        self._sequence = 0

    def find(self, ends: Ends) -> Socket | None:
        """The client's socket of a connection; None where there is none (any more, or in this network namespace)."""
        family = socket.AF_INET if ends.remote.version == 4 else socket.AF_INET6
        self._sequence = sequence = self._sequence + 1 & 0xFFFFFFFF
        request = _REQUEST.pack(
            _REQUEST.size,
            _SOCK_DIAG_BY_FAMILY,
            _NLM_F_REQUEST,
            sequence,
            0,
            family,
            socket.IPPROTO_TCP,
            0,
            0xFFFFFFFF,
            _PORTS.pack(ends.local_port, ends.remote_port),
            ends.local.packed,  # padded with zeros
            ends.remote.packed,
            0,
            _ANY_COOKIE,
        )
        try:
            self._socket.send(request)
            while True:  # the kernel has answered before send returns
                answer = self._socket.recv(512)
                if not is_older(answer, sequence):
                    return read_answer(answer, request[_ASKED : _ASKED + 36], sequence)
        except OSError:
            return None

    def close(self) -> None:
        self._socket.close()


def is_older(answer: bytes, sequence: int) -> bool:
    """Whether this answers a question before: one whose answer was not fetched."""
    return len(answer) >= 16 and _HEADER.unpack_from(answer)[3] != sequence


def read_answer(answer: bytes, identity: bytes, sequence: int) -> Socket | None:
    """The socket in a message of the kernel, None for an error, another socket's, or one without an owner."""
    if len(answer) < _MESSAGE_BYTES:
        return None
    length, kind, _, answered, _ = _HEADER.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY or answered != sequence or not _same(answer, identity):
        return None
    uid, inode = struct.unpack_from("=II", answer, _TAIL + 12)
    if not inode or answer[17] == _TCP_TIME_WAIT:
        return None
    low, high = struct.unpack_from("=II", answer, _COOKIE)
    return Socket(inode, uid, high << 32 | low, _cgroup(answer, min(length, len(answer))))


def _same(answer: bytes, identity: bytes) -> bool:
    """The ports and addresses asked for; an IPv4-mapped socket answers with the IPv4 ones."""
    if answer[_ID : _ID + 36] == identity:
        return True
    if answer[_ID : _ID + 4] != identity[:4]:
        return False
    return all(_bare(answer[_ID + at : _ID + at + 16]) == _bare(identity[at : at + 16]) for at in (4, 20))


def _bare(address: bytes) -> bytes:
    return address[12:] + bytes(12) if address.startswith(b"\0" * 10 + b"\xff\xff") else address


def _cgroup(answer: bytes, end: int) -> int:
    at = _MESSAGE_BYTES
    while at + 4 <= end:
        length, kind = _ATTRIBUTE.unpack_from(answer, at)
        if length < 4 or at + length > end:
            break
        if kind == _INET_DIAG_CGROUP_ID and length >= 12:
            return int(struct.unpack_from("=Q", answer, at + 4)[0])
        at += (length + 3) & ~3
    return 0
