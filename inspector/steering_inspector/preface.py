"""From CONNECT, or a transparent TLS connection, to a tunnel or an opened session.

Reads the ClientHello (its bytes are kept and go on to whoever gets the connection), asks ``conversation``, acts.
"""

import ssl
from contextlib import suppress
from dataclasses import replace
from socket import socket

from steering.formats.clienthello import MalformedHello, NotTls, parse_client_hello
from steering.policy import Effect
from steering.streams.link import Link
from steering_inspector.answers import ESTABLISHED, answer
from steering_inspector.conversation import (
    NO_CA,
    Hello,
    NoHello,
    Open,
    Page,
    Peek,
    Refuse,
    Tunnel,
    on_connect,
    on_hello,
)
from steering_inspector.pages import reason_of
from steering_inspector.request import Request
from steering_inspector.session import Place, Session, Way
from steering_inspector.tunnelled import Tunnelled
from steering_inspector.upstream import DialError, Origin
from steering_inspector.workings import Client, HandshakeFailure, Outcome, Workings, new_request_id


class Preface:
    """A client's connection whose ClientHello is awaited, or whose handshake is going on."""

    def __init__(self, workings: Workings, link: Link, client: Client, peek: Peek | None) -> None:
        self.workings = workings
        self.link = link
        self.client = client
        self.began_at = workings.clock()
        self._peek = peek
        self._buffer = b""
        self._place: Place | None = None
        self._decided = False
        self._lingering = False
        self._deadline = workings.loop.time() + workings.limits.hello_s
        link.owner = self

    def on_bytes(self, data: bytes) -> None:
        if self._decided:
            return
        self._buffer += data
        try:
            found = parse_client_hello(self._buffer)
        except NotTls:
            self._act(NoHello.NOT_TLS)
            return
        except MalformedHello:
            self._act(NoHello.MALFORMED)
            return
        if found is not None:
            alpn = tuple(protocol.decode("latin-1") for protocol in found.alpn)
            self._act(Hello(sni=found.sni or "", alpn=alpn))
        elif len(self._buffer) > self.workings.limits.max_hello_bytes:
            self._act(NoHello.MALFORMED)

    def _act(self, hello: Hello | NoHello) -> None:
        self._decided = True
        match on_hello(hello, self._peek, self.workings.view(self.client)):
            case Tunnel() as step:
                self.link.pause()
                self._deadline = float("inf")  # dialling has its own
                self._tunnel(step)
            case Open() as step:
                self._open(step, None)
            case Page() as step:
                self._open(step, step)
            case Refuse() as step:
                self._refuse(step, alert=isinstance(hello, Hello) or hello is NoHello.MALFORMED)

    # Tunnel

    def _tunnel(self, step: Tunnel) -> None:
        name = step.name
        origin = Origin(False, name.host.text, step.port, name.guarded)
        self.workings.upstreams.connect(
            origin, lambda sock, _: self._connected(step, sock), lambda exc: self._unreachable(step, exc)
        )

    def _connected(self, step: Tunnel, origin: socket) -> None:
        if self.link.closed:
            origin.close()
            return
        tunnelled = Tunnelled(self.workings, self.client, step, self.began_at)
        self.workings.becomes(self, tunnelled)
        tunnelled.start(self.link, origin, self._buffer)

    def _unreachable(self, step: Tunnel, error: DialError) -> None:
        name, status = step.name, reason_of(error.reason).status
        self._report(Outcome(name.host.text, Effect.TUNNEL.value, name.decision, error.reason, error.why, status))
        self._close()

    # Open

    def _open(self, step: Open | Page, page: Page | None) -> None:
        leaves = self.workings.leaves
        name = step.name
        try:
            assert leaves is not None
            context = leaves.get(name.host.text, self.workings.clock())
        except Exception as exc:  # whatever a leaf fails by, the connection is refused, never passed
            why = f"no certificate could be made: {exc}"
            self._refuse(replace(NO_CA, why=why, named=name), alert=True)
            return
        opened = step if isinstance(step, Open) else None
        self._place = Place(way=Way.OPENED, name=name.host, opened=opened, page=page, began_at=self.began_at)
        self._deadline = self.workings.loop.time() + self.workings.limits.handshake_s
        buffer, self._buffer = self._buffer, b""
        self.link.secure(context, server_side=True, first=buffer)

    def on_secured(self) -> None:
        assert self._place is not None
        session = Session(self.workings, self.link, self.client, self._place)
        self.workings.becomes(self, session)

    # The end

    def _refuse(self, step: Refuse, *, alert: bool) -> None:
        named = step.named or (self._peek.named if self._peek else None)
        host = named.host.text if named else ""
        decision = named.decision if named else None
        blocked = step.reason == "blocked"
        effect = Effect.BLOCK_PAGE if blocked else Effect.REFUSE
        self._report(Outcome(host, effect.value, decision, step.reason, step.why, step.status))
        if alert:
            self.link.write(bytes((21, 3, 3, 0, 2, 2, step.alert.value)))
        self._end()

    def on_eof(self, clean: bool) -> None:
        if self._lingering:
            self._close()
        elif self._place is not None:
            self._note("EOF")
        else:
            self._closed_early()

    def on_lost(self, error: Exception) -> None:
        if self._place is not None:
            alert = str(getattr(error, "reason", None) or "RESET")
            self._note("EOF" if "UNEXPECTED_EOF" in alert or isinstance(error, ssl.SSLEOFError) else alert)
        elif not self._lingering:
            self._closed_early()
        else:
            self._close()

    def _note(self, alert: str) -> None:
        """The handshake failed: a line in the log, and evidence for whoever looks for pinned certificates."""
        assert self._place is not None and self._place.name is not None
        sni, note = self._place.name.text, self.workings.on_handshake_failure
        decision = self.workings.view(self.client).decide(self._place.name).decision
        self._report(Outcome(sni, Effect.OPEN.value, decision, "client-handshake", alert, received=self.link.received))
        if note is not None:
            lasted_ms = (self.workings.clock() - self.began_at) * 1000
            note(HandshakeFailure(self.began_at, sni, self.client.text, alert, self.link.received, lasted_ms))
        self._close()

    def _closed_early(self) -> None:
        if self._buffer or self._peek is not None:
            host = self._peek.authority.host.text if self._peek else ""
            outcome = Outcome(host, Effect.REFUSE.value, reason="closed-before-hello", received=self.link.received)
            self._report(outcome)
        self._close()

    def on_drained(self) -> None:
        """Nothing large is sent here."""

    def _report(self, outcome: Outcome) -> None:
        self.workings.report(self.client, self.began_at, outcome)

    def _end(self) -> None:
        self._lingering = True
        self._deadline = self.workings.loop.time() + self.workings.limits.linger_s
        self.link.finish()
        self.link.resume()

    def _close(self) -> None:
        self.link.close()
        self.workings.gone(self)

    @property
    def idle(self) -> bool:
        return False

    def check(self, now: float) -> None:
        if now < self._deadline:
            return
        if self._lingering:
            self._close()
        elif self._place is not None:
            self._note("TIMEOUT")
        else:
            host = self._peek.authority.host.text if self._peek else ""
            self._report(Outcome(host, Effect.REFUSE.value, reason="hello-timeout", received=self.link.received))
            self._close()

    def recheck(self) -> None:
        """Nothing is decided that could have changed: the hello is decided when it is complete."""

    def abort(self, reason: str = "shutdown") -> None:
        if self.client.device in self.workings.revoked:
            host = self._peek.authority.host.text if self._peek else ""
            self._report(Outcome(host, Effect.REFUSE.value, reason=reason, received=self.link.received))
        self._close()


def begin_connect(session: Session, request: Request, rest: bytes) -> None:
    """CONNECT arrived on a connection to the explicit proxy."""
    workings, link, client = session.workings, session.link, session.client
    assert request.authority is not None
    step = on_connect(request.authority, workings.view(client))
    if isinstance(step, Refuse):
        decision = step.named.decision if step.named else None
        host = request.authority.host.text
        number = new_request_id()
        whole = answer(
            step.status, step.reason, host=host, why=step.why, rule=None, request_id=number, accept=request.accept
        )
        outcome = Outcome(host, Effect.REFUSE.value, decision, step.reason, request.line, step.status, id=number)
        session.end_with(whole, outcome)
        return
    preface = Preface(workings, link, client, step)
    workings.becomes(session, preface)
    with suppress(OSError):
        link.write(ESTABLISHED)
    if rest:
        preface.on_bytes(rest)
