"""What one part found, for people and for files: figures of every server, and what of the targets holds."""

import json
import sys
import time
from collections.abc import Sequence
from typing import TypedDict

from bench.report import Row, table
from bench.rounds import CPU, FAILED, MAX, MB, P50, P99, RATE, Case, Results, Sample, medians
from bench.targets import Judged, Target, judge

FIGURES_ORDER = ("what", "one", "server", CPU, RATE, P50, P99, MAX, MB, FAILED)
TARGETS_ORDER = ("what", "figure", "against", "found", "lowest", "highest", "must", "aim", "unit", "verdict")


class Outcome(TypedDict):
    """figures: a row for each case and server.  targets: a row for each target.  notes: what was left out, and why."""

    figures: list[Row]
    targets: list[Row]
    notes: list[str]


def outcome(cases: Sequence[Case], results: Results, targets: Sequence[Target], notes: Sequence[str]) -> Outcome:
    return Outcome(
        figures=[row for case in cases for row in figures(case, results)],
        targets=[target_row(judge(target, results)) for target in targets if target.case in results],
        notes=list(notes),
    )


def figures(case: Case, results: Results) -> list[Row]:
    return [_figures_row(case, server, medians(samples)) for server, samples in results[case.name].items()]


def _figures_row(case: Case, server: str, sample: Sample | None) -> Row:
    row: Row = {"what": case.name, "one": case.unit, "server": server}
    if sample is None:
        return row | {"a second": "failed"}
    return row | {name: significant(value, 3) for name, value in sample.items() if value or name != FAILED}


def target_row(judged: Judged) -> Row:
    target = judged.target
    row: Row = {"what": target.case, "figure": target.figure, "against": _against(target)}
    numbers = {
        "found": judged.value,
        "lowest": judged.low,
        "highest": judged.high,
        "must": target.must,
        "aim": target.aim,
    }
    row |= {name: significant(value, 3) for name, value in numbers.items() if value is not None}
    return row | {"unit": target.unit, "verdict": judged.verdict.value}


def _against(target: Target) -> str:
    who = "" if target.ours == "steering" else f"{target.ours} by "
    return who + (" or ".join(target.against) or "-")


def significant(value: float, digits: int) -> float:
    """Rounded to so many digits that mean something; whole numbers stay whole."""
    rounded = float(f"{value:.{digits}g}")
    return int(rounded) if rounded == int(rounded) else rounded


def print_outcome(found: Outcome) -> None:
    """Tables for people, then everything as one line of JSON for ``python -m bench``."""
    print("\n" + table(found["figures"], FIGURES_ORDER))
    if found["targets"]:
        print("\n" + table(found["targets"], TARGETS_ORDER))
    for note in found["notes"]:
        print(f"left out: {note}")
    print(json.dumps(found))


_BEGAN = time.monotonic()


def say(text: str) -> None:
    """Progress, to standard error, with the seconds so far."""
    print(f"  {time.monotonic() - _BEGAN:5.0f} s  {text}", file=sys.stderr, flush=True)
