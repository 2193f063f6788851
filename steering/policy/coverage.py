"""Which rule is enforceable at which point, by what the point can see (VISIBLE) and keep."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from steering.policy.effects import VISIBLE, Stage
from steering.policy.facts import Fact
from steering.policy.model import Action
from steering.policy.points import Point
from steering.policy.rules import GroupSource, Rule, RuleSet, UserSource


class Cover(Enum):
    """The values are what the table of ``steering check`` prints."""

    YES = "yes"
    BY_ADDRESS = "per source address"
    BY_GROUP = "per group's link"
    AUTHENTICATED = "if authenticated"
    ATTESTED = "if attested"
    PARTLY = "in part"
    NO = "no"
    OFF = "off"


# The stages of a point, plainest first, and what a rule that needs this stage is said to be.
STAGES: dict[Point, tuple[tuple[Stage, Cover], ...]] = {
    Point.PAC: ((Stage.PAC_ANONYMOUS, Cover.YES), (Stage.PAC_ADDRESS, Cover.BY_ADDRESS)),
    Point.DNS: ((Stage.DNS_QUERY, Cover.YES),),
    Point.INSPECTOR: (
        (Stage.INSPECTOR_CONNECTION, Cover.YES),
        (Stage.INSPECTOR_AUTHENTICATED, Cover.AUTHENTICATED),
        (Stage.INSPECTOR_ATTESTED, Cover.ATTESTED),
    ),
    Point.ENDPOINT: ((Stage.ENDPOINT_IDENTIFIED, Cover.YES),),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Coverage:
    """One row of the table.  why: for each point that does not enforce the rule alike, the reason."""

    rule: str
    action: Action
    points: dict[Point, Cover]
    why: dict[Point, str]

    def as_json(self) -> dict[str, object]:
        return {
            "rule": self.rule,
            "action": self.action.value,
            "points": {point.value: cover.value for point, cover in self.points.items()},
            "why": {point.value: why for point, why in self.why.items()},
        }


def coverage(rule_set: RuleSet, at: float) -> tuple[Coverage, ...]:
    """A row for every rule, in file order, as things stand at the instant ``at``."""
    return tuple(_row(rule, at) for rule in rule_set.rules)


def needs(rule: Rule) -> tuple[frozenset[Fact], ...]:
    """The facts that each alternative of a rule's source asks for, with those that all of them ask for."""
    always = frozenset({Fact.PROGRAM}) if rule.programs else frozenset()
    if not rule.source:
        return (always,)
    alternatives: dict[frozenset[Fact], None] = {}
    for source in rule.source:
        match source:
            case UserSource():
                alternatives[always | {Fact.USER}] = None
            case GroupSource():
                if source.networks:
                    alternatives[always | {Fact.SOURCE}] = None
                if source.users:
                    alternatives[always | {Fact.USER}] = None
            case _:
                alternatives[always | {Fact.SOURCE}] = None
    return tuple(alternatives)


def blind_points(rule: Rule) -> tuple[Point, ...]:
    """The points that cannot see all that the rule asks for without the help of another."""
    hidden: set[Fact] = set().union(*needs(rule))
    return tuple(p for p in Point if not hidden <= _plainly_visible(p))


def _plainly_visible(point: Point) -> frozenset[Fact]:
    # A PAC fetched from an address is the usual case; a user or program is never a PAC's to see.
    return VISIBLE[Stage.PAC_ADDRESS] if point is Point.PAC else VISIBLE[STAGES[point][0][0]]


def _row(rule: Rule, at: float) -> Coverage:
    judged = {point: _judge(rule, point, at) for point in Point}
    return Coverage(
        rule=rule.name,
        action=rule.action,
        points={point: cover for point, (cover, _) in judged.items()},
        why={point: why for point, (_, why) in judged.items() if why},
    )


def _judge(rule: Rule, point: Point, at: float) -> tuple[Cover, str]:
    if not rule.enabled:
        return Cover.OFF, ""
    asked = needs(rule)
    if not asked:
        return Cover.NO, "its groups are empty, so it matches nothing"
    if point is Point.DNS and rule.addresses and not (rule.domains or rule.categories):
        return Cover.NO, "nobody asks a resolver for an address"
    if point is Point.PAC and rule.action is Action.BYPASS and _ends_or_is_to_come(rule, at):
        return Cover.NO, "browsers keep a PAC for hours, so a bypass with a time is left to the other points"
    for stage, cover in STAGES[point]:
        if all(facts <= VISIBLE[stage] for facts in asked):
            return cover, ""
    last = STAGES[point][-1][0]
    hidden = _listed(set().union(*asked) - VISIBLE[last])
    if any(facts <= VISIBLE[last] for facts in asked):
        return Cover.PARTLY, f"the {hidden} is not visible there"
    if point is Point.PAC and _only_groups(rule) and not rule.programs:
        return Cover.BY_GROUP, ""
    return Cover.NO, f"the {hidden} is not visible there{_meanwhile(rule)}"


def _only_groups(rule: Rule) -> bool:
    return bool(rule.source) and all(isinstance(source, GroupSource) for source in rule.source)


def _meanwhile(rule: Rule) -> str:
    if rule.action is Action.BYPASS:
        return "; it is sent to the inspector"
    return "; bypasses that it could withdraw go to the inspector"


def _ends_or_is_to_come(rule: Rule, at: float) -> bool:
    return rule.expires_at is not None or not rule.in_time(at)


def _listed(facts: Iterable[Fact]) -> str:
    wanted = set(facts)
    return " and ".join(fact.value for fact in Fact if fact in wanted)
