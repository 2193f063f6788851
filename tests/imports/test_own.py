"""Rules from another file of our own."""

import json

from hypothesis import given
from hypothesis import strategies as st

from steering.imports.own import read_own
from tests.imports.reading import KNOWN, holds_for_any_text, problems_of, rules_of

MINE = {"name": "mine", "action": "inspect", "domains": ["a.example"], "expires_at": "2027-01-01T00:00:00Z"}


def test_rules_are_taken_as_they_are() -> None:
    shipped = {"name": "shipped", "domains": ["b.example"], "preconfigured": True}
    text = json.dumps({"rules": [MINE, shipped]}, indent=1)
    found = read_own(text, KNOWN)
    assert rules_of(found) == [MINE]
    assert problems_of(found) == [(11, "shipped")]


def test_a_group_that_is_not_there_costs_the_rule() -> None:
    groups = {"far": {"networks": ["10.0.0.0/8"]}}
    text = json.dumps({"groups": groups, "rules": [{"name": "x", "source": ["group:far"], "domains": ["a.example"]}]})
    found = read_own(text, KNOWN)
    assert (rules_of(found), problems_of(found)) == ([], [(1, "x")])


def test_of_a_file_with_an_error_nothing_is_taken() -> None:
    found = read_own(json.dumps({"rules": [MINE, {"name": "y", "domains": ["com"]}]}), KNOWN)
    assert (rules_of(found), problems_of(found)) == ([], [(1, "/rules/1/domains/0")])


@given(st.text())
def test_any_text(text: str) -> None:
    holds_for_any_text(read_own, text)
