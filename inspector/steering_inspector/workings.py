"""What every connection of one inspector shares: policy, leaves, origins, the sink, the clock, the register."""

import asyncio
import ssl
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from secrets import token_hex
from typing import NamedTuple, Protocol

from steering.policy import Policy
from steering.policy.access import Access, Sink, pending_names
from steering.policy.decision import DEFAULT, Decision
from steering.policy.facts import Program
from steering.policy.hosts import Address
from steering.policy.live import Live
from steering.policy.points import Point
from steering_inspector.conversation import Attested, View
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

    @property
    def client(self) -> "Client": ...

    def abort(self, reason: str = "shutdown") -> None:
        """End at once.  reason: for the access line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """Who holds a connection.  device: of a helper's certificate, "" for everybody else."""

    address: Address
    device: str = ""
    attested: Attested | None = None
    text: str = field(init=False, repr=False, compare=False, default="")

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", str(self.address))  # wanted for every line

    @property
    def counted(self) -> Address | str:
        """As whom it is counted: a device by itself, since a whole office may share one address."""
        return self.device or self.address

    @property
    def user(self) -> str:
        return self.attested.user if self.attested and isinstance(self.attested.user, str) else ""

    @property
    def program(self) -> str:
        seen = self.attested.program if self.attested else None
        return seen.names[0] if isinstance(seen, Program) else ""


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


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """A policy, and the time in which no time condition of it begins or ends: it decides alike throughout."""

    policy: Policy
    since: float
    until: float


@dataclass(slots=True, kw_only=True)
class Workings:
    """draining: no new requests on kept-alive connections.  revoked: devices whose helpers are not listened to."""

    settings: InspectorSettings
    live: Live
    leaves: Leaves | None
    upstreams: Upstreams
    sink: Sink
    clock: Callable[[], float]
    loop: asyncio.AbstractEventLoop
    on_handshake_failure: Callable[[HandshakeFailure], None] | None = None
    connections: set[Connection] = field(default_factory=set)
    per_client: Counter[Address | str] = field(default_factory=Counter)
    counters: Counter[str] = field(default_factory=Counter)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    draining: bool = False
    revoked: frozenset[str] = frozenset()
    limits: Limits = field(init=False)
    _span: "Span | None" = None

    def __post_init__(self) -> None:
        self.limits = self.settings.limits

    def span(self) -> "Span":
        """The span that holds now.  The same object stands for the same decisions."""
        span, policy, now = self._span, self.live.policy, self.clock()
        if span is None or span.policy is not policy or not span.since <= now < span.until:
            until = policy.next_change(now)
            span = self._span = Span(policy, now, float("inf") if until is None else until)
        return span

    def view(self, client: Client) -> View:
        can_open = self.leaves is not None
        return View(self.live.policy, client.address, self.clock(), self.settings, can_open, client.attested)

    def report(self, client: Client, began_at: float, outcome: Outcome) -> None:
        decision = outcome.decision or DEFAULT
        counters, reason = self.counters, outcome.reason
        counters[outcome.effect] += 1
        if reason:
            counters[f"reason:{reason}"] += 1
        known = client.attested is not None
        self.sink(
            Access(
                began_at,
                Point.INSPECTOR,
                client.text,
                outcome.host,
                outcome.effect,
                decision.rule,
                decision.why if outcome.decision else "",
                pending_names(decision) if decision.pending else (),
                reason,
                outcome.detail,
                outcome.status,
                outcome.sent,
                outcome.received,
                max(0.0, (self.clock() - began_at) * 1000),
                client.user if known else "",
                client.program if known else "",
                outcome.id,
            )
        )

    def spawn(self, coroutine: "asyncio._CoroutineLike[None]") -> asyncio.Task[None]:
        task: asyncio.Task[None] = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def gone(self, connection: Connection) -> None:
        """A client's connection has ended."""
        if connection in self.connections:
            self.connections.discard(connection)
            self._uncount(connection.client)

    def _uncount(self, client: Client) -> None:
        counted = client.counted
        left = self.per_client[counted] - 1
        if left > 0:
            self.per_client[counted] = left
        else:
            del self.per_client[counted]

    def becomes(self, old: Connection, new: Connection) -> None:
        """The same connection is now held by ``new``, which may know more of the client."""
        if old in self.connections:
            self.connections.discard(old)
            self.connections.add(new)
            if new.client is not old.client:
                self._uncount(old.client)
                self.per_client[new.client.counted] += 1


_ID_BYTES = 6
_ids: list[str] = []


def new_request_id() -> str:
    """Twelve hexadecimal digits that nobody can guess; the system is asked for two hundred of them at once."""
    if not _ids:
        digits = token_hex(200 * _ID_BYTES)
        _ids.extend(digits[at : at + 2 * _ID_BYTES] for at in range(0, len(digits), 2 * _ID_BYTES))
    return _ids.pop()
