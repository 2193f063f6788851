"""Datagrams by the dozen: one system call takes up to 64 questions, one more sends the answers to them.

Shell and HOT PATH, for Linux on 64 bits (recvmmsg(2), sendmmsg(2), by ctypes).  Python's own sockets take a call for
each datagram, and one more that finds nothing.  Here two arrays of headers stand on the same addresses and message
ids, so that an answer goes back to where its question came from without either being read; on a wildcard address the
local address goes back likewise (``datagrams``).  The interpreter lock is kept: no call here waits.

Of 32 datagrams each takes 0.08 us to be copied out (by ``struct``: a slice of a memoryview takes three times as long)
and 0.2 us to be put in, beside 5 us in the kernel; ``recvfrom`` and ``sendto`` take 1 us more than that.
"""

import ctypes
import errno
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from functools import lru_cache

from steering_dns.datagrams import PKTINFO_ROOM, Ancillary, Client, is_wildcard

SLOTS = 64
_QUESTION = 4096  # bytes; what is longer arrives cut, and gets FORMERR
_ANSWER = 1500  # none has more than 1,232
_STRIDE = _QUESTION + 64  # slots 4,096 bytes apart would share the same few lines of the processor's cache
_DONTWAIT = 0x40
_CMSG = struct.Struct("=Qii")  # struct cmsghdr: its length with this head, level, kind
_INTERFACE = {False: _CMSG.size, True: _CMSG.size + 16}  # in a control: of IP_PKTINFO, of IPV6_PKTINFO


class _Iovec(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("size", ctypes.c_size_t))


class _Header(ctypes.Structure):
    """struct mmsghdr: a struct msghdr, and how many bytes came."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_size", ctypes.c_uint),
        ("iovecs", ctypes.c_void_p),
        ("iovec_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_long),  # an int, and the padding that ends a struct msghdr
        ("received", ctypes.c_uint),
    )


_HEADER = ctypes.sizeof(_Header)
_RECEIVED = slice(_Header.received.offset // 4, None, _HEADER // 4)
_CONTROL_SIZES = slice(_Header.control_size.offset // 8, None, _HEADER // 8)
_LIBC = ctypes.PyDLL(None, use_errno=True) if sys.platform == "linux" else None
# The layouts above are those of 64 bits, to which ctypes gives the padding that C does.
SUPPORTED = _LIBC is not None and hasattr(_LIBC, "recvmmsg") and (ctypes.sizeof(ctypes.c_void_p), _HEADER) == (8, 64)


class Batch:
    """What waits on one socket: ``receive`` it, answer in the same order by ``send``.

    Questions and answers stand here without their first two bytes, the message id, which the answer has from the
    question.  names: the addresses (struct sockaddr) that the questions came from.
    """

    def __init__(self, sock: socket.socket) -> None:
        assert _LIBC is not None
        self._receive, self._send = _LIBC.recvmmsg, _LIBC.sendmmsg
        self._receive.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int, ctypes.c_void_p)
        self._send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        self._descriptor = sock.fileno()
        self._v6 = sock.family == socket.AF_INET6
        self._wildcard = is_wildcard(sock)
        self._name = 28 if self._v6 else 16
        self.names, self._controls = _Room(self._name), _Room(PKTINFO_ROOM)
        self._inbox, self._outbox = _Room(_STRIDE), _Room(_ANSWER)
        self._in = _Headers(self.names, self._controls, [(self._inbox, _QUESTION)])
        # An answer is gathered: the id from the question's place, the rest from where ``send`` puts it.
        self._out = _Headers(self.names, self._controls, [(self._inbox, 2), (self._outbox, 0)])
        self._interfaces = self._controls.view.cast("I")[_INTERFACE[self._v6] // 4 :: PKTINFO_ROOM // 4]
        self._peers = self.names.view.cast("I")[1::4]  # IPv4: the second of four words
        if self._wildcard:
            self._in.control_sizes[:] = _ROOMS

    def receive(self) -> tuple[list[bytes], Sequence[int | bytes]]:
        """The questions, and for each who asks: equal for equal addresses (``client`` has more).

        Raises OSError for an error that an earlier answer met.
        """
        count = self._receive(self._descriptor, self._in.address, SLOTS, _DONTWAIT, None)
        if count <= 0:
            if count < 0 and (number := ctypes.get_errno()) not in (errno.EAGAIN, errno.EINTR):
                raise OSError(number, "recvmmsg")
            return [], []
        if self._wildcard:
            self._turn_back(count)
        inbox = self._inbox.bytes
        sizes = self._in.received[:count].tolist()
        questions = [_taking(size - 2)(inbox, at)[0] for at, size in zip(_AFTER_IDS, sizes, strict=False)]
        if self._v6:
            names = self.names.view
            return questions, [names[at + 8 : at + 24].tobytes() for at in range(0, 28 * count, 28)]
        return questions, self._peers[:count].tolist()

    def ident(self, slot: int) -> bytes:
        """The message id of that question."""
        return bytes(self._inbox.bytes[slot * _STRIDE : slot * _STRIDE + 2])

    def client(self, slot: int) -> Client:
        """Who asked, as ``datagrams_of`` the socket takes it: for an answer that comes later."""
        name = self.names.view[slot * self._name : (slot + 1) * self._name].tobytes()
        port = int.from_bytes(name[2:4], "big")
        if self._v6:
            flow, scope = int.from_bytes(name[4:8], "big"), int.from_bytes(name[24:28], sys.byteorder)
            address: Client = (socket.inet_ntop(socket.AF_INET6, name[8:24]), port, flow, scope)
        else:
            address = (socket.inet_ntoa(name[4:8]), port)
        return (address[0], port, address, self._ancillary(slot)) if self._wildcard else address

    def send(self, answers: list[bytes | None]) -> int:
        """Send the answers, None: none to that question; how many could not be sent."""
        content = b"".join(filter(None, answers))
        self._outbox.view[: len(content)] = content
        at, iovecs, place = self._outbox.address, self._out.iovecs, 2
        unsent = start = 0
        for slot, answer in enumerate(answers):
            if answer is None:
                unsent += self._flush(start, slot)
                start = slot + 1
            else:
                size = len(answer)
                iovecs[place], iovecs[place + 1] = at, size
                at += size
            place += 4
        return unsent + self._flush(start, len(answers))

    def _flush(self, start: int, end: int) -> int:
        """Send the answers of the slots from ``start`` to before ``end``; how many the kernel did not take."""
        unsent = 0
        while start < end:
            sent = self._send(self._descriptor, self._out.address + start * _HEADER, end - start, _DONTWAIT)
            if sent <= 0:  # the first of them: its client is out of reach, or the queue full
                unsent, sent = unsent + 1, 1
            start += sent
        return unsent

    def _turn_back(self, count: int) -> None:
        """Let the local address of each question be the source of its answer, by whatever way (``datagrams``)."""
        interfaces, controls = self._interfaces, self._controls.bytes
        for slot in range(count):
            at = slot * PKTINFO_ROOM + _CMSG.size
            if not (self._v6 and controls[at] == 0xFE and controls[at + 1] == 0x80):  # link-local needs its interface
                interfaces[slot] = 0
        self._out.control_sizes[:count] = self._in.control_sizes[:count]
        self._in.control_sizes[:count] = _ROOMS[:count]

    def _ancillary(self, slot: int) -> Ancillary:
        """The same for a single answer."""
        if not self._out.control_sizes[slot]:
            return []
        at = slot * PKTINFO_ROOM
        size, level, kind = _CMSG.unpack_from(self._controls.bytes, at)
        return [(level, kind, bytes(self._controls.bytes[at + _CMSG.size : at + size]))]


class _Room:
    """As many bytes for every slot, and where they stand in memory."""

    def __init__(self, stride: int) -> None:
        self.stride = stride
        self.bytes = bytearray(SLOTS * stride)
        self.view = memoryview(self.bytes)
        self.address = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))


class _Headers:
    """An array of struct mmsghdr with the addresses of each slot.  packets: pieces of a datagram, and their sizes."""

    def __init__(self, names: _Room, controls: _Room, packets: list[tuple[_Room, int]]) -> None:
        headers = (_Header * SLOTS)()
        iovecs = (_Iovec * (SLOTS * len(packets)))()
        for slot, header in enumerate(headers):
            first = slot * len(packets)
            for at, (room, size) in enumerate(packets, first):
                iovecs[at].base, iovecs[at].size = room.address + slot * room.stride, size
            header.name, header.name_size = names.address + slot * names.stride, names.stride
            header.iovecs, header.iovec_count = ctypes.addressof(iovecs[first]), len(packets)
            header.control = controls.address + slot * controls.stride
        self.address = ctypes.addressof(headers)
        whole = memoryview(headers).cast("B")
        self.received = whole.cast("I")[_RECEIVED]
        self.control_sizes = whole.cast("Q")[_CONTROL_SIZES]
        self.iovecs = memoryview(iovecs).cast("B").cast("Q")


_AFTER_IDS = range(2, SLOTS * _STRIDE, _STRIDE)
_ROOMS = memoryview(bytearray(struct.pack(f"={SLOTS}Q", *[PKTINFO_ROOM] * SLOTS))).cast("Q")


@lru_cache(maxsize=_QUESTION)
def _taking(size: int) -> Callable[[bytearray, int], tuple[bytes]]:
    """What takes so many bytes out of a buffer; a datagram too short for an id has none after it."""
    return struct.Struct(f"{max(size, 0)}s").unpack_from
