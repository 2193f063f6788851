"""One client's connection of DNS over HTTPS: HTTP/2 or HTTP/1.1 by ALPN, questions to the server, answers back.

Shell.  The responses to the requests of one segment leave in one write.  Bounded like a TCP connection (``tcp``): idle
time, which whole questions begin anew and single bytes do not, unanswered questions, what waits to be sent.
"""

import asyncio
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

from steering_dns.doh import MEDIA, REASONS, max_age, question_of
from steering_dns.http1 import Http1, Http1Request
from steering_dns.http2 import ConnectionFault, Http2, Request, literal
from steering_dns.settings import Limits
from steering_dns.tcp import PIECE_BYTES

if TYPE_CHECKING:
    from steering_dns.server import DnsServer

_ALLOW, _CACHE_CONTROL, _CONTENT_LENGTH, _CONTENT_TYPE = 22, 24, 28, 31  # in the static table (RFC 7541 A)


class HttpsConnection(asyncio.Protocol):
    def __init__(self, server: "DnsServer", limits: Limits) -> None:
        self._server = server
        self._limits = limits
        self._client = ""
        self._admitted = self._choked = self._ending = self._collecting = False
        self._transport: asyncio.Transport
        self._idle: asyncio.TimerHandle | None = None
        self._latest = 0.0  # when there was a whole question
        self._speaking: _Http1Side | _Http2Side | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        peer = transport.get_extra_info("peername")
        self._client = peer[0] if peer else ""
        self._admitted = bool(peer) and self._server.admit(self, self._client)
        if self._admitted:
            self._loop = asyncio.get_running_loop()
            self._latest = self._loop.time()
            self._idle = self._loop.call_at(self._latest + self._limits.secure_idle_s, self._idle_over)
        else:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._idle is not None:
            self._idle.cancel()
        if self._admitted:
            self._server.forget(self, self._client)

    def data_received(self, data: bytes) -> None:
        if self._speaking is None:
            tls: Any = self._transport.get_extra_info("ssl_object")
            http2 = tls is not None and tls.selected_alpn_protocol() == "h2"
            self._speaking = _Http2Side(self) if http2 else _Http1Side(self)
        self._collecting = True
        going_on = self._speaking.receive(data)
        self._collecting = False
        self.flush()
        if not going_on:
            self._transport.close()
        elif self._speaking.busy:
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        self._ending = True
        return self._choked or (self._speaking is not None and self._speaking.waiting > 0)

    def pause_writing(self) -> None:
        self._choked = True
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        self._choked = False
        self._transport.resume_reading()
        self.data_received(b"")  # what was left when it was choked

    def stop_reading(self) -> None:
        """Answer what was asked, and end."""
        self._ending = True
        if self._speaking is None:
            self._transport.abort()
        else:
            self._speaking.end()
            self.flush()

    def abort(self) -> None:
        self._transport.abort()

    # For the side that speaks HTTP

    def ask(self, message: bytes, respond: "Respond") -> None:
        """Have ``message`` answered, now or later."""
        self._latest = self._loop.time()

        def send(reply: bytes) -> None:
            respond(200, reply)
            if not self._collecting:
                self.flush()
                if not self._choked and not self._transport.is_closing():
                    self._transport.resume_reading()

        if not self._server.answer(message, self._client, send, udp=False):
            respond(400, b"this is no DNS question")

    def end_after(self) -> None:
        """Close once everything is answered."""
        self._ending = True

    @property
    def choked(self) -> bool:
        return self._choked

    def push(self) -> None:
        """Send what there is."""
        if self._speaking is not None and (out := self._speaking.take()) and not self._transport.is_closing():
            self._transport.write(out)

    def flush(self) -> None:
        if self._speaking is None or self._transport.is_closing():
            return
        self.push()
        if self._ending and not self._speaking.waiting and not self._choked:
            self._transport.close()

    def _idle_over(self) -> None:
        """As in ``tcp``."""
        if self._speaking is not None and self._speaking.unanswered and not self._choked:
            self._latest = self._loop.time()
        due = self._latest + self._limits.secure_idle_s
        if self._loop.time() < due:
            self._idle = self._loop.call_at(due, self._idle_over)
        else:
            self._transport.abort()


Respond = Callable[[int, bytes], None]


class _Http2Side:
    busy = False  # it reads on, whatever waits

    def __init__(self, connection: HttpsConnection) -> None:
        self._connection = connection
        self._http2 = Http2()

    @property
    def waiting(self) -> int:
        return self._http2.waiting

    @property
    def unanswered(self) -> int:
        return self._http2.unanswered

    def receive(self, data: bytes) -> bool:
        """False: nothing more can be said but what ``take`` gives."""
        try:
            requests = self._http2.receive(data)
        except ConnectionFault:
            return False
        for request in requests:
            self._serve(request)
        return True

    def take(self) -> bytes:
        return self._http2.take()

    def end(self) -> None:
        self._http2.end()

    def _serve(self, request: Request) -> None:
        def respond(status: int, body: bytes) -> None:
            block = _block(status, len(body), max_age(body) if status == 200 else 0)
            self._http2.respond(request.stream, block, body)

        if request.too_large:
            respond(413, b"a DNS message has 65,535 bytes at most")
            return
        fields = dict(request.fields)
        target, media = fields[b":path"], fields.get(b"content-type", b"")
        status, message = question_of(fields[b":method"], target, media, request.body)
        if status == 200:
            self._connection.ask(message, respond)
        else:
            respond(status, message)


class _Http1Side:
    """busy: a request is being answered; the next one waits for that."""

    def __init__(self, connection: HttpsConnection) -> None:
        self._connection = connection
        self._http1 = Http1()
        self._out = bytearray()
        self._over = False  # the last request was taken
        self.busy = False

    @property
    def waiting(self) -> int:
        return int(self.busy)

    unanswered = waiting

    def receive(self, data: bytes) -> bool:
        self._http1.receive(data)
        self._serve()
        return True

    def take(self) -> bytes:
        out = bytes(self._out)
        self._out.clear()
        return out

    def end(self) -> None:
        """HTTP/1.1 has no way to say so."""

    def _serve(self) -> None:
        while not (self._over or self.busy or self._connection.choked):
            request = self._http1.next()
            if request is None:
                if self._http1.wants_continue:
                    self._out += b"HTTP/1.1 100 Continue\r\n\r\n"
                return
            self.busy, self._over = True, not request.keep
            self._answer(request)
            if len(self._out) >= PIECE_BYTES:  # who asks and does not read is not answered further
                self._connection.push()

    def _answer(self, request: Http1Request) -> None:
        now = True

        def respond(status: int, body: bytes) -> None:
            self._out += _head(status, len(body), max_age(body) if status == 200 else 0, keep=request.keep) + body
            self.busy = False
            if not request.keep:
                self._connection.end_after()
            elif not now:
                self._serve()

        status, message = request.status, REASONS[request.status].encode()
        if status == 200:
            status, message = question_of(request.method, request.target, request.media, request.body)
        if status == 200:
            self._connection.ask(message, respond)
        else:
            respond(status, message)
        now = False


@lru_cache(maxsize=4096)
def _block(status: int, size: int, age_s: int) -> bytes:
    """The header block of a response; what it says is the same as in ``_head``."""
    fields = [b"\x88" if status == 200 else b"\x08\x03" + str(status).encode()]
    fields.append(literal(_CONTENT_TYPE, MEDIA if status == 200 else b"text/plain"))
    fields.append(literal(_CONTENT_LENGTH, str(size).encode()))
    if status == 200:
        fields.append(literal(_CACHE_CONTROL, f"max-age={age_s}".encode()))
    if status == 405:
        fields.append(literal(_ALLOW, b"GET, POST"))
    return b"".join(fields)


@lru_cache(maxsize=4096)
def _head(status: int, size: int, age_s: int, *, keep: bool) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS[status]}"]
    lines.append(f"Content-Type: {MEDIA.decode() if status == 200 else 'text/plain'}")
    lines.append(f"Content-Length: {size}")
    if status == 200:
        lines.append(f"Cache-Control: max-age={age_s}")
    if status == 405:
        lines.append("Allow: GET, POST")
    if not keep:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode()
