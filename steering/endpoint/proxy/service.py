"""The local proxy as a service: listeners, accepting, the clock, draining."""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from ipaddress import ip_address

from steering.endpoint.bundle.content import Bundle
from steering.endpoint.decide import asks_who
from steering.endpoint.identify.identity import Ends, Identity
from steering.endpoint.proxy.connection import Connection, Way
from steering.endpoint.proxy.ends import ends_of, original_ends
from steering.endpoint.proxy.works import Works, reached
from steering.policy import System

log = logging.getLogger("steering.endpoint")

TICK_S = 0.5
ACCEPTS_PER_WAKE = 32
BACK_OFF_S = 0.2
_NO_DESCRIPTORS = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM))


class EndpointProxy:
    """Construct within a running loop, then ``start`` with bound, listening sockets."""

    def __init__(self, works: Works) -> None:
        self._works = works
        self._listeners: dict[socket.socket, Way] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticking: asyncio.Task[None] | None = None
        self._swept_at = works.loop.time()
        self._identifies = True  # whether to look who opened a connection; the rules to come may ask
        works.live.subscribe(self._on_swap)

    def start(self, explicit: Sequence[socket.socket] = (), captured: Sequence[socket.socket] = ()) -> None:
        for listeners, way in ((explicit, Way.EXPLICIT), (captured, Way.CAPTURED)):
            for listener in listeners:
                listener.setblocking(False)
                self._listeners[listener] = way
                self._accept_on(listener)
        names = (listener.getsockname() for listener in self._listeners)
        self._works.own |= {(reached(ip_address(name[0])), int(name[1])) for name in names}
        bundle = self._works.live.bundle
        if bundle is not None:
            self._works.links.use(bundle.inspectors)
            self._identifies = self._works.log_programs or asks_who(bundle.policy.rules)
        if self._ticking is None:
            self._ticking = self._works.loop.create_task(self._tick())

    def _on_swap(self, bundle: Bundle) -> None:
        self._identifies = self._works.log_programs or asks_who(bundle.policy.rules)
        self._works.links.use(bundle.inspectors)
        self._recheck()

    def counters(self) -> dict[str, int]:
        now = {"connections": len(self._tasks) + len(self._works.relays)}
        return dict(self._works.counters) | now

    # Accepting

    def _accept_on(self, listener: socket.socket) -> None:
        if listener.fileno() >= 0 and listener in self._listeners:
            self._works.loop.add_reader(listener.fileno(), self._accept, listener)

    def _back_off(self, listener: socket.socket, reason: str) -> None:
        self._works.counters[f"accept:{reason}"] += 1
        self._works.loop.remove_reader(listener.fileno())
        self._works.loop.call_later(BACK_OFF_S, self._accept_on, listener)

    def _accept(self, listener: socket.socket) -> None:
        works = self._works
        for _ in range(ACCEPTS_PER_WAKE):
            if len(self._tasks) + len(works.relays) >= works.limits.max_connections:
                self._back_off(listener, "full")
                return
            try:
                sock, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as exc:
                if exc.errno in _NO_DESCRIPTORS:
                    self._back_off(listener, "no-descriptors")
                return
            self._admit(sock, self._listeners[listener])

    def _admit(self, sock: socket.socket, way: Way) -> None:
        works = self._works
        try:
            sock.setblocking(False)
            ends = ends_of(sock) if way is Way.EXPLICIT else original_ends(sock)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError:
            sock.close()
            return
        if way is Way.CAPTURED and works.is_own(ends.remote, ends.remote_port):
            sock.close()  # nobody redirected it: it asks this listener for itself
            return
        # Before anything is awaited: a program that ends at once has no owner any more.
        identifies = self._identifies
        identity = self._seen_at_once(ends) if identifies else None
        user = (identity.user or "") if identity is not None else ""
        # Who is not known at once has a share too: any program can see to it that it is not.
        if identifies and works.held[user] >= works.limits.max_user_connections:
            works.counters["accept:user-full"] += 1
            sock.close()
            return
        works.held[user] += 1
        task = works.loop.create_task(Connection(works, sock, ends, identity, way, user).run())
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _seen_at_once(self, ends: Ends) -> Identity | None:
        try:
            return self._works.identifier.fast(ends)
        except Exception as exc:  # a fault in identifying makes the program unknown, which matches no bypass
            self._works.counters["internal-error"] += 1
            log.exception("a connection could not be identified")
            return Identity(system=System.LINUX, unknown=f"identifying failed: {exc}")

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._works.counters["internal-error"] += 1
            log.error("a connection failed", exc_info=error)

    # The clock

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = self._works.loop.time()
            self._guarded(self._works.links.check, now)
            for relay in list(self._works.relays):
                self._guarded(relay.check, now)
            if now - self._swept_at >= self._works.limits.sweep_s:
                self._recheck()

    def _recheck(self) -> None:
        """Re-decide what lasts: after a swap at once, and now and then because time conditions begin and end."""
        self._swept_at = self._works.loop.time()
        for relay in list(self._works.relays):
            self._guarded(relay.recheck)

    def _guarded(self, act: Callable[..., None], *args: float) -> None:
        try:
            act(*args)
        except Exception:  # one connection's fault must not stop the clock of all others
            self._works.counters["internal-error"] += 1
            log.exception("a check failed")

    # The end

    async def close(self) -> None:
        """Accept no more and close everything."""
        for listener in list(self._listeners):
            if listener.fileno() >= 0:
                self._works.loop.remove_reader(listener.fileno())
                listener.close()
        self._listeners.clear()
        if self._ticking is not None:
            self._ticking.cancel()
            with suppress(asyncio.CancelledError):
                await self._ticking
            self._ticking = None
        for relay in list(self._works.relays):
            self._guarded(relay.abort)
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._works.links.close()
