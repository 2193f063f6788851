"""Three values: yes, no and unknown; unknown is not no."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy import UNSEEN, Flow, parse_host
from steering.policy.facts import Ternary, all_of, any_of

# Kleene's tables, whole: both operands, then OR, then AND.
TABLE: list[tuple[Ternary, Ternary, Ternary, Ternary]] = [
    (True, True, True, True),
    (True, None, True, None),
    (True, False, True, False),
    (None, True, True, None),
    (None, None, None, None),
    (None, False, None, False),
    (False, True, True, False),
    (False, None, None, False),
    (False, False, False, False),
]


@pytest.mark.parametrize(("one", "other", "either", "both"), TABLE)
def test_tables(one: Ternary, other: Ternary, either: Ternary, both: Ternary) -> None:
    assert any_of([one, other]) is either
    assert all_of([one, other]) is both


def test_of_nothing() -> None:
    assert any_of([]) is False
    assert all_of([]) is True


answers = st.lists(st.sampled_from([True, False, None]))


@given(answers)
def test_unknown_is_what_could_still_be_either(given_answers: list[Ternary]) -> None:
    known = [[answer] if answer is not None else [True, False] for answer in given_answers]
    ways: list[list[bool]] = [[]]
    for choices in known[:8]:
        ways = [[*way, choice] for way in ways for choice in choices]
    for combine, plain in ((any_of, any), (all_of, all)):
        outcomes = {plain(way) for way in ways}
        assert combine(given_answers[:8]) is (outcomes.pop() if len(outcomes) == 1 else None)


@given(answers)
def test_de_morgan(given_answers: list[Ternary]) -> None:
    negated = [None if answer is None else not answer for answer in given_answers]
    either, both = any_of(given_answers), all_of(negated)
    assert either is (None if both is None else not both)


def test_a_flow_knows_nothing_but_its_host_unless_told() -> None:
    flow = Flow(host=parse_host("zoom.us"))
    assert (flow.source, flow.user, flow.program, flow.groups) == (UNSEEN, UNSEEN, UNSEEN, frozenset())
    assert repr(UNSEEN) == "UNSEEN"
