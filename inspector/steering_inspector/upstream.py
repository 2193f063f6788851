"""Connections to origins: resolve, check, dial that very address, verify, keep warm.

One request is in flight on a connection; whatever arrives between requests closes it.  An address is used only if
the destination guard lets it pass, after resolution and on each dial (DNS rebinding).  No address ever comes from
a client: ``resolve`` is asked for the name that was decided.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from socket import socket
from typing import NamedTuple, Protocol

from steering.policy.hosts import Address
from steering.streams.link import Link
from steering_inspector.dialling import OnConnected, Race, by_turns
from steering_inspector.origin import fault_of
from steering_inspector.settings import Limits

SESSION_LIFE_S = 3600.0  # a resumed handshake verifies no certificate, so resumption does not outlive an hour
RECENT_S = 2.0
MAX_ADDRESSES = 8
# What a resolver's error says by its ``reason`` -> ours; any other is a failure of the name service.
_NAMELESS = {"nxdomain": "name-unknown", "nodata": "name-unknown", "private": "destination"}

# At once where they are known.
Resolve = Callable[[str], Sequence[Address] | Awaitable[Sequence[Address]]]
OnFailed = Callable[["DialError"], None]
Guard = Callable[[Address, int, bool], str | None]


class DialError(Exception):
    """No connection to the origin.  reason: a key of ``pages.REASONS``; address: of the origin whose TLS failed."""

    def __init__(self, reason: str, why: str, cause: Exception | None = None, address: Address | None = None) -> None:
        super().__init__(why)
        self.reason = reason
        self.why = why
        self.cause = cause
        self.address = address


class Origin(NamedTuple):
    """Where requests go; the key of the pool.  guarded: only opened-up destinations may be dialled."""

    tls: bool
    host: str
    port: int
    guarded: bool = False


class Asker(Protocol):
    """Who waits for a response on an origin's connection."""

    def on_origin_bytes(self, data: bytes) -> None: ...

    def on_origin_eof(self, clean: bool) -> None: ...

    def on_origin_lost(self, error: Exception) -> None: ...

    def on_origin_drained(self) -> None: ...


class OriginLink:
    """A connection to an origin and who is using it.  reused: it has answered before.

    pinned: its origin or client authenticated the connection (NTLM, Negotiate): it serves one client only.
    trust: the revision of trust under which it was verified.  verified_at: by the loop's clock.
    """

    __slots__ = (
        "_on_secured",
        "_on_unsecured",
        "asker",
        "idle_since",
        "link",
        "origin",
        "pinned",
        "pool",
        "reused",
        "trust",
        "verified_at",
    )

    def __init__(self, pool: "Upstreams", origin: Origin, sock: socket) -> None:
        self.pool = pool
        self.origin = origin
        self.link = Link(sock, pool.loop, pool.limits, self)
        self.asker: Asker | None = None
        self.reused = False
        self.pinned = False
        self.trust = pool.trust
        self.idle_since = 0.0
        self.verified_at = 0.0
        self._on_secured: Callable[[OriginLink], None] | None = None
        self._on_unsecured: Callable[[Exception], None] | None = None

    def secure(
        self,
        context: ssl.SSLContext,
        session: ssl.SSLSession | None,
        on_secured: "Callable[[OriginLink], None]",
        on_unsecured: Callable[[Exception], None],
    ) -> None:
        """Begin TLS, and tell once how its handshake ended; be it before this returns."""
        self._on_secured, self._on_unsecured = on_secured, on_unsecured
        try:
            self.link.secure(context, server_side=False, server_hostname=self.origin.host, session=session)
        except ValueError as exc:  # a name that TLS cannot ask for
            self._unsecured(exc)

    def _unsecured(self, exc: Exception) -> None:
        tell, self._on_secured, self._on_unsecured = self._on_unsecured, None, None
        if tell is not None:
            tell(exc)

    def on_secured(self) -> None:
        self.verified_at = self.pool.loop.time()
        tell, self._on_secured, self._on_unsecured = self._on_secured, None, None
        if tell is not None:
            tell(self)

    def on_bytes(self, data: bytes) -> None:
        if self.asker is None:
            self.close()  # bytes that answer nothing: the next response could not be told from them
        else:
            self.asker.on_origin_bytes(data)

    def on_eof(self, clean: bool) -> None:
        self._unsecured(ConnectionResetError("closed in the TLS handshake"))
        if self.asker is None:
            self.close()
        else:
            self.asker.on_origin_eof(clean)

    def on_lost(self, error: Exception) -> None:
        self._unsecured(error)
        self.pool.forget(self)
        if self.asker is not None:
            self.asker.on_origin_lost(error)

    def on_drained(self) -> None:
        if self.asker is not None:
            self.asker.on_origin_drained()

    def close(self) -> None:
        self.asker = self._on_secured = self._on_unsecured = None
        if not self.link.closed:
            if self.link.tls is not None and self.link.secured:
                self.link.finish()
            self.link.close()
        self.pool.forget(self)


class Upstreams:
    """The pool.  ``take`` is synchronous and may find nothing; ``dial`` makes a new connection.

    trust: counts the changes of what origins are verified by.  A resumed handshake verifies nothing, so sessions and
    warm connections of another revision are not used.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        context: ssl.SSLContext,
        resolve: Resolve,
        guard: Guard,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.limits = limits
        self.loop = loop
        self.context = context
        self.trust = 0
        self.resolve = resolve
        self._guard = guard
        self._idle: OrderedDict[Origin, list[OriginLink]] = OrderedDict()
        self._idle_count = 0
        self._sessions: OrderedDict[Origin, tuple[ssl.SSLSession, float]] = OrderedDict()
        self._givers: dict[Origin, OriginLink] = {}  # open ones, of whose sessions none was taken yet
        self._met: OrderedDict[Origin, None] = OrderedDict()
        self._open: set[OriginLink] = set()
        self.dialling: set[_Dial] = set()

    @property
    def counts(self) -> dict[str, int]:
        return {"origin_connections": len(self._open), "origin_idle": self._idle_count}

    def replace_trust(self, context: ssl.SSLContext) -> None:
        """Verify origins by ``context`` from now on; what the old one verified is not used for another request."""
        self.context = context
        self.trust += 1
        self._sessions.clear()
        self._givers.clear()
        for idle in list(self._idle.values()):
            for link in list(idle):
                link.close()

    def take(self, origin: Origin, *, repeatable: bool) -> OriginLink | None:
        """A warm connection.  What may not be repeated gets only one that was used a moment ago: an origin that
        closes an idle connection in the same instant would lose the request.
        """
        idle = self._idle.get(origin)
        while idle:
            found = idle.pop()
            self._idle_count -= 1
            if not idle:
                del self._idle[origin]
            age_s = self.loop.time() - found.idle_since
            if not found.link.closed and age_s <= (self.limits.pool_idle_s if repeatable else RECENT_S):
                return found
            found.close()
        return None

    def give_back(self, used: OriginLink) -> None:
        """The exchange is complete and the connection can serve another."""
        used.asker = None
        if used.trust == self.trust:
            self._gave(used)
        if used.link.closed or used.link.eof or used.link.unsent or used.trust != self.trust:
            used.close()
            return
        if len(self._idle.get(used.origin, ())) >= self.limits.max_pool_idle_per_origin:
            self._idle[used.origin][0].close()
        self._idle.setdefault(used.origin, []).append(used)
        self._idle_count += 1
        used.idle_since = self.loop.time()
        used.reused = True
        used.link.resume()
        while self._idle_count > self.limits.max_pool_idle:
            next(iter(self._idle.values()))[0].close()

    def opened(self, link: OriginLink) -> None:
        self._open.add(link)

    def forget(self, gone: OriginLink) -> None:
        self._open.discard(gone)
        self._gone(gone)
        idle = self._idle.get(gone.origin)
        if idle and gone in idle:
            idle.remove(gone)
            self._idle_count -= 1
            if not idle:
                del self._idle[gone.origin]

    def check(self, now: float) -> None:
        """Close what has been idle for too long.  now: of the loop's clock."""
        for idle in list(self._idle.values()):
            for link in [one for one in idle if now - one.idle_since > self.limits.pool_idle_s]:
                link.close()

    def close(self) -> None:
        for dial in list(self.dialling):
            dial.cancel()
        for link in list(self._open):
            link.close()

    def dial(self, origin: Origin, on_done: Callable[[OriginLink], None], on_failed: OnFailed) -> None:
        """Make a new connection, verified where it is TLS, and tell of it once; be it before this returns."""
        _Dial(self, origin, on_failed, on_link=on_done).start()

    def connect(self, origin: Origin, on_done: OnConnected, on_failed: OnFailed) -> None:
        """Make a TCP connection to the first address that is permitted and answers; as ``dial``, without its TLS."""
        _Dial(self, origin, on_failed, on_connected=on_done).start()

    def permitted(self, origin: Origin, addresses: Sequence[Address]) -> list[Address]:
        """Those of a name's addresses that may be dialled.  Raises DialError where none may."""
        if not addresses:
            raise DialError("name-unknown", "the name has no address")
        permitted: list[Address] = []
        why = ""
        for address in addresses[:MAX_ADDRESSES]:
            refused = self._guard(address, origin.port, origin.guarded)
            if refused is None:
                permitted.append(address)
            else:
                why = why or refused
        if not permitted:
            raise DialError("destination", why)
        return permitted

    def session(self, origin: Origin) -> ssl.SSLSession | None:
        """One that may be resumed."""
        giver = self._givers.pop(origin, None)
        if giver is not None:
            self._remember_session(giver)
        session, since = self._sessions.get(origin, (None, 0.0))
        return session if self.loop.time() - since < SESSION_LIFE_S else None

    def forget_session(self, origin: Origin) -> None:
        self._givers.pop(origin, None)
        self._sessions.pop(origin, None)

    def _gave(self, used: OriginLink) -> None:
        """A verified connection has answered for the first time, so its session may be asked for.

        It is taken when the next dial wants it, or at this connection's end where the origin was dialled before:
        Python copies a session by writing and reading it, a fifth of a millisecond that would be for nothing with
        every origin that is met once.
        """
        if used.link.tls is not None and not used.reused and used.trust == self.trust:
            self._givers[used.origin] = used

    def _gone(self, gone: OriginLink) -> None:
        if self._givers.get(gone.origin) is not gone:
            return
        del self._givers[gone.origin]
        if gone.origin in self._met:
            self._remember_session(gone)
        self._met[gone.origin] = None
        if len(self._met) > self.limits.max_sessions:
            self._met.popitem(last=False)

    def _remember_session(self, giver: OriginLink) -> None:
        tls = giver.link.tls
        if tls is None or tls.session_reused or giver.trust != self.trust:
            return
        session = tls.session
        if session is not None and session.has_ticket:
            self._sessions[giver.origin] = (session, giver.verified_at)
            if len(self._sessions) > self.limits.max_sessions:
                self._sessions.popitem(last=False)


class _Dial:
    """One name on its way to a connection: resolved, judged, connected, secured; all within ``dial_s``."""

    __slots__ = (
        "_link",
        "_on_connected",
        "_on_failed",
        "_on_link",
        "_origin",
        "_pool",
        "_race",
        "_resolving",
        "_timer",
        "_until",
    )

    def __init__(
        self,
        pool: Upstreams,
        origin: Origin,
        on_failed: OnFailed,
        *,
        on_link: Callable[[OriginLink], None] | None = None,
        on_connected: OnConnected | None = None,
    ) -> None:
        self._pool = pool
        self._origin = origin
        self._on_failed = on_failed
        self._on_link = on_link
        self._on_connected = on_connected
        self._until = pool.loop.time() + pool.limits.dial_s
        self._timer: asyncio.TimerHandle | None = pool.loop.call_at(self._until, self._late)
        self._resolving: asyncio.Task[None] | None = None
        self._race: Race | None = None
        self._link: OriginLink | None = None
        pool.dialling.add(self)

    def start(self) -> None:
        try:
            found = self._pool.resolve(self._origin.host)
        except Exception as exc:
            self._nameless(exc)
            return
        if isinstance(found, Sequence):
            self._resolved(found)
        else:
            self._resolving = self._pool.loop.create_task(self._resolve(found))

    async def _resolve(self, answer: Awaitable[Sequence[Address]]) -> None:
        try:
            found = await answer
        except Exception as exc:
            self._resolving = None
            self._nameless(exc)
        else:
            self._resolving = None
            self._resolved(found)

    def _nameless(self, exc: Exception) -> None:
        """Whatever the resolver raises, the name has no address here."""
        if isinstance(exc, TimeoutError):
            self._late()
            return
        reason = _NAMELESS.get(getattr(exc, "reason", ""), "name-failed")
        self._fail(DialError(reason, f"the name could not be resolved: {exc}", exc))

    def _resolved(self, addresses: Sequence[Address]) -> None:
        try:
            permitted = self._pool.permitted(self._origin, addresses)
        except DialError as exc:
            self._fail(exc)
            return
        loop, connect_s = self._pool.loop, self._pool.limits.connect_s
        port = self._origin.port
        self._race = Race(loop, by_turns(permitted), port, connect_s, self._connected, self._unreachable)
        self._race.start()

    def _unreachable(self, exc: Exception) -> None:
        self._fail(DialError("origin-unreachable", fault_of(exc).text, exc))

    def _connected(self, sock: socket, address: Address) -> None:
        pool, origin, self._race = self._pool, self._origin, None
        if self._on_connected is not None:
            self._over()
            self._on_connected(sock, address)
            return
        self._link = link = OriginLink(pool, origin, sock)
        pool.opened(link)
        if not origin.tls:
            link.link.resume()
            self._secured(link)
            return
        self._wait(min(self._until, pool.loop.time() + pool.limits.handshake_s))
        link.secure(pool.context, pool.session(origin), self._secured, lambda exc: self._unsecured(exc, address))

    def _secured(self, link: OriginLink) -> None:
        self._over()
        assert self._on_link is not None
        self._on_link(link)

    def _unsecured(self, exc: Exception, address: Address) -> None:
        self._pool.forget_session(self._origin)
        fault = fault_of(exc)
        self._fail(DialError(fault.reason, fault.text, exc, address))

    def _wait(self, until: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._pool.loop.call_at(until, self._late)

    def _late(self) -> None:
        self._fail(DialError("origin-timeout", "the origin did not answer in time"))

    def _fail(self, error: DialError) -> None:
        self.cancel()
        self._on_failed(error)

    def cancel(self) -> None:
        """End it, and tell of nothing."""
        link, self._link = self._link, None
        self._over()
        if self._race is not None:
            self._race.cancel()
        if self._resolving is not None:
            self._resolving.cancel()
        if link is not None:
            link.close()

    def _over(self) -> None:
        self._pool.dialling.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
