"""When a point may act on a bypass, and how strict the actions are."""

import pytest

from steering.policy import Action, Decision, Fact
from steering.policy.decision import DEFAULT, STRENGTH, RuleMatch


@pytest.mark.parametrize(
    ("action", "pending", "bypasses"),
    [
        (Action.BYPASS, [], True),
        (Action.BYPASS, [Fact.USER], False),
        (Action.INSPECT, [], False),
        (Action.INSPECT, [Fact.PROGRAM], False),
        (Action.BLOCK, [], False),
    ],
)
def test_bypasses(action: Action, pending: list[Fact], bypasses: bool) -> None:
    assert Decision(action, "a rule", "why", frozenset(pending), ()).bypasses is bypasses


def test_what_is_stricter_than_a_bypass_or_may_be() -> None:
    matches = tuple(
        RuleMatch(f"{action.value} {matched}", action, matched, "a.example")
        for action in (Action.BYPASS, Action.INSPECT, Action.BLOCK)
        for matched in (True, None)
    )
    found = Decision(Action.BLOCK, "block True", "why", frozenset(), matches).stricter
    assert [match.rule for match in found] == ["inspect True", "inspect None", "block True", "block None"]
    assert DEFAULT.stricter == ()


def test_the_default_inspects() -> None:
    assert (DEFAULT.action, DEFAULT.rule, DEFAULT.pending, DEFAULT.matches) == (Action.INSPECT, None, frozenset(), ())
    assert not DEFAULT.bypasses


def test_the_order_of_strength() -> None:
    assert sorted(Action, key=STRENGTH.__getitem__) == [Action.BYPASS, Action.INSPECT, Action.BLOCK]
