"""Bytes between two sockets, unopened: recv/send while there is little, splice(2) once there is much.

A pipe per direction costs two descriptors and pays from some hundred KiB on (bench/inspector.py), so a direction
begins with a shared buffer and changes over when it has carried ``SPLICE_AFTER``.
"""

import os
from asyncio import AbstractEventLoop
from collections.abc import Callable
from contextlib import suppress
from socket import SHUT_WR, socket
from typing import NamedTuple

from steering.streams.readiness import Watch, watch

try:
    import fcntl
except ImportError:  # Windows, which has no splice either
    fcntl = None  # type: ignore[assignment]  # asked for before use

SPLICE_AFTER = 262_144
PIPE_BYTES = 262_144
_READ = 65536
_buffer = bytearray(_READ)
_view = memoryview(_buffer)
_CAN_SPLICE = hasattr(os, "splice")
_F_SETPIPE_SZ = getattr(fcntl, "F_SETPIPE_SZ", 1031)


def _new_pipe() -> tuple[int, int] | None:
    try:
        read, write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # no descriptors left: the copying way needs none
        return None
    with suppress(OSError):
        fcntl.fcntl(write, _F_SETPIPE_SZ, PIPE_BYTES)
    return read, write


def _unheard(error: OSError | None) -> None:
    """Takes the place of who listened, once the end is known: what is over goes with its last user."""


class End(NamedTuple):
    """A socket and its watch, which both directions share: one reads, the other writes."""

    sock: socket
    watch: Watch


class Direction:
    """One way through a tunnel.  carried: bytes taken from the source."""

    __slots__ = (
        "_held",
        "_on_end",
        "_out",
        "_pipe",
        "_sink_watch",
        "_source_watch",
        "_waiting",
        "carried",
        "ended",
        "sink",
        "source",
    )

    def __init__(self, source: End, sink: End, on_end: Callable[[OSError | None], None]) -> None:
        self.source = source.sock
        self.sink = sink.sock
        self._source_watch = source.watch
        self._sink_watch = sink.watch
        self._source_watch.on_readable = self._on_readable
        self._sink_watch.on_writable = self._push
        self._on_end = on_end
        self._out = b""  # read, not yet sent
        self._held = 0  # bytes in the pipe
        self._pipe: tuple[int, int] | None = None
        self._waiting = False  # for the sink
        self.carried = 0
        self.ended = False

    def start(self, first: bytes = b"") -> None:
        """Begin.  first: bytes that were read before."""
        self._source_watch.read(True)
        if first:
            self.carried += len(first)
            self._copy(first)

    def _on_readable(self) -> None:
        if self._pipe is None and _CAN_SPLICE and self.carried >= SPLICE_AFTER:
            self._pipe = _new_pipe()
        try:
            if self._pipe is None:
                count = self.source.recv_into(_buffer)
            else:
                flags = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
                count = os.splice(self.source.fileno(), self._pipe[1], PIPE_BYTES, flags=flags)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._on_end(exc)
            return
        if not count:
            self._at_eof()
            return
        self.carried += count
        if self._pipe is None:
            self._copy(_view[:count])
        else:
            self._held += count
            self._push()

    def _copy(self, data: bytes | memoryview) -> None:
        try:
            sent = self.sink.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as exc:
            self._on_end(exc)
            return
        if sent < len(data):
            self._out = bytes(data[sent:])
            self._wait()

    def _push(self) -> None:
        """Send what is held until it is gone or the sink is full."""
        try:
            while self._out:
                self._out = self._out[self.sink.send(self._out) :]
            while self._held and self._pipe is not None:
                flags = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK
                self._held -= os.splice(self._pipe[0], self.sink.fileno(), self._held, flags=flags)
        except (BlockingIOError, InterruptedError):
            self._wait()
            return
        except OSError as exc:
            self._on_end(exc)
            return
        if self._waiting:
            self._waiting = False
            self._sink_watch.write(False)
            self._source_watch.read(True)

    def _wait(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._source_watch.read(False)
            self._sink_watch.write(True)

    def _at_eof(self) -> None:
        self.ended = True
        self._source_watch.read(False)
        with suppress(OSError):
            self.sink.shutdown(SHUT_WR)
        self._on_end(None)

    def stop(self) -> None:
        self._on_end = _unheard
        if self._pipe is not None:
            for end in self._pipe:
                os.close(end)
            self._pipe = None


class Pair:
    """Both directions; ``on_end`` is called once, when both have ended or one has failed."""

    __slots__ = ("_ends", "_on_end", "closed", "down", "up")

    def __init__(
        self, loop: AbstractEventLoop, client: socket, origin: socket, on_end: Callable[[OSError | None], None]
    ) -> None:
        near, far = End(client, watch(loop, client.fileno())), End(origin, watch(loop, origin.fileno()))
        self._ends = (near, far)
        self.up = Direction(near, far, self._one_ended)
        self.down = Direction(far, near, self._one_ended)
        self._on_end = on_end
        self.closed = False

    def start(self, first: bytes) -> None:
        self.down.start()
        self.up.start(first)

    def _one_ended(self, error: OSError | None) -> None:
        if not self.closed and (error is not None or (self.up.ended and self.down.ended)):
            on_end = self._on_end
            self.close()
            on_end(error)

    @property
    def carried(self) -> int:
        return self.up.carried + self.down.carried

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            for end in self._ends:
                end.watch.close()
                end.sock.close()
            self.up.stop()
            self.down.stop()
            self._on_end = _unheard  # whoever listens holds this pair
