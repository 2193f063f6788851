"""What one part found, for people and for files: figures of every server, and what of the targets holds."""

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TypedDict

from bench.report import Row, table
from bench.rounds import Case, Results, Sample, medians
from bench.targets import Judged, Target, judge

# column -> figure of a sample, digits
_COLUMNS: Mapping[str, tuple[str, int]] = {
    "CPU us": ("cpu_us", 3),
    "a second": ("rate", 3),
    "p50 ms": ("p50_ms", 3),
    "p99 ms": ("p99_ms", 3),
    "max ms": ("max_ms", 3),
    "MB": ("mb", 3),
    "failed": ("failed", 3),
}
FIGURES_ORDER = ("what", "one", "server", *_COLUMNS)
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
    for column, (figure, digits) in _COLUMNS.items():
        value = getattr(sample, figure)
        if value is not None and not (figure == "failed" and value == 0):
            row[column] = significant(value, digits)
    return row


def target_row(judged: Judged) -> Row:
    target = judged.target
    row: Row = {"what": target.case, "figure": _figure_name(target), "against": _against(target)}
    if judged.value is not None and judged.low is not None and judged.high is not None:
        row |= {
            "found": significant(judged.value, 3),
            "lowest": significant(judged.low, 3),
            "highest": significant(judged.high, 3),
        }
    row["must"] = significant(target.must, 3)
    if target.aim is not None:
        row["aim"] = significant(target.aim, 3)
    return row | {"unit": target.unit, "verdict": judged.verdict.value}


def _figure_name(target: Target) -> str:
    return next(column for column, (figure, _) in _COLUMNS.items() if figure == target.figure)


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
