"""What each point sees, and does: both tables whole, as the design prints them."""

import pytest

from steering.policy import EFFECTS, RESERVED, VISIBLE, Action, Decision, Fact, Point, RuleMatch, Stage, effect
from steering.policy.effects import PENDING

SOURCE, USER, PROGRAM = Fact.SOURCE, Fact.USER, Fact.PROGRAM


def test_what_is_visible() -> None:
    assert {
        Stage.PAC_ANONYMOUS: set(),
        Stage.PAC_TOKEN: set(),
        Stage.PAC_ADDRESS: {SOURCE},
        Stage.DNS_QUERY: {SOURCE},
        Stage.INSPECTOR_CONNECTION: {SOURCE},
        Stage.INSPECTOR_AUTHENTICATED: {SOURCE, USER},
        Stage.INSPECTOR_ATTESTED: {SOURCE, USER, PROGRAM},
        Stage.ENDPOINT_UNIDENTIFIED: {SOURCE, USER},
        Stage.ENDPOINT_IDENTIFIED: {SOURCE, USER, PROGRAM},
    } == VISIBLE


def test_the_table_of_effects() -> None:
    rows = {
        str(action.value if isinstance(action, Action) else action): tuple(row[point].value for point in Point)
        for action, row in EFFECTS.items()
    }
    assert rows == {
        "bypass": ("DIRECT", "real", "tunnel", "direct"),
        "inspect": ("PROXY", "inspector", "open", "proxy"),
        "block": ("PROXY", "inspector", "block", "proxy"),
        "pending": ("PROXY", "inspector", "open", "proxy"),
    }


def decision(action: Action, pending: frozenset[Fact] = frozenset()) -> Decision:
    return Decision(action, "a rule", "why", pending, (RuleMatch("a rule", action, True, "zoom.us"),))


@pytest.mark.parametrize("point", Point)
@pytest.mark.parametrize(
    ("action", "pending", "row"),
    [
        (Action.BYPASS, frozenset(), Action.BYPASS),
        (Action.BYPASS, frozenset({USER}), PENDING),
        (Action.INSPECT, frozenset(), Action.INSPECT),
        (Action.INSPECT, frozenset({USER}), Action.INSPECT),  # a block that may match counts as inspect
        (Action.BLOCK, frozenset(), Action.BLOCK),
    ],
)
def test_the_effect_of_a_decision(point: Point, action: Action, pending: frozenset[Fact], row: Action | str) -> None:
    assert effect(point, decision(action, pending)) is EFFECTS[row][point]


@pytest.mark.parametrize("point", Point)
@pytest.mark.parametrize("entry", RESERVED, ids=lambda entry: entry.key)
def test_a_reserved_name_has_its_own(point: Point, entry: object) -> None:
    reserved = next(e for e in RESERVED if e is entry)
    assert effect(point, decision(reserved.action)._replace(reserved=reserved)) is reserved.effect(point)
