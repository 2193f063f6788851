"""Asks several upstreams in turn until one gives a usable reply, the well ones first.

Shell over ``exchange``.  An upstream that fails twice in a row is asked last for a while; nothing is asked twice at
one time of one upstream.
"""

import asyncio
import ssl
from collections.abc import Callable
from time import monotonic

from steering_dns.exchange import Asking, ExchangeError, exchange_with
from steering_dns.upstreams import Upstream
from steering_dns.wire import NOERROR, NXDOMAIN

TRY_S = 1.0  # one attempt
ROUNDS = 2
UNWELL_AFTER = 2  # failures in a row
UNWELL_S = 15.0

Usable = Callable[[bytes], None]


class ForwardError(Exception):
    """No upstream gave a usable reply; the text says what the last one did."""


class _Health:
    __slots__ = ("exchange", "failures", "looped", "unwell_until")

    def __init__(self, exchange: Asking) -> None:
        self.exchange = exchange
        self.failures = 0
        self.unwell_until = 0.0
        self.looped = False


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
                for upstream in self._ranked(upstreams) * ROUNDS:
                    try:
                        reply = await self._try(upstream, name, qtype, flags)
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
            if self._tls is None:
                self._tls = ssl.create_default_context()
            self._health[upstream] = _Health(exchange_with(upstream, self._tls))
        return self._health[upstream]

    def _ranked(self, upstreams: tuple[Upstream, ...]) -> list[Upstream]:
        now = self._clock()
        usable = [upstream for upstream in upstreams if not self._of(upstream).looped]
        return sorted(usable, key=lambda upstream: self._of(upstream).unwell_until > now)

    async def _try(self, upstream: Upstream, name: bytes, qtype: int, flags: int) -> bytes:
        health = self._of(upstream)
        try:
            async with asyncio.timeout(TRY_S):
                reply = await health.exchange.ask(name, qtype, flags)
        except (TimeoutError, ExchangeError) as exc:
            health.failures += 1
            if health.failures >= UNWELL_AFTER:
                health.unwell_until = self._clock() + UNWELL_S
            raise ForwardError(str(exc) or f"{upstream} does not answer in time") from exc
        health.failures, health.unwell_until = 0, 0.0
        return reply[:12] + name + reply[12 + len(name) :]
