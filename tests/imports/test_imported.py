"""What all importers share: names apart, entries tidied, and a reason for what a rule cannot hold."""

import pytest

from steering.imports.imported import Collected, Known, Untaken, apart, refusal, rule_name, tidy
from steering.policy.model import Action, RuleModel
from tests.imports.reading import KNOWN


def test_names_are_kept_apart() -> None:
    rules = [RuleModel(name=name) for name in ("a", "b", "a", "a (2)")]
    assert [rule.name for rule in apart(rules, {"b"})] == ["a", "b (2)", "a (2)", "a (2) (2)"]


TIDY = [
    (["A.Example", "a.example."], ["a.example"]),
    (["=a.example", "*.a.example"], ["a.example"]),
    (["*.a.example", "=a.example", "b.example"], ["a.example", "b.example"]),
    (["=a.example"], ["=a.example"]),
    (["*.a.example"], ["*.a.example"]),
    (["a.example", "=a.example"], ["a.example"]),
    (["api-*.a.example", "="], ["api-*.a.example", "="]),
]


@pytest.mark.parametrize(("entries", "tidied"), TIDY)
def test_tidy(entries: list[str], tidied: list[str]) -> None:
    assert tidy(entries) == tidied


REFUSED = [
    ({"domains": ["a.example"]}, ""),
    ({"domains": ["com"]}, "public suffix"),
    ({"domains": [".a.example"]}, "ambiguous"),
    ({"source": ["group:sales"]}, ""),
    ({"source": ["group:nobody"]}, "no group"),
    ({"categories": ["banks"]}, ""),
    ({"categories": ["x"]}, "no category"),
    ({"domains": ["a" * 601]}, "600"),
    ({}, "no condition"),
]


@pytest.mark.parametrize(("rule", "why"), REFUSED)
def test_refusal(rule: dict[str, object], why: str) -> None:
    found = refusal(rule, KNOWN)
    assert why in found
    assert bool(found) == bool(why)


@pytest.mark.parametrize(("length", "kept"), [(149, 149), (150, 150), (151, 150)])
def test_long_names_are_cut(length: int, kept: int) -> None:
    assert len(rule_name("x" * length)) == kept


def test_a_name_is_one_line() -> None:
    assert rule_name(" a\n b\x1b ") == "a b\\x1b"
    assert rule_name(" ") == "Imported"


def test_problems_are_in_the_order_of_lines_and_told_once() -> None:
    into = Collected(Known())
    into.problem(2, "b", "why")
    into.problem(1, "\x1b[31m", "why")
    into.problem(2, "b", "why")
    assert not into.usable(3, Action.BYPASS, "domains", "com", "written")
    found = into.done().problems
    assert [(p.line, p.text) for p in found] == [(1, "\\x1b[31m"), (2, "b"), (3, "written")]
    assert found[1] == Untaken(2, "b", "why")
