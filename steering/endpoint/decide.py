"""What becomes of a connection at the endpoint, given the names it has shown and who opened it.

Pure.  As at the inspector, a bypass needs every name visible so far to be bypassed, and the strictest effect stands;
what goes direct is dialled by the name that was decided.  Everything else goes through the inspector, which decides
again, with the program attested.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from steering.policy import (
    UNSEEN,
    Action,
    Decision,
    Effect,
    Fact,
    Flow,
    Host,
    Point,
    Policy,
    Program,
    Rule,
    Unseen,
    effect,
)
from steering.policy.decision import STRENGTH
from steering.policy.hosts import Address
from steering.policy.rules import GroupSource, UserSource


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What is known besides the host.  source: as the inspector sees this endpoint.  groups: the device's."""

    source: Address | Unseen = UNSEEN
    user: str | Unseen | None = UNSEEN
    groups: frozenset[str] = frozenset()
    program: Program | Unseen = UNSEEN


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a connection has shown.  authority: what it asked to be connected to.  inner: its SNI, or the Host of
    plain HTTP inside a tunnel; None where it has none, or has not shown it yet.
    """

    authority: Host
    inner: Host | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A decided name."""

    host: Host
    decision: Decision
    effect: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What to do.  direct: dial ``dial`` here; else through the inspector.  named: of the strictest name.

    waits: the facts that are not known and could still change it.
    blocks: a rule blocks one of the names, or may, so not even a dead inspector lets it go direct.
    """

    direct: bool
    named: Named
    dial: Host
    waits: frozenset[Fact]
    blocks: bool


def decide_name(policy: Policy, host: Host, facts: Facts, at: float) -> Named:
    flow = Flow(host=host, source=facts.source, user=facts.user, groups=facts.groups, program=facts.program)
    decision = policy.decide(flow, at)
    return Named(host=host, decision=decision, effect=effect(Point.ENDPOINT, decision) or Effect.ENDPOINT_PROXY)


def course(policy: Policy, hosts: Sequence[Host], facts: Facts, at: float) -> Course:
    """The course of a connection that shows ``hosts``, the one to dial first."""
    return _strictest([decide_name(policy, host, facts, at) for host in hosts])


def course_of(policy: Policy, shown: Shown, facts: Facts, at: float) -> Course:
    """The course of a connection by everything it has shown.

    An address with a name inside is decided and dialled by that name, unless a rule wants, or may want, that very
    address inspected or blocked; an address that a client supplies is never dialled for a bypass by domain.
    """
    outer = decide_name(policy, shown.authority, facts, at)
    if shown.inner is None or shown.inner == shown.authority:
        return _strictest([outer])
    inner = decide_name(policy, shown.inner, facts, at)
    if shown.authority.address is None or not shown.inner.is_name:
        return _strictest([outer, inner])
    if outer.effect is Effect.ENDPOINT_DIRECT or not outer.decision.stricter:
        return _strictest([inner])
    found = _strictest([inner, outer])
    # By itself the address would be inspected anyhow; here it matters whether such a rule matches.
    unseen = (match.unseen for match in outer.decision.stricter if match.matched is None)
    return replace(found, waits=found.waits.union(*unseen))


def waits_for_program(policy: Policy, hosts: Sequence[Host], facts: Facts, at: float) -> bool:
    """Whether more knowledge of the program could still change the course: if not, nobody need look for it."""
    return Fact.PROGRAM in course(policy, hosts, facts, at).waits


def asks_who(rules: Sequence[Rule]) -> bool:
    """Whether any rule asks for a program or a user, so that connections are worth identifying."""
    return any(rule.programs or any(map(_names_users, rule.source)) for rule in rules)


def _strictest(named: Sequence[Named]) -> Course:
    kept = [n for n in named if n.effect is not Effect.ENDPOINT_DIRECT]
    return Course(
        direct=not kept,
        named=max(kept or named[:1], key=lambda n: STRENGTH[n.decision.action]),
        dial=named[0].host,
        waits=frozenset().union(*(n.decision.pending for n in named)),
        blocks=any(match.action is Action.BLOCK for n in named for match in n.decision.stricter),
    )


def _names_users(source: object) -> bool:
    return isinstance(source, UserSource) or (isinstance(source, GroupSource) and bool(source.users))
