"""What every part of the measurements is as a program: ``python -m bench.PART [--quick] [--only WORD]``."""

import argparse
import sys
from collections.abc import Callable, Sequence

from bench.outcome import outcome, print_outcome
from bench.processes import interruptible
from bench.rounds import Case, Results
from bench.targets import Target

Found = tuple[list[Case], Results, list[str]]  # the cases, what was found, what was left out and why
Measure = Callable[[bool, str], Found]  # quick, and part of the names of the cases that are wanted


def main(doc: str | None, measure: Measure, targets: Sequence[Target]) -> None:
    options = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--quick", action="store_true", help="fewer and shorter rounds, rougher figures")
    options.add_argument("--only", default="", metavar="WORD", help="cases with this in their name")
    given = options.parse_args()
    try:
        with interruptible():
            cases, results, notes = measure(given.quick, given.only)
    except KeyboardInterrupt:
        sys.exit("stopped")
    print_outcome(outcome(cases, results, targets, notes))
