"""One line per decision: what an enforcement point reports to its sink."""

from collections.abc import Callable
from typing import NamedTuple

from steering.policy.decision import Decision
from steering.policy.points import Point


class Access(NamedTuple):
    """What happened to one request, connection or query.

    at: seconds since the epoch when it began.  effect: an ``Effect`` value, as "tunnel".
    rule, why, pending: from the decision.  reason: the named reason of a refusal or fault ("no-sni"), or "".
    detail: the request line of an opened request, the qtype of a query; text of the peer, so escaped by the writer.
    sent, received: bytes towards and from the client.  id: the number on the page that the person was shown, or "".
    """

    at: float
    point: Point
    client: str
    host: str
    effect: str
    rule: str | None
    why: str
    pending: tuple[str, ...] = ()
    reason: str = ""
    detail: str = ""
    status: int = 0
    sent: int = 0
    received: int = 0
    duration_ms: float = 0.0
    user: str = ""
    program: str = ""
    id: str = ""


Sink = Callable[[Access], None]


def pending_names(decision: Decision) -> tuple[str, ...]:
    """The pending facts as text, in a fixed order."""
    return tuple(sorted(fact.value for fact in decision.pending))
