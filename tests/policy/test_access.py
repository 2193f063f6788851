"""A line of what a point did."""

import pytest

from steering.policy import Action, Decision, Fact, Point
from steering.policy.access import Access, Sink, pending_names


@pytest.mark.parametrize(
    ("pending", "names"),
    [
        ([], ()),
        ([Fact.USER], ("user",)),
        ([Fact.USER, Fact.SOURCE, Fact.PROGRAM], ("program", "source", "user")),
    ],
)
def test_pending_facts_as_text(pending: list[Fact], names: tuple[str, ...]) -> None:
    assert pending_names(Decision(Action.INSPECT, None, "why", frozenset(pending), ())) == names


def test_a_line_needs_no_more_than_what_happened() -> None:
    lines: list[Access] = []
    sink: Sink = lines.append
    sink(Access(1.5, Point.DNS, "192.0.2.7", "zoom.us", "real", "a rule", "why"))
    assert lines[0]._asdict() == {
        "at": 1.5, "point": Point.DNS, "client": "192.0.2.7", "host": "zoom.us", "effect": "real", "rule": "a rule",
        "why": "why", "pending": (), "reason": "", "detail": "", "status": 0, "sent": 0, "received": 0,
        "duration_ms": 0.0, "user": "", "program": "", "id": "",
    }  # fmt: skip
