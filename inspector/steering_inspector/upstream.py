"""Connections to origins: resolve, check, dial that very address, verify, keep warm.

One request is in flight on a connection; whatever arrives between requests closes it.  An address is used only if
the destination guard lets it pass, after resolution and on each dial (DNS rebinding).  No address ever comes from
a client: ``resolve`` is asked for the name that was decided.
"""

import asyncio
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_STREAM, TCP_NODELAY, socket
from typing import NamedTuple, Protocol

from steering.policy.hosts import Address
from steering.streams.link import Link
from steering_inspector.origin import fault_of
from steering_inspector.settings import Limits

SESSION_LIFE_S = 3600.0  # a resumed handshake verifies no certificate, so resumption does not outlive an hour
RECENT_S = 2.0
MAX_ADDRESSES = 8
# What a resolver's error says by its ``reason`` -> ours; any other is a failure of the name service.
_NAMELESS = {"nxdomain": "name-unknown", "nodata": "name-unknown", "private": "destination"}
STAGGER_S = 0.25

Resolve = Callable[[str], Awaitable[Sequence[Address]]]
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
    trust: the revision of trust under which it was verified.
    """

    __slots__ = ("_secured", "asker", "idle_since", "link", "origin", "pinned", "pool", "reused", "trust")

    def __init__(self, pool: "Upstreams", origin: Origin, sock: socket) -> None:
        self.pool = pool
        self.origin = origin
        self.link = Link(sock, pool.loop, pool.limits, self)
        self.asker: Asker | None = None
        self.reused = False
        self.pinned = False
        self.trust = pool.trust
        self.idle_since = 0.0
        self._secured: asyncio.Future[None] | None = None

    async def secure(self, context: ssl.SSLContext, session: ssl.SSLSession | None) -> None:
        self._secured = self.pool.loop.create_future()
        self.link.secure(context, server_side=False, server_hostname=self.origin.host, session=session)
        await self._secured

    def on_secured(self) -> None:
        if self._secured is not None and not self._secured.done():
            self._secured.set_result(None)

    def on_bytes(self, data: bytes) -> None:
        if self.asker is None:
            self.close()  # bytes that answer nothing: the next response could not be told from them
        else:
            self.asker.on_origin_bytes(data)

    def on_eof(self, clean: bool) -> None:
        if self._secured is not None and not self._secured.done():
            self._secured.set_exception(ConnectionResetError("closed in the TLS handshake"))
        if self.asker is None:
            self.close()
        else:
            self.asker.on_origin_eof(clean)

    def on_lost(self, error: Exception) -> None:
        if self._secured is not None and not self._secured.done():
            self._secured.set_exception(error)
        self.pool.forget(self)
        if self.asker is not None:
            self.asker.on_origin_lost(error)

    def on_drained(self) -> None:
        if self.asker is not None:
            self.asker.on_origin_drained()

    def close(self) -> None:
        self.asker = None
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
        self._resolve = resolve
        self._guard = guard
        self._idle: OrderedDict[Origin, list[OriginLink]] = OrderedDict()
        self._idle_count = 0
        self._sessions: OrderedDict[Origin, tuple[ssl.SSLSession, float]] = OrderedDict()
        self._open: set[OriginLink] = set()

    @property
    def counts(self) -> dict[str, int]:
        return {"origin_connections": len(self._open), "origin_idle": self._idle_count}

    def replace_trust(self, context: ssl.SSLContext) -> None:
        """Verify origins by ``context`` from now on; what the old one verified is not used for another request."""
        self.context = context
        self.trust += 1
        self._sessions.clear()
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
            self._remember_session(used)
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

    def forget(self, gone: OriginLink) -> None:
        self._open.discard(gone)
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
        for link in list(self._open):
            link.close()

    async def dial(self, origin: Origin) -> OriginLink:
        """A new connection, verified where it is TLS.  Raises DialError."""
        try:
            async with asyncio.timeout(self.limits.dial_s):
                sock, address = await self.connect(origin.host, origin.port, guarded=origin.guarded)
                link = OriginLink(self, origin, sock)
                self._open.add(link)
                if not origin.tls:
                    link.link.resume()
                    return link
                try:
                    async with asyncio.timeout(self.limits.handshake_s):
                        await link.secure(self.context, self._session(origin))
                except BaseException as exc:
                    link.close()
                    # ValueError: a name that TLS cannot ask for
                    if isinstance(exc, (OSError, ValueError)) and not isinstance(exc, TimeoutError):
                        self._sessions.pop(origin, None)
                        fault = fault_of(exc)
                        raise DialError(fault.reason, fault.text, exc, address) from exc
                    raise
                return link
        except TimeoutError as exc:
            raise DialError("origin-timeout", "the origin did not answer in time") from exc

    async def connect(self, host: str, port: int, *, guarded: bool) -> tuple[socket, Address]:
        """A TCP connection to the first address of ``host`` that is permitted and answers.  Raises DialError."""
        try:
            addresses = await self._resolve(host)
        except TimeoutError:
            raise
        except Exception as exc:  # whatever the resolver raises, the name has no address here
            reason = _NAMELESS.get(getattr(exc, "reason", ""), "name-failed")
            raise DialError(reason, f"the name could not be resolved: {exc}") from exc
        if not addresses:
            raise DialError("name-unknown", "the name has no address")
        why = [self._guard(address, port, guarded) for address in addresses[:MAX_ADDRESSES]]
        permitted = [address for address, refused in zip(addresses, why, strict=False) if refused is None]
        if not permitted:
            raise DialError("destination", next(filter(None, why)))
        try:
            return await self._first_of(_by_turns(permitted), port)
        except (OSError, TimeoutError) as exc:
            raise DialError("origin-unreachable", fault_of(exc).text, exc) from exc

    async def _first_of(self, addresses: list[Address], port: int) -> tuple[socket, Address]:
        """A connection to the first that answers.  Each next one is tried when one has failed, or has not answered
        within STAGGER_S: a family that leads nowhere costs a moment, not a timeout (RFC 8305).
        """
        if len(addresses) == 1:
            return await self._connect_to(addresses[0], port), addresses[0]
        trying: dict[asyncio.Task[socket], Address] = {}
        failed: BaseException = TimeoutError()
        waiting = list(addresses)
        try:
            while waiting or trying:
                if waiting:
                    address = waiting.pop(0)
                    trying[self.loop.create_task(self._connect_to(address, port))] = address
                stagger_s = STAGGER_S if waiting else None
                done, _ = await asyncio.wait(trying, timeout=stagger_s, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    address = trying.pop(task)
                    error = task.exception()
                    if error is None:
                        return task.result(), address
                    failed = error
            raise failed
        finally:
            for task in trying:
                task.add_done_callback(_drop)
                task.cancel()

    async def _connect_to(self, address: Address, port: int) -> socket:
        sock = socket(AF_INET if address.version == 4 else AF_INET6, SOCK_STREAM)
        try:
            sock.setblocking(False)
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            async with asyncio.timeout(self.limits.connect_s):
                await self.loop.sock_connect(sock, (str(address), port))
        except BaseException:
            sock.close()
            raise
        return sock

    def _session(self, origin: Origin) -> ssl.SSLSession | None:
        session, since = self._sessions.get(origin, (None, 0.0))
        return session if self.loop.time() - since < SESSION_LIFE_S else None

    def _remember_session(self, used: OriginLink) -> None:
        tls = used.link.tls
        if tls is None or used.reused:
            return
        session = tls.session
        if session is not None and session.has_ticket and not tls.session_reused:
            self._sessions[used.origin] = (session, self.loop.time())
            if len(self._sessions) > self.limits.max_sessions:
                self._sessions.popitem(last=False)


def _by_turns(addresses: list[Address]) -> list[Address]:
    """The families alternating, in the order given otherwise."""
    first = [address for address in addresses if address.version == addresses[0].version]
    second = [address for address in addresses if address.version != addresses[0].version]
    return [address for pair in zip_longest(first, second) for address in pair if address is not None]


def _drop(task: "asyncio.Task[socket]") -> None:
    """Close what a race has won too late."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
