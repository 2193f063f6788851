"""The measuring tools themselves: what they print is what they found."""

import json

import pytest

from bench.__main__ import measurements, parse_output, parse_table
from bench.report import Row, quantile, table


@pytest.mark.parametrize(
    ("share", "value"), [(0.0, 1.0), (0.24, 1.0), (0.25, 2.0), (0.5, 3.0), (0.75, 4.0), (0.99, 4.0), (1.0, 4.0)]
)
def test_quantiles_at_their_bounds(share: float, value: float) -> None:
    assert quantile([4.0, 2.0, 1.0, 3.0], share) == value


ROWS: list[Row] = [{"what": "a scan of all", "us": 1234.5, "calls": 3}, {"what": "b", "us": 0.5, "calls": 20_000}]
PRINTED = "what                us   calls\na scan of all  1,234.5       3\nb                  0.5  20,000"


def test_a_table_is_printed_with_numbers_to_the_right() -> None:
    assert table(ROWS) == PRINTED


def test_a_printed_table_is_read_again() -> None:
    assert parse_table(PRINTED) == ROWS


@pytest.mark.parametrize("text", ["", "some words", "a  b\n1  2  3", "name       12/s       3 us each\nother  4/s"])
def test_other_text_is_no_table(text: str) -> None:
    assert parse_table(text) == []


def test_rows_in_json_are_preferred() -> None:
    assert parse_output(["", PRINTED, json.dumps(ROWS[:1]), ""]) == (PRINTED, ROWS[:1], [])
    assert parse_output(PRINTED.splitlines()) == (PRINTED, ROWS, [])


def test_an_outcome_is_read_whole() -> None:
    printed = {"figures": ROWS, "targets": ROWS[:1], "notes": ["no squid"]}
    assert parse_output([PRINTED, json.dumps(printed)]) == (PRINTED, ROWS, ROWS[:1])


def test_the_main_measurements_are_found() -> None:
    assert {"policy", "dns", "inspector"} <= set(measurements())
