"""One request and what answers it, between a client's session and an origin's connection.

Decides nothing: the session has checked and decided the request.  Bodies stream in both directions at the pace of
the slower side; a request that may be repeated is sent once more when a kept-alive connection turns out dead.
"""

from typing import TYPE_CHECKING

from steering_inspector.conversation import Named
from steering_inspector.fields import HeadError
from steering_inspector.framing import Body, BodyError, ChunkedBody, CloseBody, render_chunk, render_last_chunk
from steering_inspector.heads import end_of_response_head, parse_response_head
from steering_inspector.quick import quick_response
from steering_inspector.request import Request, render_request
from steering_inspector.response import Response, check_response, render_response
from steering_inspector.upstream import DialError, Origin, OriginLink
from steering_inspector.workings import Outcome

if TYPE_CHECKING:
    from steering_inspector.session import Session


class Exchange:
    """See the module.  upload_done, download_done: that side of the exchange is complete."""

    __slots__ = (
        "_advertised",
        "_buffer",
        "_head",
        "_interim",
        "_origin",
        "_retried",
        "began_at",
        "download_done",
        "link",
        "named",
        "over",
        "received",
        "request",
        "request_id",
        "response",
        "sent",
        "session",
        "upload_done",
    )

    def __init__(
        self, session: "Session", request: Request, named: Named, origin: Origin, host: bytes, request_id: str
    ) -> None:
        self.session = session
        self.request = request
        self.named = named
        self.request_id = request_id
        self.began_at = session.workings.clock()
        self.link: OriginLink | None = None
        self.response: Response | None = None
        self.upload_done = request.body is None
        self.download_done = False
        self.over = False
        self.sent = 0
        self.received = 0
        self._origin = origin
        self._advertised = session.workings.settings.advertised
        self._head = render_request(request, host, self._advertised)
        self._buffer = b""
        self._interim = 0
        self._retried = False

    # Towards the origin

    def begin(self) -> None:
        """Send the head on a warm connection, or dial."""
        session = self.session
        pinned = session.take_pinned(self._origin)
        link = pinned or session.workings.upstreams.take(self._origin, repeatable=self.request.may_repeat)
        if link is not None:
            self._attach(link)
        else:
            self._dial()

    def _dial(self) -> None:
        self.session.workings.upstreams.dial(self._origin, self._on_dialled, self._on_dial_error)

    def _on_dialled(self, link: OriginLink) -> None:
        if self.over:
            self.session.workings.upstreams.give_back(link)
        else:
            self._attach(link)
            self.session.on_attached()

    def _on_dial_error(self, error: DialError) -> None:
        if not self.over:
            self.session.workings.spawn(self.session.on_dial_error(self, error))

    def _attach(self, link: OriginLink) -> None:
        self.link = link
        link.asker = self
        link.link.resume()
        link.link.write(self._head)

    @property
    def takes_body(self) -> bool:
        return self.link is not None and not self.upload_done and not self.over

    def feed_body(self, data: bytes) -> int:
        """Send what the client sent of the body; returns how much of ``data`` belonged to it.  Raises BodyError."""
        body = self.request.body
        assert body is not None and self.link is not None
        piece = body.feed(data)
        self.received += piece.used
        out = piece.payload
        if isinstance(body, ChunkedBody):
            out = render_chunk(out)
            if piece.done:
                out += render_last_chunk(body.trailers)
        self.upload_done = piece.done
        self.link.link.write(out)
        return piece.used

    @property
    def origin_congested(self) -> bool:
        return self.link is not None and self.link.link.congested

    def on_origin_drained(self) -> None:
        self.session.on_origin_drained()

    # From the origin

    def on_origin_bytes(self, data: bytes) -> None:
        self.session.touch()
        if self.session.relaying:
            self.session.to_client(data)
            return
        try:
            if self.response is None:
                data = self._take_head(data)
                if self.response is None or not data:
                    return
            self._take_body(data)
        except (HeadError, BodyError) as exc:
            self._fail(502, "origin-protocol", str(exc))

    def _take_head(self, data: bytes) -> bytes:
        """Read heads up to the final one; returns the bytes after it that are not yet used."""
        limits = self.session.workings.limits
        if not self._buffer:
            end = data.find(b"\r\n\r\n") + 4
            quick = quick_response(data[:end], self.request, limits) if end > 3 else None
            if quick is not None:
                self._on_final(quick, data[end:])
                return b""
        searched = len(self._buffer)
        buffer = self._buffer + data if searched else data
        while True:
            end = end_of_response_head(buffer, searched)
            if end < 0 or end > limits.max_head_bytes:
                if end >= 0 or len(buffer) > limits.max_head_bytes:
                    raise HeadError(502, "origin-protocol", "the head of the response is too large")
                self._buffer = buffer
                return b""
            response = check_response(parse_response_head(buffer[:end], limits), self.request)
            buffer, searched = buffer[end:], 0
            if not response.interim:
                self._buffer = b""
                self._on_final(response, buffer)
                return b""
            self._interim += 1
            if self._interim > limits.max_interim:
                raise HeadError(502, "origin-protocol", "the origin sent too many 1xx responses")
            if self.request.minor == 1:
                self._send(render_response(response, self.request, self._advertised, keep_alive=True))

    def _on_final(self, response: Response, rest: bytes) -> None:
        self.response = response
        assert self.link is not None
        if response.connection_auth or self.request.connection_auth:
            self.link.pinned = True
        if response.status == 101:
            self.session.begin_relay(render_response(response, self.request, self._advertised, keep_alive=True), rest)
            return
        # An answer before the request's end: the rest of the request is not waited for (RFC 9112 9.5).
        keep = self.session.may_keep_alive(self) and self._self_delimited(response)
        self.session.keep_alive = keep
        head = render_response(response, self.request, self._advertised, keep_alive=keep)
        if response.body is None:
            self._send(head)
            self._complete(surplus=bool(rest))
        elif rest:
            self._take_body(rest, head)
        else:
            self._send(head)

    def _self_delimited(self, response: Response) -> bool:
        if isinstance(response.body, ChunkedBody):
            return self.request.minor == 1
        return not isinstance(response.body, CloseBody)

    def _take_body(self, data: bytes, head: bytes = b"") -> None:
        assert self.response is not None
        body = self.response.body
        if body is None:
            return
        piece = body.feed(data)
        self._send(head + self._framed(body, piece.payload, piece.done))
        if piece.done:
            self._complete(surplus=piece.used < len(data))
        elif self.session.client_congested and self.link is not None:
            self.link.link.pause()

    def _framed(self, body: Body, payload: bytes, done: bool) -> bytes:
        if not isinstance(body, ChunkedBody) or self.request.minor == 0:
            return payload
        return render_chunk(payload) + (render_last_chunk(body.trailers) if done else b"")

    def _send(self, data: bytes) -> None:
        self.sent += len(data)
        self.session.to_client(data)

    def on_client_drained(self) -> None:
        if self.link is not None:
            self.link.link.resume()

    # The end

    def on_origin_eof(self, clean: bool) -> None:
        if self.session.relaying:
            self.session.on_relay_eof()
        elif self.response is None:
            self._lost_before_response("the origin closed the connection without an answer")
        elif isinstance(self.response.body, CloseBody):
            # The client sees the same end as we did: an unclean one is passed on as such.
            self._complete(surplus=True, truncated=not clean)
        else:
            self._fail(502, "origin-truncated", "the origin closed the connection within a response")

    def on_origin_lost(self, error: Exception) -> None:
        if self.session.relaying:
            self.session.on_relay_eof()
        elif self.response is None:
            self._lost_before_response(str(error) or type(error).__name__, error)
        else:
            self._fail(502, "origin-reset", str(error))

    def _lost_before_response(self, why: str, error: Exception | None = None) -> None:
        link = self.link
        if link is None:
            return
        stale = link.reused and not self._buffer and not self._interim
        self._drop_link()
        if stale and self.request.may_repeat and not self._retried:
            self._retried = True
            self._dial()
            return
        reason = "origin-protocol"
        if error is not None and "CERTIFICATE_REQUIRED" in str(getattr(error, "reason", "")):
            reason = "origin-client-certificate"  # TLS 1.3 tells it only after the handshake
        self._fail(502, reason, why)

    def _fail(self, status: int, reason: str, why: str) -> None:
        self._drop_link()
        if not self.over:
            self.session.on_exchange_failed(self, status, reason, why)

    def _complete(self, *, surplus: bool, truncated: bool = False) -> None:
        self.download_done = True
        link, self.link = self.link, None
        response = self.response
        assert response is not None
        if link is not None:
            link.asker = None
            if surplus or not response.keep_alive or not self.upload_done:
                link.close()
            elif link.pinned:
                link.reused = True
                self.session.keep_pinned(link)
            else:
                self.session.workings.upstreams.give_back(link)
        self.over = True
        self.session.on_exchange_done(self, truncated)

    def _drop_link(self) -> None:
        link, self.link = self.link, None
        if link is not None:
            link.close()

    def abandon(self) -> None:
        """The client is gone."""
        self.over = True
        self._drop_link()

    def outcome(self, reason: str = "", status: int | None = None) -> Outcome:
        code = status if status is not None else self.response.status if self.response else 0
        return Outcome(
            self.named.host.text,
            self.named.effect.value,
            self.named.decision,
            reason,
            self.request.line,
            code,
            self.sent,
            self.received,
            self.request_id,
        )
