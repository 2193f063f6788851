"""One TCP connection as a file descriptor: reads, writes and TLS without an asyncio transport.

Own TLS over two MemoryBIOs, for three reasons: asyncio drops alerts in both directions, and the client's alert is
the evidence for pinned certificates; bytes that were peeked at can be fed to it; and it costs a third of asyncio's
per message (bench/inspector.py).  One recv per wake-up, one send per batch.
"""

import ssl
from asyncio import AbstractEventLoop
from contextlib import suppress
from functools import cache
from socket import SHUT_WR, socket
from typing import Protocol

from steering.streams.readiness import watch

_MAX_PLAIN = 16_384  # of one record (RFC 8446 5.1), which is what one read gives


class Sizes(Protocol):
    """read_bytes: of one read.  high_water_bytes: unsent bytes from which on a link is congested."""

    @property
    def read_bytes(self) -> int: ...

    @property
    def high_water_bytes(self) -> int: ...


class Owner(Protocol):
    """Who is told what a link sees.  Nothing is called after ``on_lost`` or after the owner closed the link."""

    def on_secured(self) -> None:
        """The TLS handshake is complete."""

    def on_bytes(self, data: bytes) -> None: ...

    def on_eof(self, clean: bool) -> None:
        """The peer sends no more.  clean: by FIN on a plain link, by close_notify on a TLS link."""

    def on_lost(self, error: Exception) -> None:
        """The connection broke or its TLS failed; the link is closed."""

    def on_drained(self) -> None:
        """What was written has left, after ``congested`` was true."""


class Unowned:
    """Owns a link for the instant until somebody does."""

    def on_secured(self) -> None: ...

    def on_bytes(self, data: bytes) -> None: ...

    def on_eof(self, clean: bool) -> None: ...

    def on_lost(self, error: Exception) -> None: ...

    def on_drained(self) -> None: ...


UNOWNED = Unowned()


@cache
def _read_buffer(size: int) -> bytearray:
    """One read buffer for all: what was read is copied out before anything else can run."""
    return bytearray(size)


class Link:
    """One connected, non-blocking socket.

    sent, received: bytes on the wire.  congested: more unsent bytes than the high-water mark.
    eof: the peer sends no more.  deaf: the peer takes no more; what is written is dropped.
    """

    __slots__ = (
        "_buffer",
        "_deferred",
        "_finishing",
        "_in",
        "_loop",
        "_out",
        "_pending",
        "_tls",
        "_view",
        "_watch",
        "closed",
        "congested",
        "deaf",
        "eof",
        "limits",
        "owner",
        "reading",
        "received",
        "secured",
        "sent",
        "sock",
    )

    def __init__(self, sock: socket, loop: AbstractEventLoop, limits: Sizes, owner: Owner) -> None:
        self.sock = sock
        self._loop = loop
        self.limits = limits
        self.owner = owner
        self._buffer = _read_buffer(limits.read_bytes)
        self._view = memoryview(self._buffer)
        self._tls: ssl.SSLObject | None = None
        self._in: ssl.MemoryBIO | None = None
        self._pending: ssl.MemoryBIO | None = None
        self._out = bytearray()
        self._watch = watch(loop, sock.fileno())
        self._watch.on_readable, self._watch.on_writable = self._on_readable, self._on_writable
        self._finishing = False
        self._deferred = 0  # bytes of TLS that may wait for others to go with
        self.deaf = False
        self.reading = False
        self.secured = False
        self.closed = False
        self.congested = False
        self.eof = False
        self.sent = 0
        self.received = 0

    @property
    def tls(self) -> ssl.SSLObject | None:
        return self._tls

    @property
    def unsent(self) -> int:
        return len(self._out)

    # Reading

    def resume(self) -> None:
        if not self.reading and not self.closed and not self.eof:
            self._watch.read(True)
            self.reading = True

    def pause(self) -> None:
        if self.reading:
            self._watch.read(False)
            self.reading = False

    def _on_readable(self) -> None:
        try:
            count = self.sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._fail(exc)
            return
        self.received += count
        if self.secured and count and self._in is not None:
            self._in.write(self._view[:count])
            self._decrypt()
        elif self._tls is not None:
            self._feed(self._view[:count])
        elif count:
            self.owner.on_bytes(bytes(self._view[:count]))
        else:
            self._at_eof(clean=True)

    def _feed(self, wire: memoryview | bytes) -> None:
        """Give bytes from the wire (none: the end) to TLS, and what comes out of it to the owner."""
        assert self._in is not None
        if wire:
            self._in.write(wire)
        else:
            self._in.write_eof()
        if not self.secured and not self._handshake():
            return
        self._decrypt()

    def _decrypt(self) -> None:
        tls, incoming, plain = self._tls, self._in, []
        assert tls is not None and incoming is not None
        ended: Exception | None = None
        at_end = clean = False
        try:
            # A read takes one record; none is left when both are empty.  Asking once more would cost an exception.
            while incoming.pending or tls.pending() or incoming.eof:
                piece = tls.read(_MAX_PLAIN)
                if not piece:
                    at_end = clean = True
                    break
                plain.append(piece)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            at_end = clean = True
        except ssl.SSLEOFError:
            at_end = True
        except ssl.SSLError as exc:
            ended = exc
        if plain:
            self.owner.on_bytes(plain[0] if len(plain) == 1 else b"".join(plain))
        if self.closed:
            return
        if self._pending is not None and self._pending.pending > self._deferred:
            self.flush()  # key updates and answers to them
        if ended is not None:
            self._fail(ended)
        elif at_end:
            self._at_eof(clean)

    def _at_eof(self, clean: bool) -> None:
        if self.eof or self.closed:
            return
        self.pause()
        self.eof = True
        self.owner.on_eof(clean)

    # TLS

    def secure(
        self,
        context: ssl.SSLContext,
        *,
        server_side: bool,
        server_hostname: str | None = None,
        session: ssl.SSLSession | None = None,
        first: bytes = b"",
    ) -> None:
        """Begin TLS.  first: bytes from the peer that were read before."""
        self._in, self._pending = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._in, self._pending, server_side=server_side, server_hostname=server_hostname, session=session
        )
        self.resume()
        if first:
            self._feed(first)
        else:
            self._handshake()

    def _handshake(self) -> bool:
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self.flush()
            return False
        except (ssl.SSLError, ValueError) as exc:  # ValueError: a name that cannot be matched
            self.flush()  # the alert that says why
            self._fail(exc)
            return False
        self.secured = True
        self.owner.on_secured()
        self.flush()  # the end of the handshake, unless it has gone with what the owner wrote
        return not self.closed

    # Writing

    def write(self, data: bytes) -> None:
        """Send, or keep what does not go at once; watch ``congested``."""
        if self.closed or self._finishing or self.deaf or not data:
            return
        if self._tls is None or self._pending is None:
            self._send(data)
            return
        try:
            self._tls.write(data)
        except ssl.SSLError as exc:
            self._cannot_send(exc)
            return
        self._deferred = 0
        self._send(self._pending.read())

    def flush(self) -> None:
        pending = self._pending
        if pending is not None and pending.pending and not self.closed:
            self._deferred = 0
            self._send(pending.read())

    def _send(self, data: bytes) -> None:
        if self._out:
            self._out += data
        else:
            try:
                count = self.sock.send(data)
            except (BlockingIOError, InterruptedError):
                count = 0
            except OSError as exc:
                self._cannot_send(exc)
                return
            self.sent += count
            if count == len(data):
                return
            self._out += data[count:]
            self._watch.write(True)
        if len(self._out) > self.limits.high_water_bytes:
            self.congested = True

    def _on_writable(self) -> None:
        try:
            count = self.sock.send(self._out)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as exc:
            self._fail(exc)
            return
        self.sent += count
        del self._out[:count]
        if not self._out:
            self._watch.write(False)
            if self._finishing:
                self._end_sending()
        if self.congested and len(self._out) <= self.limits.high_water_bytes // 4:
            self.congested = False
            self.owner.on_drained()

    def finish(self) -> None:
        """Send what is left, then close_notify and FIN; the peer may go on sending."""
        if self._finishing or self.closed:
            return
        if self._tls is not None and self.secured:
            with suppress(ssl.SSLError, ValueError):
                self._tls.unwrap()
            self.flush()
        self._finishing = True
        if not self._out and not self.closed:
            self._end_sending()

    def _end_sending(self) -> None:
        with suppress(OSError):
            self.sock.shutdown(SHUT_WR)

    @property
    def finished(self) -> bool:
        """Everything was sent, the FIN too."""
        return self._finishing and not self._out

    # The end

    def _fail(self, error: Exception) -> None:
        if not self.closed:
            owner = self.owner
            self.close()
            owner.on_lost(error)

    def _cannot_send(self, error: Exception) -> None:
        """The peer takes no more.  It may have answered first (413 and close), so what it sent is read to its end;
        reading also finds the error.  Not from within the owner's own call.
        """
        self.deaf = True
        self._out.clear()
        if self.eof or isinstance(error, ssl.SSLError):
            self._loop.call_soon(self._fail, error)
        else:
            self._loop.call_soon(self.resume)

    def close(self) -> None:
        """Close at once.  Without ``finish`` a TLS peer sees a truncation."""
        if self.closed:
            return
        self.release()
        self.sock.close()

    def release(self) -> socket:
        """Give the socket up, unclosed (to a tunnel)."""
        self.closed, self.reading = True, False
        self._watch.close()
        self.owner = UNOWNED  # who owns a link is held by it: both go with their last user, not by the collector
        return self.sock
