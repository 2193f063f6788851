"""The answer to a question that has to be asked: once for all who wait for it, then kept in the cache.

Shell over ``forwarder``; reading the reply is ``reply``'s.
"""

import asyncio
from collections.abc import Callable

from steering_dns import records
from steering_dns.cache import Cache, Entry
from steering_dns.forwarder import Forwarder, ForwardError
from steering_dns.plan import Route
from steering_dns.rebinding import Private
from steering_dns.reply import ReplyError, read_reply
from steering_dns.settings import DnsSettings
from steering_dns.wire import NOERROR, NXDOMAIN

STALE_TTL_S = 30
FAILURE_S = 2.0  # how long a failure is remembered: upstreams in trouble are not hammered
MAX_FAILURES = 4096


class LookupFailed(Exception):
    """No upstream gave an answer that can be used."""


class Lookup:
    def __init__(self, settings: DnsSettings, cache: Cache, forwarder: Forwarder, clock: Callable[[], float]) -> None:
        self._settings = settings
        self._cache = cache
        self._forwarder = forwarder
        self._clock = clock
        self._private = Private(settings.allowed_private)
        self._soa = records.soa(settings.limits.steered_ttl_s)
        self._asking: dict[bytes, asyncio.Task[Entry]] = {}
        self._failed: dict[bytes, tuple[float, str]] = {}
        self.filtered = self.refreshed = self.stale = self.unusable = 0

    @property
    def waiting(self) -> int:
        return len(self._asking)

    async def find(self, route: Route, key: bytes) -> Entry:
        """The fresh answer for a cache key of ``route``.  Raises LookupFailed."""
        now = self._clock()
        entry = self._cache.get(key, now)
        if entry is not None:
            return entry
        until, why = self._failed.get(key, (0.0, ""))
        if now < until <= now + FAILURE_S:
            raise LookupFailed(why)
        task = self._asking.get(key)
        if task is None:
            if len(self._asking) >= self._settings.limits.questions:
                raise LookupFailed("too many questions wait for upstreams")
            task = self._begin(route, key)
        return await asyncio.shield(task)

    def refresh(self, route: Route, key: bytes) -> None:
        """Ask for what is still fresh, unless there is more urgent work."""
        if key not in self._asking and len(self._asking) < self._settings.limits.questions // 4:
            self.refreshed += 1
            self._begin(route, key)

    def _begin(self, route: Route, key: bytes) -> asyncio.Task[Entry]:
        task = self._asking[key] = asyncio.create_task(self._ask(route, key))
        task.add_done_callback(lambda done: self._done(key, done))
        return task

    def stale_entry(self, key: bytes) -> Entry | None:
        """An expired answer, for want of a better one."""
        entry = self._cache.get_stale(key, self._clock())
        self.stale += entry is not None
        return entry

    def close(self) -> None:
        for task in self._asking.values():
            task.cancel()

    def _done(self, key: bytes, task: asyncio.Task[Entry]) -> None:
        self._asking.pop(key, None)
        if not task.cancelled():
            task.exception()  # retrieved: it may be that nobody waits any more

    async def _ask(self, route: Route, key: bytes) -> Entry:
        flags = key[0] >> 1
        start = key.index(b"\0", 1) + 1
        name, qtype = key[start:-4], int.from_bytes(key[-4:-2], "big")
        limits = self._settings.limits
        upstreams = self._settings.zones[route.zone] if route.zone else self._settings.upstreams
        private = self._private if route.filtered else None
        try:
            reply = await self._forwarder.ask(upstreams, name, qtype, flags, within_s=limits.answer_within_s)
            found = read_reply(
                reply,
                name,
                qtype,
                do=bool(flags & 1),
                max_ttl_s=limits.max_ttl_s,
                private=private,
                own_soa=self._soa,
            )
            if found.rcode not in (NOERROR, NXDOMAIN):  # their trouble: neither an answer nor ours to pass on
                raise ReplyError(f"upstreams answered rcode {found.rcode}")
        except (ForwardError, ReplyError) as exc:
            self.unusable += isinstance(exc, ReplyError)
            self._remember_failure(key, str(exc))
            raise LookupFailed(str(exc)) from exc
        self.filtered += found.filtered
        return self._cache.put(key, found, self._clock())

    def _remember_failure(self, key: bytes, why: str) -> None:
        if len(self._failed) >= MAX_FAILURES:
            self._failed.clear()
        self._failed[key] = (self._clock() + FAILURE_S, why)
