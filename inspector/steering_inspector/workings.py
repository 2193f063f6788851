"""What every connection of one inspector shares: policy, leaves, origins, the sink, the clock, the register."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_hex
from typing import NamedTuple, Protocol

from steering.policy.access import Access, Sink, pending_names
from steering.policy.decision import DEFAULT, Decision
from steering.policy.hosts import Address
from steering.policy.live import Live
from steering.policy.points import Point
from steering_inspector.conversation import View
from steering_inspector.settings import InspectorSettings, Limits
from steering_inspector.upstream import Upstreams


class Leaves(Protocol):
    """Where server contexts come from (``leaves.LeafContexts``)."""

    def get(self, host: str, now: float) -> ssl.SSLContext: ...


class HandshakeFailure(NamedTuple):
    """Evidence that a client did not take our certificate.

    alert: as OpenSSL names it ("TLSV1_ALERT_UNKNOWN_CA"), "EOF", "RESET", or "CLOSED-UNUSED" for a handshake that
    was completed and closed without a byte of application data.  duration_ms: since the ClientHello.
    """

    at: float
    sni: str
    client: str
    alert: str
    received: int
    duration_ms: float


class Connection(Protocol):
    """Something that holds a client's connection."""

    def check(self, now: float) -> None:
        """Act on a deadline that has passed (``now`` of the loop's clock)."""

    def recheck(self) -> None:
        """The policy or the time has changed: end what may no longer be."""

    @property
    def idle(self) -> bool:
        """Whether it can be closed without losing anything."""

    def abort(self) -> None: ...


class Outcome(NamedTuple):
    """How one request, tunnel or refusal ended; becomes one access line."""

    host: str
    effect: str
    decision: Decision | None = None
    reason: str = ""
    detail: str = ""
    status: int = 0
    sent: int = 0
    received: int = 0
    id: str = ""


@dataclass(slots=True, kw_only=True)
class Workings:
    """draining: no new requests on kept-alive connections."""

    settings: InspectorSettings
    live: Live
    leaves: Leaves | None
    upstreams: Upstreams
    sink: Sink
    clock: Callable[[], float]
    loop: asyncio.AbstractEventLoop
    on_handshake_failure: Callable[[HandshakeFailure], None] | None = None
    connections: set[Connection] = field(default_factory=set)
    per_client: Counter[Address] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    draining: bool = False

    @property
    def limits(self) -> Limits:
        return self.settings.limits

    def view(self, client: Address) -> View:
        return View(
            policy=self.live.policy,
            client=client,
            at=self.clock(),
            settings=self.settings,
            can_open=self.leaves is not None,
        )

    def report(self, client: str, began_at: float, outcome: Outcome) -> None:
        decision = outcome.decision or DEFAULT
        self.counters[outcome.effect] += 1
        if outcome.reason:
            self.counters[f"reason:{outcome.reason}"] += 1
        self.sink(
            Access(
                at=began_at,
                point=Point.INSPECTOR,
                client=client,
                host=outcome.host,
                effect=outcome.effect,
                rule=decision.rule,
                why=decision.why if outcome.decision else "",
                pending=pending_names(decision) if decision.pending else (),
                reason=outcome.reason,
                detail=outcome.detail,
                status=outcome.status,
                sent=outcome.sent,
                received=outcome.received,
                id=outcome.id,
                duration_ms=max(0.0, (self.clock() - began_at) * 1000),
            )
        )

    def spawn(self, coroutine: "asyncio._CoroutineLike[None]") -> asyncio.Task[None]:
        task: asyncio.Task[None] = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def gone(self, connection: Connection, client: Address) -> None:
        """A client's connection has ended."""
        if connection in self.connections:
            self.connections.discard(connection)
            self.per_client[client] -= 1
            if self.per_client[client] <= 0:
                del self.per_client[client]

    def becomes(self, old: Connection, new: Connection) -> None:
        """The same client's connection is now held by ``new``."""
        if old in self.connections:
            self.connections.discard(old)
            self.connections.add(new)


def new_request_id() -> str:
    return token_hex(6)
