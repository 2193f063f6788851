"""Asks several upstreams in turn until one gives a usable reply, the well ones first.

Shell over ``exchange``.  An upstream that fails twice in a row is asked last for a while; nothing is asked twice at
one time of one upstream.
"""

import asyncio
import ssl
from collections.abc import Callable
from time import monotonic

from steering_dns.exchange import NO_EDNS, Asking, ExchangeError, exchange_with
from steering_dns.upstreams import Transport, Upstream
from steering_dns.wire import FORMERR, NOERROR, NOTIMP, NXDOMAIN

TRY_S = (1.0, 2.5)  # an attempt of the first round, of the second: a name may just be slow to resolve
ROUNDS = len(TRY_S)
UNWELL_AFTER = 2  # failures in a row
UNWELL_S = 15.0

Usable = Callable[[bytes], None]


class ForwardError(Exception):
    """No upstream gave a usable reply; the text says what the last one did."""


class _Health:
    """plain: it was seen to understand questions without EDNS only."""

    __slots__ = ("exchange", "failures", "looped", "plain", "unwell_until")

    def __init__(self, exchange: Asking) -> None:
        self.exchange = exchange
        self.failures = 0
        self.unwell_until = 0.0
        self.looped = self.plain = False


class Forwarder:
    """tls: verifies DoT and DoH upstreams; the system's trust by default."""

    def __init__(self, tls: ssl.SSLContext | None = None, clock: Callable[[], float] = monotonic) -> None:
        self._tls = tls
        self._clock = clock
        self._health: dict[Upstream, _Health] = {}
        self.asked = self.failed = 0

    async def ask(
        self, upstreams: tuple[Upstream, ...], name: bytes, qtype: int, flags: int, *, within_s: float
    ) -> bytes:
        """A reply to the lower-case ``name``: its id and question match, it is whole.  flags: 1 DO, 2 CD.

        The question in it is put back to lower case.  Raises ForwardError after ``within_s`` at the latest.
        """
        self.asked += 1
        why, fallback = "no upstream is configured", None
        try:
            async with asyncio.timeout(within_s):
                ranked = self._ranked(upstreams)
                for upstream, try_s in ((upstream, try_s) for try_s in TRY_S for upstream in ranked):
                    try:
                        reply = await self._try(upstream, name, qtype, flags, try_s)
                    except ForwardError as exc:
                        why = str(exc)
                        continue
                    if reply[3] & 0x0F in (NOERROR, NXDOMAIN):
                        return reply
                    why, fallback = f"{upstream} answered rcode {reply[3] & 0x0F}", reply
        except TimeoutError:
            pass
        if fallback is not None:
            return fallback
        self.failed += 1
        raise ForwardError(why)

    def mark_looped(self, upstream: Upstream) -> None:
        """Never ask it again: its answers come from ourselves."""
        self._of(upstream).looped = True

    def close(self) -> None:
        for health in self._health.values():
            health.exchange.close()
        self._health.clear()

    def _of(self, upstream: Upstream) -> _Health:
        if upstream not in self._health:
            secure = upstream.transport in (Transport.TLS, Transport.HTTPS)
            if secure and self._tls is None:
                self._tls = ssl.create_default_context()
            self._health[upstream] = _Health(exchange_with(upstream, self._tls if secure else None))
        return self._health[upstream]

    def _ranked(self, upstreams: tuple[Upstream, ...]) -> list[Upstream]:
        now = self._clock()
        usable = [upstream for upstream in upstreams if not self._of(upstream).looped]
        return sorted(usable, key=lambda upstream: self._of(upstream).unwell_until > now)

    async def _try(self, upstream: Upstream, name: bytes, qtype: int, flags: int, try_s: float) -> bytes:
        health = self._of(upstream)
        try:
            async with asyncio.timeout(try_s):
                reply = await _ask_whole(health, name, qtype, flags)
        except (TimeoutError, ExchangeError) as exc:
            health.failures += 1
            if health.failures >= UNWELL_AFTER:
                health.unwell_until = self._clock() + UNWELL_S
            raise ForwardError(str(exc) or f"{upstream} does not answer in time") from exc
        health.failures, health.unwell_until = 0, 0.0
        return reply[:12] + name + reply[12 + len(name) :]


async def _ask_whole(health: _Health, name: bytes, qtype: int, flags: int) -> bytes:
    """A reply that is not cut, without EDNS where the upstream does not know it (RFC 6891 7)."""
    reply = await health.exchange.ask(name, qtype, flags | NO_EDNS if health.plain else flags)
    if not health.plain and reply[3] & 0x0F in (FORMERR, NOTIMP) and reply[10:12] == b"\0\0":
        reply = await health.exchange.ask(name, qtype, flags | NO_EDNS)
        health.plain = reply[3] & 0x0F in (NOERROR, NXDOMAIN)
    if reply[2] & 0x02:
        raise ExchangeError("the reply is cut although nothing limits it")
    return reply
