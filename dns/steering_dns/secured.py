"""TLS connections to the resolver: taken from a listening socket, admitted, and given to a protocol as a transport.

Shell.  A client is admitted before its handshake, which is what costs; the idle time runs from then on too.  TLS is
``steering.streams``' own: it costs a third of asyncio's.
"""

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

from steering.streams.link import Link

ACCEPTS_AT_ONCE = 32
BACK_OFF_S = 0.5
LINGER_S = 2.0  # for what was sent last to arrive
_FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Sizes:
    read_bytes = 65_536
    high_water_bytes = 262_144


def server_context(*protocols: str) -> ssl.SSLContext:
    """protocols: of ALPN."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.num_tickets = 1
    context.set_alpn_protocols(list(protocols))
    return context


@dataclass(frozen=True, slots=True)
class Contexts:
    """What the listeners for DNS over TLS and over HTTPS show; both have to be given a certificate."""

    tls: ssl.SSLContext = field(default_factory=lambda: server_context("dot"))
    https: ssl.SSLContext = field(default_factory=lambda: server_context("h2", "http/1.1"))


class TlsListener:
    """Takes connections from ``sock`` until ``close``, which leaves the socket open."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, make: Callable[[], asyncio.Protocol]) -> None:
        self._socket = sock
        self._context = context
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._later: asyncio.TimerHandle | None = None
        sock.setblocking(False)
        self._loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        if self._later is not None:
            self._later.cancel()
            self._later = None
        self._loop.remove_reader(self._socket.fileno())

    def _accept(self) -> None:
        for _ in range(ACCEPTS_AT_ONCE):
            try:
                sock, peer = self._socket.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno in _FULL:  # leave the queue to the kernel instead of spinning on it
                    self._loop.remove_reader(self._socket.fileno())
                    self._later = self._loop.call_later(BACK_OFF_S, self._go_on)
                return
            sock.setblocking(False)
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            Secured(sock, peer, self._context, self._make())

    def _go_on(self) -> None:
        self._later = None
        self._loop.add_reader(self._socket.fileno(), self._accept)


class Secured(asyncio.Transport):
    """One connection: the transport of ``protocol``, which is told of it at once and of bytes after the handshake."""

    def __init__(
        self, sock: socket.socket, peer: tuple[Any, ...], context: ssl.SSLContext, protocol: asyncio.Protocol
    ) -> None:
        super().__init__()
        self._protocol = protocol
        self._peer = peer
        self._closing = self._choked = self._lost = False
        self._loop = asyncio.get_running_loop()
        self._link = Link(sock, self._loop, Sizes, self)
        protocol.connection_made(self)
        if not self._link.closed:
            self._link.secure(context, server_side=True)

    # What the protocol asks of its transport

    def get_extra_info(self, name: str, default: object = None) -> object:
        match name:
            case "peername":
                return self._peer
            case "ssl_object":
                return self._link.tls
            case _:
                return default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._link.write(cast(bytes, data))
        if self._link.congested and not self._choked:
            self._choked = True
            self._protocol.pause_writing()

    def is_closing(self) -> bool:
        return self._closing or self._link.closed

    def pause_reading(self) -> None:
        self._link.pause()

    def resume_reading(self) -> None:
        if not self._closing:
            self._link.resume()

    def close(self) -> None:
        """Send what is left, and give it time to arrive: closed at once, the kernel may throw it away."""
        if self._closing or self._link.closed:
            return
        self._closing = True
        self._link.finish()
        if self._link.eof and not self._link.unsent:
            self.abort()
            return
        self._link.resume()
        self._loop.call_later(LINGER_S, self.abort)

    def abort(self) -> None:
        if not self._link.closed:
            self._link.close()
        self._closing = True
        if not self._lost:
            self._lost = True
            self._loop.call_soon(self._protocol.connection_lost, None)

    # What the link sees

    def on_secured(self) -> None:
        """The protocol has nothing to say first."""

    def on_bytes(self, data: bytes) -> None:
        if not self._closing:
            self._protocol.data_received(data)

    def on_eof(self, clean: bool) -> None:
        """A client that only says that it asks no more (close_notify) still gets its answers."""
        if self._closing or not clean or not self._protocol.eof_received():
            self.abort() if self._closing or not clean else self.close()

    def on_lost(self, error: Exception) -> None:
        self.abort()

    def on_drained(self) -> None:
        self._choked = False
        self._protocol.resume_writing()
