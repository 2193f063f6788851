"""The HTTP requests of one client's connection, one after the other: head, decision, exchange, next.

Holds a connection that is opened (TLS inside, under one name), one that speaks plain HTTP to the explicit proxy, or
one that a redirect brought here by its Host.  Each request is decided by the policy in force when its head arrived.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from steering.policy import Effect, Host
from steering.streams.link import Link
from steering_inspector.answers import answer
from steering_inspector.attested import Introduction, asks_for_nonce
from steering_inspector.conversation import Named, Open, Page, Refuse, now_decided, on_inner_request, on_plain_request
from steering_inspector.exchange import Exchange
from steering_inspector.faults import describe
from steering_inspector.fields import HeadError
from steering_inspector.framing import BodyError
from steering_inspector.heads import end_of_request_head, parse_request_head
from steering_inspector.quick import quick_request
from steering_inspector.request import Authority, Request, check_request, host_value, loops
from steering_inspector.upstream import DialError, Origin, OriginLink
from steering_inspector.workings import Client, HandshakeFailure, Outcome, Span, Workings, new_request_id


class Way(Enum):
    """How the requests came here."""

    EXPLICIT = "explicit proxy"
    BY_HOST = "transparent, by Host"
    ATTESTED = "explicit proxy, for helpers"
    OPENED = "inside TLS"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a session's requests belong.

    name: of the leaf that the client was shown.  opened: where requests inside TLS go.  page: shown to each of them
    instead of an answer.  began_at: of the ClientHello.
    """

    way: Way
    name: Host | None = None
    opened: Open | None = None
    page: Page | None = None
    began_at: float = 0.0


class _Held(NamedTuple):
    """What a request came to; the next one to the same authority comes to the same while the span holds."""

    span: Span
    client: Client
    authority: Authority
    named: Named
    origin: Origin
    host: bytes


OnConnect = Callable[["Session", Request, bytes], None]
# Services that plain HTTP must not be made to talk to (mail, login, file sharing): ports below 1024 but these.
_PLAIN_PORTS = frozenset((80, 443))


class Session:
    """See the module.  keep_alive: another request is read after the one in hand."""

    __slots__ = (
        "_buffer",
        "_deadline",
        "_extended",
        "_head_due",
        "_held",
        "_introduction",
        "_limits",
        "_lingered",
        "_lingering",
        "_on_connect",
        "_outlived",
        "_pinned",
        "_requests",
        "_searched",
        "_window_bytes",
        "_window_from",
        "client",
        "exchange",
        "keep_alive",
        "link",
        "place",
        "relaying",
        "workings",
    )

    def __init__(
        self,
        workings: Workings,
        link: Link,
        client: Client,
        place: Place,
        on_connect: OnConnect | None = None,
        introduction: Introduction | None = None,
    ) -> None:
        self.workings = workings
        self.link = link
        self.client = client
        self.place = place
        self.keep_alive = True
        self.relaying = False
        self.exchange: Exchange | None = None
        self._on_connect = on_connect
        self._introduction = introduction
        self._limits = workings.limits
        self._held: _Held | None = None
        self._buffer = b""
        self._pinned: OriginLink | None = None
        self._head_due = 0.0  # when the head that has begun must be complete; 0: none has begun
        self._searched = 0  # bytes that are known to hold no end of a head
        self._lingering = False
        self._lingered = 0
        self._extended = False
        self._outlived = False  # opened, and would be tunnelled by now
        self._requests = 0
        self._window_from = 0.0
        self._window_bytes = 0
        self._deadline = workings.loop.time() + workings.limits.keepalive_s
        link.owner = self

    # The client's side

    def on_secured(self) -> None:
        """A session begins after the handshake."""

    def on_bytes(self, data: bytes) -> None:
        if self.relaying:
            self._relay_up(data)
        elif self._lingering:
            self._lingered += len(data)
            if self._lingered > self._limits.max_linger_bytes:
                self._close()
        else:
            self._window_bytes += len(data)
            self._buffer = self._buffer + data if self._buffer else data
            self._advance()

    def _advance(self) -> None:
        """Go on with what has arrived, as far as it reaches."""
        while self._buffer and not self._lingering and not self.relaying and not self.link.closed:
            exchange = self.exchange
            if exchange is None:
                if not self._take_head():
                    return
            elif exchange.takes_body:
                self._feed(exchange)
                if exchange.upload_done:
                    continue
                return
            else:
                if len(self._buffer) >= self._limits.read_bytes:
                    self.link.pause()
                return

    def _take_head(self) -> bool:
        limits = self._limits
        if self._buffer.startswith(b"\r\n"):  # RFC 9112 2.2: an empty line before a request
            self._buffer = self._buffer[2:]
            return True
        end = end_of_request_head(self._buffer, self._searched)
        if end > limits.max_head_bytes or (end < 0 and len(self._buffer) >= limits.max_head_bytes):
            self.refuse(431, "too-large", "the head of the request is too large")
            return False
        if end < 0:
            self._searched = len(self._buffer)
            if not self._head_due:
                self._head_due = self._deadline = self.workings.loop.time() + limits.head_s
            return False
        head, self._buffer = self._buffer[:end], self._buffer[end:]
        self._head_due, self._searched = 0.0, 0
        self._requests += 1
        request: Request | None = None
        try:
            request = quick_request(head, limits) or check_request(parse_request_head(head, limits))
            self._begin(request)
        except HeadError as exc:
            self.refuse(exc.status, exc.reason, exc.why, request)
        return True

    def _begin(self, request: Request) -> None:
        """Decide a request and start its exchange.  Raises HeadError."""
        place = self.place
        if self._introduction is not None and self._greets(self._introduction, request):
            return
        if request.method == "CONNECT":
            if self._on_connect is None:
                raise HeadError(405, "not-implemented", "CONNECT is spoken to the proxy's own port only")
            rest, self._buffer = self._buffer, b""
            self._unpin()
            self._on_connect(self, request, rest)
            return
        if loops(request, self.workings.settings.advertised):
            raise HeadError(508, "loop", "the request has passed through this inspector before")
        if place.page is not None:
            self._show(request, place.page.name, place.page.status, place.page.reason, place.page.why)
            return
        named, origin, host = self._inside(place.opened, request) if place.opened else self._plain(request)
        if named.effect is Effect.BLOCK_PAGE:
            self._show(request, named, 403, "blocked", named.decision.why)
            return
        self.keep_alive = False  # until a response says otherwise
        now = self.workings.loop.time()
        self._deadline = now + self._limits.response_s
        self._window_from, self._window_bytes = now, 0
        self.exchange = Exchange(self, request, named, origin, host, new_request_id())
        self.exchange.begin()

    def _greets(self, introduction: Introduction, request: Request) -> bool:
        """Answer a helper's OPTIONS *, or take in what it attests of any other request.  Raises HeadError."""
        workings, now = self.workings, self.workings.loop.time()
        if self.client.attested is None and asks_for_nonce(request):
            self.link.write(introduction.greeting(now, workings.live.policy.revision, self.client.text))
            self._deadline = now + workings.limits.keepalive_s
            return True
        attested, revision = introduction.attested(request, self.client.attested, workings.clock(), now)
        if attested is not self.client.attested:
            workings.counters["attested"] += 1
            workings.counters["attested:other-revision"] += revision != workings.live.policy.revision
            self.client = replace(self.client, attested=attested)
        return False

    def _inside(self, opened: Open, request: Request) -> tuple[Named, Origin, bytes]:
        span, held = self.workings.span(), self._held
        if (
            held is not None
            and held.authority is request.authority
            and held.span is span
            and held.client is self.client
            and not request.scheme
        ):
            return held.named, held.origin, held.host
        named = on_inner_request(opened, request.scheme, request.authority, self.workings.view(self.client))
        if named.effect is Effect.REFUSE:
            raise HeadError(403, "reserved", named.decision.why)
        if named.effect is Effect.TUNNEL:  # bypassed since: served, and the client's next connection is tunnelled
            self._outlived = True
            named = named._replace(effect=Effect.OPEN)
        assert request.authority is not None
        origin = Origin(True, named.host.text, opened.port, opened.name.guarded)
        host = host_value(Authority(named.host, request.authority.port), "https")
        self._held = _Held(span, self.client, request.authority, named, origin, host)
        return named, origin, host

    def _plain(self, request: Request) -> tuple[Named, Origin, bytes]:
        explicit = self.place.way in (Way.EXPLICIT, Way.ATTESTED)
        if explicit and request.scheme != "http":
            raise HeadError(400, "bad-request", "a proxy takes http:// targets and CONNECT")
        if request.scheme == "https":
            raise HeadError(400, "bad-request", "an https target in plain HTTP")
        result = on_plain_request(request.authority, self.workings.view(self.client))
        if isinstance(result, Refuse):
            raise HeadError(result.status, result.reason, result.why)
        assert request.authority is not None
        port = (request.authority.port or 80) if explicit else self.workings.settings.origin_http_port
        ports = self.workings.settings.http_ports
        if explicit and not (port in ports if ports is not None else port >= 1024 or port in _PLAIN_PORTS):
            raise HeadError(403, "port", f"plain HTTP to port {port} is not allowed")
        origin = Origin(False, result.host.text, port, result.guarded)
        return result, origin, host_value(request.authority, "http")

    def _feed(self, exchange: Exchange) -> None:
        data, self._buffer = self._buffer, b""
        try:
            used = exchange.feed_body(data)
        except BodyError as exc:
            exchange.abandon()
            self.on_exchange_failed(exchange, 400, "bad-request", str(exc))
            return
        self._buffer = data[used:]
        self._deadline = self.workings.loop.time() + (
            self._limits.response_s if exchange.upload_done else self._limits.body_idle_s
        )
        if exchange.origin_congested:
            self.link.pause()

    def on_eof(self, clean: bool) -> None:
        exchange = self.exchange
        if self.relaying:
            self.on_relay_eof()
        elif self._lingering or exchange is None:
            self._note_unused("EOF" if not clean else "CLOSED-UNUSED")
            self.link.finish()
            self._close()
        elif exchange.upload_done and not self.link.deaf:
            self.keep_alive = False  # half-closed: the client still reads (RFC 9112 9.6)
        else:
            self._end_exchange(exchange, "client-reset" if exchange.upload_done else "client-truncated")
            self._close()

    def on_lost(self, error: Exception) -> None:
        self._note_unused(getattr(error, "reason", None) or "RESET")
        if self.exchange is not None:
            self._end_exchange(self.exchange, "client-reset")
        self._close()

    def _note_unused(self, alert: str) -> None:
        note = self.workings.on_handshake_failure
        if note is None or self._requests or self._buffer or self.place.way is not Way.OPENED:
            return
        began = self.place.began_at
        name = self.place.name.text if self.place.name else ""
        note(
            HandshakeFailure(
                began, name, self.client.text, alert, self.link.received, (self.workings.clock() - began) * 1000
            )
        )

    def on_drained(self) -> None:
        self.touch()
        if self.exchange is not None:
            self.exchange.on_client_drained()

    # The exchange's side

    def touch(self) -> None:
        self._deadline = self.workings.loop.time() + self._limits.response_idle_s

    def to_client(self, data: bytes) -> None:
        self.link.write(data)
        if self.relaying and self.link.congested and self.exchange and self.exchange.link:
            self.exchange.link.link.pause()

    @property
    def client_congested(self) -> bool:
        return self.link.congested

    def may_keep_alive(self, exchange: Exchange) -> bool:
        if self._outlived or self.workings.draining or self.link.eof:
            return False
        return exchange.request.keep_alive and exchange.upload_done

    def on_attached(self) -> None:
        self.link.resume()
        self._advance()

    def on_origin_drained(self) -> None:
        self.touch()
        self.link.resume()
        self._advance()

    def on_exchange_done(self, exchange: Exchange, truncated: bool) -> None:
        self.exchange = None
        self._report(exchange.began_at, exchange.outcome("origin-truncated" if truncated else ""))
        if truncated:
            self._close()
        elif not self.keep_alive:
            self._end()
        else:
            self._deadline = self.workings.loop.time() + self._limits.keepalive_s
            self.link.resume()
            self._advance()

    def on_exchange_failed(
        self,
        exchange: Exchange,
        status: int,
        reason: str,
        why: str,
        details: tuple[tuple[str, str], ...] = (),
    ) -> None:
        """A page where nothing of a response was sent yet; else the client sees a truncation."""
        exchange.over = True
        self.exchange = None
        if exchange.response is not None:
            self._report(exchange.began_at, exchange.outcome(reason))
            self._close()
            return
        named, request = exchange.named, exchange.request
        whole = answer(
            status,
            reason,
            host=named.host.text,
            why=why,
            rule=None,
            request_id=exchange.request_id,
            details=details,
            head_only=request.method == "HEAD",
            accept=request.accept,
        )
        self._report(exchange.began_at, exchange.outcome(reason, status)._replace(sent=len(whole)))
        self.link.write(whole)
        self._end()

    async def on_dial_error(self, exchange: Exchange, error: DialError) -> None:
        port = self.place.opened.port if self.place.opened else 0
        fault = await describe(error, exchange.named.host, port)
        if not exchange.over:
            self.on_exchange_failed(exchange, fault.status, fault.reason, fault.why, fault.details)

    def take_pinned(self, origin: Origin) -> OriginLink | None:
        link, self._pinned = self._pinned, None
        stale = link is not None and link.trust != self.workings.upstreams.trust
        if link is not None and (stale or link.origin != origin or link.link.closed):
            link.close()
            return None
        return link

    def keep_pinned(self, link: OriginLink) -> None:
        self._pinned = link

    # WebSocket

    def begin_relay(self, head: bytes, rest: bytes) -> None:
        """Both sides have switched: bytes pass from here on."""
        self.relaying = True
        self.to_client(head + rest)
        buffered, self._buffer = self._buffer, b""
        if buffered:
            self._relay_up(buffered)
        self.link.resume()

    def _relay_up(self, data: bytes) -> None:
        exchange = self.exchange
        if exchange is None or exchange.link is None:
            return
        self.touch()
        exchange.received += len(data)
        exchange.link.link.write(data)
        if exchange.origin_congested:
            self.link.pause()

    def on_relay_eof(self) -> None:
        """One side has ended.  A WebSocket says goodbye inside; nothing is due after this."""
        if self.exchange is not None:
            self._end_exchange(self.exchange, "")
        self._end()

    # The end

    def refuse(self, status: int, reason: str, why: str, request: Request | None = None) -> None:
        """Answer something that never became an exchange.  request: None where there was none to read."""
        named = self._named_by(request, reason)
        host = named.host.text if named else self.place.name.text if self.place.name else ""
        decision = named.decision if named and reason == "reserved" else None
        number = new_request_id()
        whole = answer(
            status,
            reason,
            host=host,
            why=why,
            rule=None,
            request_id=number,
            head_only=request is not None and request.method == "HEAD",
            accept=request.accept if request else "",
        )
        detail = request.line if request else why
        self.end_with(whole, Outcome(host, Effect.REFUSE.value, decision, reason, detail, status, id=number))

    def _named_by(self, request: Request | None, reason: str) -> Named | None:
        """What a refused request asked for, unless it asked for another origin than its connection's."""
        if request is None or request.authority is None or reason == "mismatch":
            return None
        return self.workings.view(self.client).decide(request.authority.host)

    def end_with(self, whole: bytes, outcome: Outcome) -> None:
        """Answer what is refused."""
        self._report(self.workings.clock(), outcome._replace(sent=len(whole)))
        self.link.write(whole)
        self._end()

    def _show(self, request: Request, named: Named, status: int, reason: str, why: str) -> None:
        decision, number = named.decision, new_request_id()
        whole = answer(
            status,
            reason,
            host=named.host.text,
            why=why,
            rule=decision.rule,
            request_id=number,
            head_only=request.method == "HEAD",
            accept=request.accept,
        )
        line = (named.host.text, named.effect.value, decision, reason, request.line, status)
        self.end_with(whole, Outcome(*line, id=number))

    def _report(self, began_at: float, outcome: Outcome) -> None:
        self.workings.report(self.client, began_at, outcome)

    def _end_exchange(self, exchange: Exchange, reason: str) -> None:
        self.exchange = None
        exchange.abandon()
        self._report(exchange.began_at, exchange.outcome(reason))

    def _end(self) -> None:
        """Say goodbye, then read on for a while: closing over unread bytes would reset what was just sent."""
        self._buffer = b""
        self._lingering = True
        self.relaying = False
        self._deadline = self.workings.loop.time() + self._limits.linger_s
        self.link.finish()
        if self.link.eof and self.link.finished:
            self._close()
        else:
            self.link.resume()

    def _close(self) -> None:
        self.link.close()
        self._unpin()
        self.workings.gone(self)

    def _unpin(self) -> None:
        if self._pinned is not None:
            self._pinned.close()
            self._pinned = None

    # The register's side

    @property
    def idle(self) -> bool:
        return self.exchange is None and not self._lingering

    def check(self, now: float) -> None:
        exchange = self.exchange
        if now < self._deadline and not (exchange is not None and self._too_slow(exchange, now)):
            return
        if self._lingering and self.link.unsent and not self.link.closed and not self._extended:
            # The last answer is still on its way to a slow reader: one idle time more, then it is cut.
            self._extended, self._deadline = True, now + self._limits.response_idle_s
        elif exchange is not None and exchange.response is None:
            slow = not exchange.upload_done and not exchange.origin_congested
            exchange.abandon()
            self.on_exchange_failed(exchange, 408 if slow else 504, "timeout", "nothing came for too long")
        elif exchange is not None:
            self._end_exchange(exchange, "timeout")
            self._close()
        elif self._head_due:
            self.refuse(408, "timeout", "the head of the request took too long")
        else:
            if not self._lingering:
                self._note_unused("UNUSED")
                self.link.finish()
            self._close()

    def _too_slow(self, exchange: Exchange, now: float) -> bool:
        """Whether an upload trickles, over a window in which we were reading."""
        limits = self._limits
        if exchange.upload_done or self.relaying or not self.link.reading or exchange.link is None:
            self._window_from, self._window_bytes = now, 0
            return False
        if now - self._window_from < limits.rate_window_s:
            return False
        slow = self._window_bytes < limits.min_upload_bytes_s * limits.rate_window_s
        self._window_from, self._window_bytes = now, 0
        return slow

    def recheck(self) -> None:
        view, exchange, opened = self.workings.view(self.client), self.exchange, self.place.opened
        if exchange is not None and self.relaying:
            named = now_decided(opened, view) if opened else view.decide(exchange.named.host)
            if named.effect in (Effect.BLOCK_PAGE, Effect.REFUSE):
                self._end_exchange(exchange, "policy-change")
                self._close()
        elif opened is not None and now_decided(opened, view).effect is Effect.TUNNEL:
            self._outlived = True
            if self.idle and not self._buffer:
                self._end()

    def abort(self, reason: str = "shutdown") -> None:
        if self.exchange is not None:
            self._end_exchange(self.exchange, reason)
        elif self.client.device in self.workings.revoked and not self._lingering:
            host = self.place.name.text if self.place.name else ""
            self._report(self.workings.clock(), Outcome(host, Effect.REFUSE.value, reason=reason))
        self._close()
