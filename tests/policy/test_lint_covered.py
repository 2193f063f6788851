"""What changes nothing: said of an entry or a rule only if removing it changes no decision, which a property tries."""

import json

import pytest
from hypothesis import given, settings

from steering.policy import Flow, RulesModel, compile_policy
from steering.policy.domains import parse_domain
from steering.policy.lint_covered import covered, overlapping
from steering.policy.rules import Rule, RuleSet, read_rules
from tests.policy.worlds import CATEGORIES, GROUPS, compiled_from, flows, instants, rule_lists

NOW = 1_775_000_000.0


def rule_set_of(*rules: dict[str, object]) -> RuleSet:
    named = [{"name": f"r{i}", **rule} for i, rule in enumerate(rules)]
    return compiled_from(named)


def found(*rules: dict[str, object]) -> list[tuple[str, tuple[str | int, ...]]]:
    return [(f.code, f.pointer[1:]) for f in covered(rule_set_of(*rules), NOW)]


@pytest.mark.parametrize(
    ("wide", "narrow", "holds"),
    [
        ("a.example", "b.a.example", True),
        ("a.example", "*.a.example", True),
        ("a.example", "=a.example", True),
        ("*.a.example", "a.example", False),
        ("*.a.example", "=a.example", False),
        ("*.a.example", "=b.a.example", True),
        ("*.a.example", "b.a.example", True),
        ("*.a.example", "x-*.a.example", True),
        ("x-*.a.example", "=x-1.a.example", True),
        ("x-*.a.example", "x-1.a.example", False),
        ("=a.example", "a.example", False),
        ("a.example", "aa.example", False),
    ],
)
def test_which_entry_covers_which(wide: str, narrow: str, holds: bool) -> None:
    assert parse_domain(wide) != parse_domain(narrow)
    expected = [("covered", (1, "domains", 0)), ("covered-rule", (1,))] if holds else []
    assert [f for f in found({"domains": [wide]}, {"domains": [narrow]}) if f[1][0] == 1] == expected


def test_of_two_equal_entries_the_later_is_needless() -> None:
    one: dict[str, object] = {"domains": ["a.example"]}
    assert found(one, one) == [("duplicate", (1, "domains", 0)), ("covered-rule", (1,))]


def test_a_narrower_condition_covers_nothing() -> None:
    assert found({"domains": ["a.example"], "source": ["10.1.0.0/16"]}, {"domains": ["b.a.example"]}) == []
    assert found({"domains": ["a.example"], "expires_at": "2027-01-01T00:00:00Z"}, {"domains": ["b.a.example"]}) == []
    assert found({"domains": ["a.example"]}, {"domains": ["b.a.example"], "source": ["10.1.0.0/16"]}) == [
        ("covered", (1, "domains", 0)),
        ("covered-rule", (1,)),
    ]


@pytest.mark.parametrize(
    ("wide", "narrow", "holds"),
    [
        ([], ["10.1.0.0/16"], True),
        (["10.0.0.0/8"], ["10.1.0.0/16"], True),
        (["10.0.0.0/8"], ["10.1.0.0/16", "11.0.0.0/16"], False),
        (["10.0.0.0/8", "11.0.0.0/8"], ["10.1.0.0/16", "11.0.0.0/16"], True),
        (["10.0.0.0/8"], ["::1"], False),
        (["10.1.0.0/17"], ["10.1.0.0/16"], False),
        (["group:sales"], ["10.1.2.3"], True),
        (["group:sales"], ["user:ann"], True),
        (["group:sales"], ["user:bob"], False),
        (["group:sales"], ["group:sales"], True),
        (["10.1.0.0/16", "user:ann"], ["group:sales"], False),  # a token may claim the group
        (["user:ann"], ["10.1.0.0/16"], False),
        (["10.1.0.0/16"], ["user:ann"], False),
        (["10.1.0.0/16"], [], False),
    ],
    ids=str,
)
def test_which_source_holds_which(wide: list[str], narrow: list[str], holds: bool) -> None:
    rule: dict[str, object] = {"domains": ["a.example"]}
    expected = [("covered", (1, "domains", 0)), ("covered-rule", (1,))] if holds else []
    other: dict[str, object] = {"domains": ["b.a.example"]}
    assert found(rule | {"source": wide}, other | {"source": narrow}) == expected


def test_a_stricter_rule_takes_the_effect() -> None:
    assert found({"domains": ["b.a.example"]}, {"domains": ["a.example"], "action": "block"}) == [
        ("overruled", (0, "domains", 0)),
        ("overruled-rule", (0,)),
    ]


def test_what_is_disabled_covers_nothing() -> None:
    assert found({"domains": ["a.example"], "enabled": False}, {"domains": ["b.a.example"]}) == []


def test_a_category_covers() -> None:
    assert found({"categories": ["Legal"]}, {"domains": ["x.law.example"]})[0] == ("covered", (1, "domains", 0))


@settings(max_examples=300, deadline=None)
@given(rule_lists, flows, instants)
def test_removing_what_changes_nothing_changes_nothing(
    documents: list[dict[str, object]], flow: Flow, at: float
) -> None:
    before = compile_policy(compiled_from(documents)).decide(flow, at)
    for finding in covered(compiled_from(documents), at=0.0):
        edited = json.loads(json.dumps(documents))
        index = int(finding.pointer[1])
        if len(finding.pointer) == 2:
            edited[index]["enabled"] = False
        else:
            del edited[index]["domains"][int(finding.pointer[3])]
        parsed, problems = read_rules(RulesModel.model_validate({"groups": GROUPS, "rules": edited}), CATEGORIES)
        if problems or parsed is None or parsed.rules[index].any_destination:
            continue  # its last entry: the rule would mean something else
        after = compile_policy(parsed).decide(flow, at)
        assert (after.action, after.bypasses) == (before.action, before.bypasses), finding


@pytest.mark.parametrize(
    ("one", "other", "meets"),
    [
        ({"domains": ["a.example"]}, {"domains": ["b.a.example"]}, True),
        ({"domains": ["=a.example"]}, {"domains": ["b.a.example"]}, False),
        ({"domains": ["a.example"]}, {"domains": ["b.example"]}, False),
        ({"categories": ["Legal"]}, {"domains": ["x.law.example"]}, True),
        ({"source": ["10.1.0.0/16"]}, {"domains": ["x.law.example"]}, True),
        ({"addresses": ["203.0.113.0/24"]}, {"addresses": ["203.0.113.5"]}, True),
        ({"addresses": ["203.0.113.0/24"]}, {"domains": ["a.example"]}, False),
    ],
)
def test_overlapping(one: dict[str, object], other: dict[str, object], meets: bool) -> None:
    rules = rule_set_of(one, other)
    assert overlapping(rules.rules[0], rules.rules[1], rules.categories) is meets
    assert overlapping(rules.rules[1], rules.rules[0], rules.categories) is meets


def test_whether_a_rule_covers_everything_is_asked_of_each_rule_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked of each rule for each other, a file of 100,000 rules took ten minutes."""
    asked: list[int] = []
    answer = Rule.any_destination.fget  # type: ignore[attr-defined]  # a property, of the class

    def counting(rule: Rule) -> bool:
        asked.append(rule.index)
        return bool(answer(rule))

    monkeypatch.setattr(Rule, "any_destination", property(counting))
    rules: list[dict[str, object]] = [{"domains": [f"{letter}.example"]} for letter in "abcd"]
    assert found(*rules) == []
    assert asked == [0, 1, 2, 3]
