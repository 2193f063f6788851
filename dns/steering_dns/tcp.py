"""One client's connection, over TCP or TLS: frames in, answers out as they are ready (RFC 7766, RFC 7858).

Shell.  The answers to the questions of one segment leave in one write.  Bounded: idle time, unanswered questions,
what waits to be sent; a client that lies about a length only keeps its own connection waiting.
"""

import asyncio
from typing import TYPE_CHECKING, cast

from steering_dns.settings import Limits

if TYPE_CHECKING:
    from steering_dns.server import DnsServer

PIECE_BYTES = 131_072  # of answers in one write: small questions may have large answers


class TcpConnection(asyncio.Protocol):
    """idle_s: after which without a whole question it is closed."""

    def __init__(self, server: "DnsServer", limits: Limits, idle_s: float) -> None:
        self._server = server
        self._limits = limits
        self._idle_s = idle_s
        self._buffer = bytearray()
        self._outbox: list[bytes] = []
        self._outbox_bytes = 0
        self._unanswered = 0
        self._client = ""
        self._admitted = self._collecting = self._choked = self._ending = False
        self._transport: asyncio.Transport
        self._idle: asyncio.TimerHandle | None = None
        self._latest = 0.0  # when there was a whole question; bytes alone do not count

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""
        self._admitted = bool(peer) and self._server.admit(self, self._client)
        if self._admitted:
            self._loop = asyncio.get_running_loop()
            self._latest = self._loop.time()
            self._idle = self._loop.call_at(self._latest + self._idle_s, self._idle_over)
        else:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._admitted:
            self._server.forget(self, self._client)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._serve()

    def eof_received(self) -> bool:
        """The client has asked all it wants; what waits is still answered."""
        self._ending = True
        return self._unanswered > 0 or self._choked

    def pause_writing(self) -> None:
        self._choked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._choked = False
        self._transport.resume_reading()
        self._serve()

    def stop_reading(self) -> None:
        self._transport.pause_reading()
        self._ending = True
        if not self._unanswered:
            self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _serve(self) -> None:
        self._collecting = True
        at, buffer = 0, self._buffer
        while not self._choked and self._unanswered < self._limits.tcp_questions and len(buffer) >= at + 2:
            end = at + 2 + int.from_bytes(buffer[at : at + 2], "big")
            if len(buffer) < end:
                break
            packet = bytes(buffer[at + 2 : end])
            at = end
            self._unanswered += 1
            if not self._server.answer(packet, self._client, self._reply, udp=False):
                self._transport.abort()  # no question, or an answer: not a client
                return
        if at:
            self._latest = self._loop.time()
        del buffer[:at]
        if self._unanswered >= self._limits.tcp_questions:
            self._transport.pause_reading()
        self._collecting = False
        self._flush()

    def _reply(self, reply: bytes) -> None:
        self._unanswered -= 1
        self._outbox.append(len(reply).to_bytes(2, "big") + reply)
        self._outbox_bytes += len(reply)
        if self._collecting:
            if self._outbox_bytes >= PIECE_BYTES:  # may choke us: who asks and does not read is not answered further
                self._push()
        else:
            self._flush()
            if not self._choked and not self._transport.is_closing() and not self._ending:
                self._transport.resume_reading()
                if self._buffer:
                    self._serve()

    def _push(self) -> None:
        if self._outbox and not self._transport.is_closing():
            self._transport.write(b"".join(self._outbox))
        self._outbox.clear()
        self._outbox_bytes = 0

    def _flush(self) -> None:
        self._push()
        if self._ending and not self._unanswered and not self._choked:
            self._transport.close()

    def _idle_over(self) -> None:
        """Looked at when the time may be over: a timer for each question would cost more than the question."""
        if self._unanswered and not self._choked:
            self._latest = self._loop.time()
        due = self._latest + self._idle_s
        if self._loop.time() < due:
            self._idle = self._loop.call_at(due, self._idle_over)
        else:
            self._transport.abort()
