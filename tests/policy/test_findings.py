"""Findings are in the order of the file, and nothing in them steers a terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy.findings import Finding, Pointer, Severity, in_order, json_pointer, printable


@pytest.mark.parametrize(
    ("tokens", "text"),
    [
        ((), ""),
        (("rules", 0, "domains", 12), "/rules/0/domains/12"),
        (("groups", "a/b~c"), "/groups/a~1b~0c"),  # RFC 6901 3
        (("groups", ""), "/groups/"),
        (("groups", "\x1b[2J"), "/groups/\\x1b[2J"),
    ],
)
def test_json_pointer(tokens: Pointer, text: str) -> None:
    assert json_pointer(tokens) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("bücher", "bücher"),
        ("a\nb\x1b[2J", "a\\nb\\x1b[2J"),
        ("\u202egnp.exe", "\\u202egnp.exe"),  # turns the reading direction round
        ("\ud800", "\\ud800"),
        ("", ""),
    ],
)
def test_printable(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(("length", "shown"), [(9, "x" * 9), (10, "x" * 10), (11, "x" * 7 + "...")])
def test_the_limit_of_what_is_shown(length: int, shown: str) -> None:
    assert printable("x" * length, 10) == shown


@given(st.text())
def test_whatever_is_shown_is_one_line(text: str) -> None:
    assert printable(text).isprintable()
    assert len(printable(text)) <= 200


def finding(line: int, column: int, severity: Severity = Severity.WARNING, code: str = "a") -> Finding:
    return Finding(severity=severity, code=code, message="m", line=line, column=column)


def test_order() -> None:
    ordered = [
        finding(0, 0),
        finding(1, 9),
        finding(2, 1, Severity.ERROR, "z"),
        finding(2, 1, Severity.NOTE, "a"),
        finding(2, 1, Severity.WARNING, "b"),
        finding(10, 1),
    ]
    assert in_order(reversed(ordered)) == tuple(ordered)


def test_as_json() -> None:
    found = Finding(
        severity=Severity.ERROR, code="value", message="m", advice="a", pointer=("rules", 0), rule="r", line=3, column=5
    )
    assert found.as_json() == {
        "severity": "error", "code": "value", "message": "m", "advice": "a", "pointer": "/rules/0", "rule": "r",
        "line": 3, "column": 5,
    }  # fmt: skip
