"""The inspector as a service: listeners, accepting, the clock that enforces deadlines, draining.

One instance runs on one event loop; several processes each run one on shared ports.
"""

import asyncio
import errno
import logging
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from hashlib import sha256
from ipaddress import ip_address
from socket import IPPROTO_TCP, SHUT_WR, TCP_NODELAY, gethostname, socket

from steering.policy import Effect, Policy
from steering.policy.access import Sink
from steering.policy.live import Live
from steering.policy.networks import NetworkMap
from steering.streams.link import UNOWNED, Link
from steering_inspector.front import Front
from steering_inspector.guard import destination_guard
from steering_inspector.heads import C_PARSER
from steering_inspector.pages import reason_of
from steering_inspector.preface import Preface, begin_connect
from steering_inspector.session import Place, Session, Way
from steering_inspector.settings import InspectorSettings
from steering_inspector.upstream import Resolve, Upstreams
from steering_inspector.workings import Client, HandshakeFailure, Leaves, Outcome, Workings

log = logging.getLogger("steering.inspector")

TICK_S = 0.5
ACCEPTS_PER_WAKE = 32
BACK_OFF_S = 0.2
LEAVE_S = 0.5  # for a client that is turned away to read why
MAX_LEAVING = 256
_NO_DESCRIPTORS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))
_TURNED_AWAY = {
    "client": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "overloaded": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}

Begin = Callable[[Workings, socket, Client], None]


class Inspector:
    """Construct within a running event loop, then ``start`` with bound and listening sockets.

    leaves: None while the CA is missing or unusable: bypasses are tunnelled, everything else is refused.
    resolve: the addresses of a name, by the service's own upstreams (never the split answer).
    on_handshake_failure: told of clients that do not take our certificates.
    endpoint_tls: of the listener for helpers; it must require a certificate of the device CA.
    revoked: devices that this listener does not listen to.
    """

    def __init__(
        self,
        settings: InspectorSettings,
        live: Live,
        leaves: Leaves | None,
        origin_tls: ssl.SSLContext,
        resolve: Resolve,
        sink: Sink,
        clock: Callable[[], float] = time.time,
        on_handshake_failure: Callable[[HandshakeFailure], None] | None = None,
        endpoint_tls: ssl.SSLContext | None = None,
        revoked: frozenset[str] = frozenset(),
    ) -> None:
        if not settings.advertised:
            settings = replace(settings, advertised=own_name())
        if not C_PARSER:
            raise RuntimeError("aiohttp is installed without its C parsers, whose strictness the inspector relies on")
        loop = asyncio.get_running_loop()
        upstreams = Upstreams(
            limits=settings.limits,
            context=origin_tls,
            resolve=resolve,
            guard=destination_guard(settings, self._listening),
            loop=loop,
        )
        self._workings = Workings(
            settings=settings,
            live=live,
            leaves=leaves,
            upstreams=upstreams,
            sink=sink,
            clock=clock,
            loop=loop,
            on_handshake_failure=on_handshake_failure,
            revoked=revoked,
        )
        self._endpoint_tls = endpoint_tls
        self._allowed = NetworkMap((network, True) for network in settings.allowed)
        self._listeners: dict[socket, Begin] = {}
        self._fenced: set[socket] = set()  # those that serve the allowed networks only
        self._leaving: set[socket] = set()
        self._own: frozenset[tuple[str, int]] = frozenset()
        self._ticking: asyncio.Task[None] | None = None
        self._swept_at = loop.time()
        live.subscribe(self._on_swap)

    def _on_swap(self, policy: Policy) -> None:
        if not self._workings.loop.is_closed():  # a swap may come from another thread, and after our end
            self._workings.loop.call_soon_threadsafe(self._recheck)

    def _listening(self) -> frozenset[tuple[str, int]]:
        return self._own

    def start(
        self,
        explicit: Sequence[socket] = (),
        tls: Sequence[socket] = (),
        http: Sequence[socket] = (),
        endpoint: Sequence[socket] = (),
    ) -> None:
        """Accept on bound, listening sockets, by kind: explicit proxy, transparent by SNI, transparent by Host, and
        for helpers, which may come from any network: their certificates let them in.
        """
        if endpoint and (self._endpoint_tls is None or self._endpoint_tls.verify_mode is not ssl.CERT_REQUIRED):
            raise ValueError("a listener for helpers needs endpoint_tls, which requires their certificates")
        kinds: tuple[tuple[Sequence[socket], Begin], ...] = (
            (explicit, _explicit),
            (tls, _transparent_tls),
            (http, _transparent_http),
            (endpoint, self._endpoint),
        )
        for listeners, begin in kinds:
            self._fenced.update(() if begin == self._endpoint else listeners)
            for listener in listeners:
                listener.setblocking(False)
                self._listeners[listener] = begin
                self._accept_on(listener)
        if self._workings.leaves is None and self._listeners:
            log.error("no usable certificate authority: only bypasses are passed, everything else is refused")
        self._own |= self._workings.settings.own | {_name(listener) for listener in self._listeners}
        if self._ticking is None:
            self._ticking = self._workings.loop.create_task(self._tick())

    def replace_leaves(self, leaves: Leaves | None) -> None:
        """Use another CA from now on (rotation, repair); None: refuse all that would be opened."""
        self._workings.leaves = leaves
        if leaves is None:
            log.error("the certificate authority has become unusable: only bypasses are passed")

    def replace_trust(self, origin_tls: ssl.SSLContext) -> None:
        """Verify origins by another context from now on (a changed trust file)."""
        self._workings.upstreams.replace_trust(origin_tls)

    def replace_revoked(self, revoked: frozenset[str]) -> None:
        """Listen to these devices no more, and end what they have open."""
        self._workings.revoked = revoked
        for connection in list(self._workings.connections):
            if connection.client.device in revoked:
                self._guarded(connection.abort, "device-revoked")

    def counters(self) -> dict[str, int]:
        """Totals since the start by effect and ``reason:NAME``, and what is open now."""
        clients = self._workings.per_client
        devices = sum(isinstance(key, str) for key in clients)
        now = {"connections": len(self._workings.connections), "clients": len(clients), "devices": devices}
        return dict(self._workings.counters) | now | self._workings.upstreams.counts

    # Accepting

    def _endpoint(self, workings: Workings, sock: socket, client: Client) -> None:
        assert self._endpoint_tls is not None
        front = Front(workings, Link(sock, workings.loop, workings.limits, UNOWNED), client)
        workings.connections.add(front)
        front.start(self._endpoint_tls)

    def _accept_on(self, listener: socket) -> None:
        if listener.fileno() >= 0 and listener in self._listeners:
            self._workings.loop.add_reader(listener.fileno(), self._accept, listener)

    def _back_off(self, listener: socket, reason: str) -> None:
        """Leave the queue to the kernel for a moment instead of spinning on a socket that stays readable."""
        self._workings.counters[f"accept:{reason}"] += 1
        self._workings.loop.remove_reader(listener.fileno())
        self._workings.loop.call_later(BACK_OFF_S, self._accept_on, listener)

    def _accept(self, listener: socket) -> None:
        workings = self._workings
        for _ in range(ACCEPTS_PER_WAKE):
            if len(workings.connections) >= workings.limits.max_connections:
                self._back_off(listener, "full")
                return
            try:
                sock, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno in _NO_DESCRIPTORS:
                    self._back_off(listener, "no-descriptors")
                return
            self._admit(listener, sock, peer)

    def _admit(self, listener: socket, sock: socket, peer: object) -> None:
        workings = self._workings
        sock.setblocking(False)
        client = _client_at(str(peer[0]) if isinstance(peer, tuple) else "127.0.0.1")
        if listener in self._fenced and not self._allowed.holding(client.address):
            self._turn_away(listener, sock, client, "client")
        elif workings.per_client[client.counted] >= workings.limits.max_connections_per_client:
            self._turn_away(listener, sock, client, "overloaded")
        else:
            with suppress(OSError):
                sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            workings.per_client[client.counted] += 1
            self._listeners[listener](workings, sock, client)

    def _turn_away(self, listener: socket, sock: socket, client: Client, reason: str) -> None:
        if self._listeners[listener] in _SPEAK_HTTP:
            with suppress(OSError):
                sock.send(_TURNED_AWAY[reason])
                sock.shutdown(SHUT_WR)
            self._close_soon(sock)
        else:
            sock.close()
        outcome = Outcome("", Effect.REFUSE.value, reason=reason, status=reason_of(reason).status)
        self._workings.report(client, self._workings.clock(), outcome)

    def _close_soon(self, sock: socket) -> None:
        """Closing over what the client has sent would reset the answer away, so let it read that first."""
        if len(self._leaving) >= MAX_LEAVING:
            sock.close()
            return
        self._leaving.add(sock)
        self._workings.loop.call_later(LEAVE_S, self._left, sock)

    def _left(self, sock: socket) -> None:
        self._leaving.discard(sock)
        sock.close()

    # The clock

    async def _tick(self) -> None:
        workings = self._workings
        while True:
            await asyncio.sleep(TICK_S)
            now = workings.loop.time()
            for connection in list(workings.connections):
                self._guarded(connection.check, now)
            workings.upstreams.check(now)
            if now - self._swept_at >= workings.limits.sweep_s:
                self._recheck()

    def _recheck(self) -> None:
        """Re-decide what lasts: after a swap at once, and now and then because time conditions begin and end."""
        self._swept_at = self._workings.loop.time()
        for connection in list(self._workings.connections):
            self._guarded(connection.recheck)

    def _guarded(self, act: Callable[..., None], *args: float | str) -> None:
        try:
            act(*args)
        except Exception:  # one connection's fault must not stop the clock of all others
            self._workings.counters["internal-error"] += 1
            log.exception("a connection could not be checked")

    # The end

    async def drain(self, timeout_s: float) -> None:
        """Accept no more, let exchanges and tunnels end for at most ``timeout_s``, then close."""
        self._stop_accepting()
        self._workings.draining = True
        deadline = self._workings.loop.time() + timeout_s
        while self._workings.connections and self._workings.loop.time() < deadline:
            for connection in list(self._workings.connections):
                if connection.idle:
                    connection.abort()
            await asyncio.sleep(0.05)
        await self.close()

    async def close(self) -> None:
        """Close everything at once."""
        self._stop_accepting()
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking
            self._ticking = None
        for connection in list(self._workings.connections):
            self._guarded(connection.abort)
        for task in list(self._workings.tasks):
            task.cancel()
        await asyncio.gather(*self._workings.tasks, return_exceptions=True)
        self._workings.upstreams.close()
        for sock in list(self._leaving):
            self._left(sock)

    def _stop_accepting(self) -> None:
        for listener in list(self._listeners):
            if listener.fileno() >= 0:
                self._workings.loop.remove_reader(listener.fileno())
                listener.close()
        self._listeners.clear()


def own_name() -> str:
    """What this machine's inspectors call themselves; tells origins nothing of how the machine is called."""
    return f"steering-{sha256(gethostname().encode()).hexdigest()[:8]}"


def _explicit(workings: Workings, sock: socket, client: Client) -> None:
    _session(workings, sock, client, Way.EXPLICIT)


def _transparent_http(workings: Workings, sock: socket, client: Client) -> None:
    _session(workings, sock, client, Way.BY_HOST)


def _session(workings: Workings, sock: socket, client: Client, way: Way) -> None:
    link = Link(sock, workings.loop, workings.limits, UNOWNED)
    session = Session(workings, link, client, Place(way=way), begin_connect if way is Way.EXPLICIT else None)
    workings.connections.add(session)
    link.resume()


def _transparent_tls(workings: Workings, sock: socket, client: Client) -> None:
    link = Link(sock, workings.loop, workings.limits, UNOWNED)
    preface = Preface(workings, link, client, None)
    workings.connections.add(preface)
    link.resume()


_SPEAK_HTTP = frozenset((_explicit, _transparent_http))


@lru_cache(maxsize=4096)
def _client_at(text: str) -> Client:
    """Who calls from an address; a Unix socket's peer has none, and is this machine."""
    address = ip_address(text.partition("%")[0])
    return Client(address=getattr(address, "ipv4_mapped", None) or address)


def _name(listener: socket) -> tuple[str, int]:
    name = listener.getsockname()
    return str(name[0]), int(name[1])
