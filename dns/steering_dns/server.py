"""The resolver on its sockets: UDP and TCP in, decisions by ``answer``, what must be asked by ``lookup``.

Shell.  The sockets are handed in, bound (and listening) already: their owner keeps them over a restart.
"""

import asyncio
import functools
import socket
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence

from steering.policy import Point
from steering.policy.access import Access, Sink
from steering.policy.live import Live
from steering_dns import wire
from steering_dns.answer import Ask, Snapshot, answer_entry, decide_wire, follow
from steering_dns.cache import Cache, Entry
from steering_dns.forwarder import Forwarder, ForwardError
from steering_dns.https import HttpsConnection
from steering_dns.limiting import Strangers, Verdict
from steering_dns.lookup import STALE_TTL_S, Lookup, LookupFailed
from steering_dns.plan import LOOP_PROBE, Tally
from steering_dns.resolve import Resolver
from steering_dns.secured import Contexts, TlsListener
from steering_dns.settings import DnsSettings
from steering_dns.tcp import TcpConnection
from steering_dns.udp import UdpListener
from steering_dns.upstreams import Upstream
from steering_dns.views import Kind, Said, View

MAX_PROBE_WAIT_S = 600.0  # a zone's server may refuse to say anything of other names for ever
STALE_AFTER_S = 1.8  # stub resolvers give up after 2 s and more
Send = Callable[[bytes], None]
Connection = TcpConnection | HttpsConnection


class DnsServer:
    def __init__(
        self,
        settings: DnsSettings,
        live: Live,
        sink: Sink,
        forwarder: Forwarder,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._live = live
        self._sink = sink
        self._forwarder = forwarder
        self.clock = clock
        self.query_log = settings.query_log
        limits = settings.limits
        self.cache = Cache(max_entries=limits.cache_entries, max_bytes=limits.cache_bytes, stale_s=limits.stale_s)
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._snapshot = Snapshot(settings, live.policy, clock(), self._tallies)
        self.lookup = Lookup(settings, self.cache, forwarder, clock)
        self.counts: Counter[str] = Counter()
        self._asking: Counter[str] = Counter()  # unanswered questions by client
        self._connected: Counter[str] = Counter()
        self._connections: set[Connection] = set()
        self._strangers: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._probing: asyncio.Task[None] | None = None
        self._strange = Strangers(
            per_s=limits.refusals_per_s, burst=limits.refusals_burst, prefixes=limits.refused_prefixes
        )
        self._udp: list[UdpListener] = []
        self._tcp: list[asyncio.Server] = []
        self._secure: list[TlsListener] = []
        self.looped: tuple[Upstream, ...] = ()
        live.subscribe(lambda policy: self._renew(clock()))

    def resolver(self) -> Resolver:
        """Names in the real view, by the same upstreams and cache."""
        return Resolver(self._settings, lambda: self.snapshot(self.clock()), self.lookup, self.clock)

    async def start(
        self,
        udp_sockets: Sequence[socket.socket],
        tcp_sockets: Sequence[socket.socket],
        tls_sockets: Sequence[socket.socket] = (),
        https_sockets: Sequence[socket.socket] = (),
        *,
        contexts: Contexts | None = None,
    ) -> None:
        """Serve on bound UDP and listening TCP sockets, until ``drain`` or ``close``.

        contexts: what the listeners for DNS over TLS and over HTTPS show; without them these are not served.
        """
        loop = asyncio.get_running_loop()
        limits = self._settings.limits
        for sock in udp_sockets:
            self._udp.append(UdpListener(self, sock))
        for sock in tcp_sockets:
            make = functools.partial(TcpConnection, self, limits, limits.tcp_idle_s)
            self._tcp.append(await loop.create_server(make, sock=sock))
        if contexts is not None:
            for sock in tls_sockets:
                make = functools.partial(TcpConnection, self, limits, limits.secure_idle_s)
                self._secure.append(TlsListener(sock, contexts.tls, make))
            for sock in https_sockets:
                self._secure.append(TlsListener(sock, contexts.https, lambda: HttpsConnection(self, limits)))
        self._probing = asyncio.create_task(self._find_loops())

    async def drain(self, timeout_s: float) -> None:
        """Take no more questions, answer those that wait, and close."""
        self._stop_listening()
        for connection in tuple(self._connections):
            connection.stop_reading()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=timeout_s)
        self.close()

    def close(self) -> None:
        """Stop at once.  The UDP sockets stay open, they are their owner's; the forwarder is closed too."""
        self._stop_listening()
        for connection in tuple(self._connections):
            connection.abort()
        for task in tuple(self._tasks):
            task.cancel()
        self.lookup.close()
        self._forwarder.close()

    def counters(self) -> dict[str, int]:
        """Questions by what was done and why ("inspector:default", "real:RULE"), and what went wrong."""
        found = {f"{tally.doing}:{tally.why}": tally.count for tally in self._tallies.values()}
        found |= self.counts
        found |= {
            "cache:entries": len(self.cache),
            "cache:bytes": self.cache.size,
            "cache:refreshed": self.lookup.refreshed,
            "cache:stale": self.lookup.stale,
            "refused:rate": self._strange.limited,
            "upstream:asked": self._forwarder.asked,
            "upstream:failed": self._forwarder.failed,
            "upstream:unusable": self.lookup.unusable,
            "upstream:looped": len(self.looped),
            "rebinding:filtered": self.lookup.filtered,
            "tcp:connections": len(self._connections),
        }
        return found

    def answer(self, packet: bytes, client: str, send: Send, *, udp: bool) -> bool:
        """Answer now or later through ``send``.  False: there will be no answer."""
        now = self.clock()
        snapshot = self.snapshot(now)
        view = snapshot.views.of(client)
        if udp and view.kind is Kind.REFUSED and not self.may_refuse(packet, client, now, send):
            return True
        try:
            found = decide_wire(packet, view, snapshot, self.cache, now, udp=udp, client=client)
        except Exception:  # a fault of ours must cost its packet, not the service; counted, never a traceback each
            self.counts["internal:error"] += 1
            return False
        if found is None:
            return False
        if self.query_log:
            self.log(packet, view, client, snapshot, now, 0 if isinstance(found, Ask) else len(found))
        if isinstance(found, Ask):
            self.ask(found, client, snapshot, send)
        else:
            send(found)
        if snapshot.popular:
            self.refresh_popular(snapshot)
        return True

    def snapshot(self, now: float) -> Snapshot:
        if not self._snapshot.holds(self._live.policy, now):
            self._renew(now)
        return self._snapshot

    def _renew(self, now: float) -> None:
        self._snapshot = Snapshot(self._settings, self._live.policy, now, self._tallies)

    def may_refuse(self, packet: bytes, client: str, now: float, send: Send) -> bool:
        """Whether a stranger's question is answered in full; where not, what ``limiting`` has for it was sent."""
        verdict = self._strange.verdict(client, now)
        if verdict is Verdict.CUT:
            query = wire.parse_query(packet)
            if isinstance(query, wire.Query):
                send(wire.render(query, wire.REFUSED, limit=0))
        return verdict is Verdict.ANSWER

    def ask(self, ask: Ask, client: str, snapshot: Snapshot, send: Send) -> None:
        """Ask upstreams, and give the answer to ``send``."""
        if self._asking[client] >= self._settings.limits.questions_per_client:
            self.counts["refused:questions per client"] += 1
            send(wire.render(ask.query, wire.SERVFAIL))
            return
        self._asking[client] += 1
        self._spawn(self._finish(ask, client, snapshot, send))

    def refresh_popular(self, snapshot: Snapshot) -> None:
        """Ask anew, before it expires, what clients still ask for."""
        for key, route in snapshot.popular:
            self.lookup.refresh(route, key)
        snapshot.popular.clear()

    async def _finish(self, ask: Ask, client: str, snapshot: Snapshot, send: Send) -> None:
        query = ask.query
        try:
            entry = await self._found(ask)
            if snapshot.follow_cname and ask.route.bypass:
                follow(snapshot, client, entry, self.clock())
            send(answer_entry(query, entry, entry.body(self.clock()), ask.limit))
        except LookupFailed:
            stale = self.lookup.stale_entry(ask.key)
            if stale is not None:
                send(answer_entry(query, stale, stale.stale_body(STALE_TTL_S), ask.limit, wire.EDE_STALE))
                return
            self.counts["servfail:no upstream answers"] += 1
            do = query.edns is not None and query.edns.do
            send(wire.render(query, wire.SERVFAIL, opt=wire.opt_record(0, do=do, ede=wire.EDE_NO_AUTHORITY)))
        finally:
            self._asking[client] -= 1
            if not self._asking[client]:
                del self._asking[client]

    async def _found(self, ask: Ask) -> Entry:
        """The answer of upstreams.  Where there is one that has expired, they have less time (RFC 8767 5); the asking
        goes on, for those who come next.
        """
        if self.cache.get_stale(ask.key, self.clock()) is None:
            return await self.lookup.find(ask.route, ask.key)
        try:
            async with asyncio.timeout(STALE_AFTER_S):
                return await self.lookup.find(ask.route, ask.key)
        except TimeoutError as exc:
            raise LookupFailed("upstreams take too long") from exc

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def log(self, packet: bytes, view: View, client: str, snapshot: Snapshot, now: float, sent: int) -> None:
        """One line for the query log.  sent: 0 where the answer comes later."""
        said = snapshot.said_of(packet, view, now)
        if said is not None:
            self.log_said(said, client, now, sent, len(packet))

    def log_said(self, said: Said, client: str, now: float, sent: int, received: int) -> None:
        """The same where what there is to tell is known.  HOT PATH: with names, a line takes twice as long to make."""
        self._sink(Access._make((now, Point.DNS, client, *said, 0, sent, received, 0.0, "", "", "")))

    async def _find_loops(self) -> None:
        """Ask each upstream, until it answers, for a name that only this service answers: who knows it, asks us."""
        name = wire.to_wire(f"{self._settings.loop_token}.{LOOP_PROBE}")
        groups = (self._settings.upstreams, *self._settings.zones.values())
        unknown = list(dict.fromkeys(u for group in groups for u in group))
        wait_s = self._settings.limits.probe_again_s
        while unknown:
            for upstream in tuple(unknown):
                try:
                    reply = await self._forwarder.ask((upstream,), name, wire.TXT, 0, within_s=3.0)
                except ForwardError:
                    continue
                if reply[3] & 0x0F not in (wire.NOERROR, wire.NXDOMAIN):
                    continue
                unknown.remove(upstream)
                if b"\x04loop" in reply:
                    self._forwarder.mark_looped(upstream)
                    self.looped += (upstream,)
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, MAX_PROBE_WAIT_S)

    def _stop_listening(self) -> None:
        if self._probing is not None:
            self._probing.cancel()
        for listener in self._udp:
            listener.close()
        self._udp.clear()
        for server in self._tcp:
            server.close()
        self._tcp.clear()
        for secure in self._secure:
            secure.close()
        self._secure.clear()

    # What a connection needs of its server.

    def admit(self, connection: Connection, client: str) -> bool:
        """Whether a new connection may stay: nobody holds them all, and strangers, who get REFUSED, only a few."""
        limits = self._settings.limits
        stranger = self.snapshot(self.clock()).views.of(client).kind is Kind.REFUSED
        peers = len(self._strangers) if stranger else len(self._connections) - len(self._strangers)
        full = peers >= (limits.tcp_strangers if stranger else limits.tcp_connections)
        if full or self._connected[client] >= limits.tcp_connections_per_client:
            self.counts["tcp:refused"] += 1
            return False
        self._connections.add(connection)
        if stranger:
            self._strangers.add(connection)
        self._connected[client] += 1
        return True

    def forget(self, connection: Connection, client: str) -> None:
        self._connections.discard(connection)
        self._strangers.discard(connection)
        self._connected[client] -= 1
        if not self._connected[client]:
            del self._connected[client]
