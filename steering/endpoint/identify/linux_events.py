"""When processes were born, forked, exec'ed and ended: the kernel's process events (linux/cn_proc.h).

The kernel queues an event before the system call that caused it returns.  So whoever reads what is queued *after*
looking at a process knows of every exec that was finished before that look: ``drain`` is called inline, costs a
microsecond when nothing is queued, and needs no thread.  Only in the first network, user and pid
namespace; before Linux 6.6 with CAP_NET_ADMIN alone.
"""

import ctypes
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress

_NETLINK_CONNECTOR, _CN_IDX_PROC = 11, 1
_NLMSG_DONE, _LISTEN, _IGNORE = 3, 1, 2
_NONE, _FORK, _EXEC, _EXIT = 0x0, 0x1, 0x2, 0x80000000
_MESSAGE = struct.Struct("=IIIIHH")  # cn_msg: index, value, sequence, acknowledged, bytes, flags
_EVENT = 36  # offset of proc_event: behind nlmsghdr (16) and cn_msg (20)
_EVENT_HEAD = struct.Struct("=IIQ")  # what, cpu, timestamp_ns
_PIDS = struct.Struct("=IIII")
_BODY = _EVENT + 16
_MESSAGE_BYTES = _BODY + 16
_BUFFER_BYTES = 4 << 20
_SO_RCVBUFFORCE = 33
_SO_ATTACH_FILTER = 26
_MAX_PROCESSES = 65536
DRAINED_AT_ONCE = 1024  # some 2 us each: a storm of processes must not hold up the event loop
_ANSWER_S = 1.0


class ProcessEvents:
    """What happened since this was opened.  Raises OSError where the kernel gives no events.

    since_ns: from when on nothing was missed, on CLOCK_MONOTONIC; it moves when the queue overflowed.
    """

    def __init__(self, buffer_bytes: int = _BUFFER_BYTES) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK, _NETLINK_CONNECTOR
        )
        self._waiting = select.poll()
        self._waiting.register(self._socket, select.POLLIN)
        self._changed: dict[int, int] = {}  # pid -> when it was born or exec'ed last
        self._forked: dict[int, int] = {}  # pid -> when it forked last
        self._behind = False  # more is queued than was taken in
        self._lost = False  # the queue overflowed: nothing is queued any more before it has been emptied
        try:
            self._give_room(buffer_bytes)
            _attach_filter(self._socket)
            self._socket.bind((0, _CN_IDX_PROC))
            self._listen()
        except OSError:
            self._socket.close()
            raise
        self.since_ns = time.monotonic_ns()

    def _give_room(self, buffer_bytes: int) -> None:
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, buffer_bytes)
        except PermissionError:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)

    def _listen(self) -> None:
        """Ask, and wait for the answer: from another pid or user namespace the question is passed over in silence."""
        asked = int.from_bytes(os.urandom(3), "little")
        self._say(_LISTEN, asked)
        until = time.monotonic() + _ANSWER_S
        while time.monotonic() < until:
            if not self._waiting.poll(50):
                continue
            with suppress(BlockingIOError):
                error = read_answer(self._socket.recv(256), asked)
                if error:
                    raise OSError(error, os.strerror(error))
                if error == 0:
                    return
        raise OSError("it does not answer in this namespace")

    def _say(self, what: int, number: int = 0) -> None:
        body = struct.pack("=I", what)
        message = _MESSAGE.pack(_CN_IDX_PROC, 1, 0, number, len(body), 0) + body
        head = struct.pack("=IHHII", 16 + len(message), _NLMSG_DONE, 0, 0, os.getpid())
        self._socket.send(head + message)

    def fileno(self) -> int:
        return self._socket.fileno()

    def drain(self, most: int = DRAINED_AT_ONCE) -> None:
        """Take in what is queued; where that is more than ``most``, nothing is certain until the rest is taken in."""
        for _ in range(most):
            if not self._waiting.poll(0):  # cheaper than the exception of an empty queue
                self._caught_up()
                return
            try:
                self._take(self._socket.recv(256))
            except BlockingIOError:
                continue
            except OSError:  # ENOBUFS: events were lost, and are until the queue has been emptied
                self._lost = True
        self._behind = True

    def _caught_up(self) -> None:
        self._behind = False
        if self._lost:
            self._lost = False
            self._forget(time.monotonic_ns())

    def _forget(self, at_ns: int) -> None:
        self._changed.clear()
        self._forked.clear()
        self.since_ns = at_ns

    def _take(self, message: bytes) -> None:
        if len(message) < _MESSAGE_BYTES:
            return
        what, _, at_ns = _EVENT_HEAD.unpack_from(message, _EVENT)
        if what == _FORK:
            _, parent, child, process = _PIDS.unpack_from(message, _BODY)
            if child != process:
                return  # a thread: it shares its process' descriptors
            self._changed[process] = at_ns
            self._forked[parent] = at_ns
            if len(self._changed) > _MAX_PROCESSES or len(self._forked) > _MAX_PROCESSES:
                self._forget(at_ns + 1)
        elif what == _EXEC:
            self._changed[_PIDS.unpack_from(message, _BODY)[1]] = at_ns
        elif what == _EXIT:
            thread, process, _, _ = _PIDS.unpack_from(message, _BODY)
            if thread == process:
                self._changed.pop(process, None)
                self._forked.pop(process, None)

    def changed_since(self, pid: int, at_ns: int) -> bool | None:
        """Whether ``pid`` was born or exec'ed after ``at_ns``; None where that was not watched."""
        return self._since(self._changed, pid, at_ns)

    def forked_since(self, pid: int, at_ns: int) -> bool | None:
        """Whether ``pid`` forked a process after ``at_ns``; None where that was not watched."""
        return self._since(self._forked, pid, at_ns)

    def _since(self, when: dict[int, int], pid: int, at_ns: int) -> bool | None:
        happened = when.get(pid)
        if happened is not None and happened >= at_ns:
            return True
        return None if self._behind or self._lost or at_ns < self.since_ns else False

    def close(self) -> None:
        with suppress(OSError):
            self._say(_IGNORE)  # older kernels go on making events for a listener that only left
        self._socket.close()


def read_answer(message: bytes, asked: int) -> int | None:
    """The error number in the kernel's answer to the question numbered ``asked``; None for any other message."""
    if len(message) < _BODY + 4:
        return None
    acknowledged = _MESSAGE.unpack_from(message, 16)[3]
    if _EVENT_HEAD.unpack_from(message, _EVENT)[0] != _NONE or acknowledged != asked + 1:
        return None
    return int(struct.unpack_from("=I", message, _BODY)[0])


def _attach_filter(sock: socket.socket) -> None:
    """Let in what is of whole processes.  Threads are born by the thousand, and would fill the queue."""
    code = filter_code()
    instructions = ctypes.create_string_buffer(code, len(code))
    program = struct.pack("@HP", len(code) // 8, ctypes.addressof(instructions))
    sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)


def filter_code() -> bytes:
    """A classic BPF program; it loads words in network order, so what it compares with is swapped."""
    load, keep, equals, equals_kept, give = 0x20, 0x07, 0x15, 0x1D, 0x06
    program = (
        (load, 0, 0, _EVENT),
        (equals, 12, 0, _swapped(_EXEC)),
        (equals, 11, 0, _swapped(_NONE)),
        (equals, 2, 0, _swapped(_FORK)),
        (equals, 5, 0, _swapped(_EXIT)),
        (give, 0, 0, 0),
        (load, 0, 0, _BODY + 8),  # who was born: thread and process
        (keep, 0, 0, 0),
        (load, 0, 0, _BODY + 12),
        (equals_kept, 4, 5, 0),
        (load, 0, 0, _BODY),  # who ended: thread and process
        (keep, 0, 0, 0),
        (load, 0, 0, _BODY + 4),
        (equals_kept, 0, 1, 0),
        (give, 0, 0, 0xFFFFFFFF),
        (give, 0, 0, 0),
    )
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _swapped(value: int) -> int:
    return int.from_bytes(value.to_bytes(4, sys.byteorder), "big")


def open_events() -> tuple[ProcessEvents | None, str]:
    """The events, or None and why not."""
    try:
        events = ProcessEvents()
    except OSError as exc:
        return None, f"the kernel gives no process events: {exc.strerror or exc}"
    return events, ""
