"""What each enforcement point can see, and what it does with a decision.

These two tables are the contract between the four points; the documentation and ``steering check``
print from them.
"""

from enum import Enum

from steering.policy.decision import Decision
from steering.policy.facts import Fact
from steering.policy.model import Action
from steering.policy.points import Effect, Point


class Stage(Enum):
    """How far a point has got with a flow."""

    PAC_ANONYMOUS = "PAC whose requester is not attributed"
    PAC_TOKEN = "PAC fetched with a group's token"  # noqa: S105  # no secret, its name
    PAC_ADDRESS = "PAC fetched from an address"
    DNS_QUERY = "DNS query"
    INSPECTOR_CONNECTION = "connection at the inspector"
    INSPECTOR_AUTHENTICATED = "connection at the inspector, user authenticated"
    INSPECTOR_ATTESTED = "connection at the inspector, attested by the endpoint helper"
    ENDPOINT_UNIDENTIFIED = "connection at the endpoint, program not (yet) identified"
    ENDPOINT_IDENTIFIED = "connection at the endpoint, program identified"


VISIBLE: dict[Stage, frozenset[Fact]] = {
    Stage.PAC_ANONYMOUS: frozenset(),
    Stage.PAC_TOKEN: frozenset(),  # the token's group is claimed besides; the address may change under a laptop
    Stage.PAC_ADDRESS: frozenset({Fact.SOURCE}),
    Stage.DNS_QUERY: frozenset({Fact.SOURCE}),
    Stage.INSPECTOR_CONNECTION: frozenset({Fact.SOURCE}),
    Stage.INSPECTOR_AUTHENTICATED: frozenset({Fact.SOURCE, Fact.USER}),
    Stage.INSPECTOR_ATTESTED: frozenset({Fact.SOURCE, Fact.USER, Fact.PROGRAM}),
    Stage.ENDPOINT_UNIDENTIFIED: frozenset({Fact.SOURCE, Fact.USER}),
    Stage.ENDPOINT_IDENTIFIED: frozenset({Fact.SOURCE, Fact.USER, Fact.PROGRAM}),
}


PENDING = "pending"

EFFECTS: dict[Action | str, dict[Point, Effect]] = {
    Action.BYPASS: {
        Point.PAC: Effect.PAC_DIRECT,
        Point.DNS: Effect.DNS_REAL,
        Point.INSPECTOR: Effect.TUNNEL,
        Point.ENDPOINT: Effect.ENDPOINT_DIRECT,
    },
    Action.INSPECT: {
        Point.PAC: Effect.PAC_PROXY,
        Point.DNS: Effect.DNS_INSPECTOR,
        Point.INSPECTOR: Effect.OPEN,
        Point.ENDPOINT: Effect.ENDPOINT_PROXY,
    },
    Action.BLOCK: {
        Point.PAC: Effect.PAC_PROXY,
        Point.DNS: Effect.DNS_INSPECTOR,
        Point.INSPECTOR: Effect.BLOCK_PAGE,
        Point.ENDPOINT: Effect.ENDPOINT_PROXY,
    },
    # A bypass that something stricter could still withdraw.  The inspector and the helper look further first;
    # this is what stands when there is nothing further to see.
    PENDING: {
        Point.PAC: Effect.PAC_PROXY,
        Point.DNS: Effect.DNS_INSPECTOR,
        Point.INSPECTOR: Effect.OPEN,
        Point.ENDPOINT: Effect.ENDPOINT_PROXY,
    },
}


def effect(point: Point, decision: Decision) -> Effect | None:
    """What ``point`` does with ``decision``, taken with what the point can see at its last stage.

    None only for DNS and a reserved address: addresses are not asked for.
    """
    if decision.reserved is not None:
        return decision.reserved.effect(point)
    if decision.action is Action.BYPASS and decision.pending:
        return EFFECTS[PENDING][point]
    return EFFECTS[decision.action][point]
