"""Every measurement, one after the other: ``python -m bench [NAME ...] [--quick] [--write]``, or ``make bench``.

A measurement is a module beside this one that runs by itself (``python -m bench.dns``) and prints its tables, and at
its end one line of JSON: rows, or an Outcome with what of the targets holds.  What was found is kept in
bench/results/; a whole run also puts it into docs/measurements.json, and prints the pages that show it anew.
The exit code is 1 where a measurement failed or a target's limit was missed.
"""

import argparse
import json
import os
import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict

from bench.processes import interruptible
from bench.report import Row
from bench.targets import Verdict

HERE = Path(__file__).parent
RESULTS = HERE / "results"
PUBLISHED = HERE.parent / "docs" / "measurements.json"
WHOLE = ("inspector", "dns", "pac", "pac_served", "policy")  # what a run without names does; it takes some 12 minutes
_NOT_PARTS = {"__main__", "soak"}
_MEASURES = 'if __name__ == "__main__":'


class Result(TypedDict):
    """text: what was printed for people.  rows: the figures in it.  targets: what of them has to hold, and does."""

    when: str
    machine: str
    quick: bool
    text: str
    rows: list[Row]
    targets: list[Row]


def measurements() -> list[str]:
    """The modules that measure something, those of a whole run first."""
    found = {path.stem for path in HERE.glob("*.py") if _MEASURES in path.read_text("utf-8")} - _NOT_PARTS
    return [name for name in WHOLE if name in found] + sorted(found - set(WHOLE))


def run(name: str, *, quick: bool) -> Result | None:
    """Run one in a process of its own, its output passed on as it comes; None where it failed."""
    command = [sys.executable, "-m", f"bench.{name}", *(["--quick"] if quick else [])]
    with subprocess.Popen(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = []
        try:
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if not line.startswith(_ENCODED):
                    print(line, end="", flush=True)
        except KeyboardInterrupt:
            process.terminate()  # it ends what it has started
            process.wait()
            raise
    if process.returncode != 0:
        return None
    text, rows, targets = parse_output(lines)
    now = datetime.now(UTC).strftime("%Y-%m-%d")
    return Result(when=now, machine=machine(), quick=quick, text=text, rows=rows, targets=targets)


_ENCODED = ("[", "{")


def parse_output(lines: list[str]) -> tuple[str, list[Row], list[Row]]:
    """What a measurement printed, as (text for people, rows, targets)."""
    printed = [line for line in lines if not line.startswith(_ENCODED)]
    encoded = [line for line in lines if line.startswith(_ENCODED)]
    text = "\n".join(printed).strip("\n")
    found = json.loads(encoded[-1]) if encoded else parse_table(text)
    return (text, found["figures"], found["targets"]) if isinstance(found, dict) else (text, found, [])


def parse_table(text: str) -> list[Row]:
    """The rows of a table whose cells stand two blanks or more apart; [] for any other text."""
    header, *lines = [re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.strip()] or [[]]
    if any(len(line) != len(header) for line in lines):
        return []
    return [{key: _value(cell) for key, cell in zip(header, line, strict=True)} for line in lines]


def _value(cell: str) -> str | float:
    bare = cell.replace(",", "")
    return float(bare) if re.fullmatch(r"-?\d+(\.\d+)?", bare) else cell


def machine() -> str:
    """What it was measured on, in a line."""
    return f"{_processor()}, {os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}"


def _processor() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1].strip() if found else platform.machine()


def publish(results: dict[str, Result]) -> None:
    """Replace these measurements among the published ones; the others stay."""
    PUBLISHED.parent.mkdir(exist_ok=True)
    known = json.loads(PUBLISHED.read_text("utf-8")) if PUBLISHED.exists() else {}
    fresh = {name: result | ({"text": ""} if result["rows"] else {}) for name, result in results.items()}
    PUBLISHED.write_text(json.dumps(known | fresh, indent=1, sort_keys=True) + "\n", "utf-8")


def main() -> int:
    known = measurements()
    options = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    options.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(known)}; by default the first five")
    options.add_argument("--quick", action="store_true", help="short rounds, rougher figures")
    options.add_argument("--write", action="store_true", help="publish the figures of a quick run or a part too")
    given = options.parse_args()
    unknown = [name for name in given.names if name not in known]
    if unknown:
        options.error(f"there is no {unknown[0]}; known: {', '.join(known)}")
    RESULTS.mkdir(exist_ok=True)
    results: dict[str, Result] = {}
    failed = []
    for name in given.names or WHOLE:
        print(f"\n== {name}", flush=True)
        with interruptible():
            found = run(name, quick=given.quick)
        if found is None:
            failed.append(name)
            continue
        results[name] = found
        (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    if given.write or not (given.names or given.quick or failed):
        publish(results)
        subprocess.run([sys.executable, "-m", "tools.doc_tables"], cwd=HERE.parent, check=True)
        print("\npublished in docs/measurements.md and README.md")
    missed = [
        f"{name}: {row['what']}, {row['figure']} against {row['against']}: {row['found']}, at most {row['must']}"
        for name, result in results.items()
        for row in result["targets"]
        if row["verdict"] == Verdict.MISSED.value
    ]
    for line in (*(f"failed: {name}" for name in failed), *(f"missed: {line}" for line in missed)):
        print(line, file=sys.stderr)
    return 1 if failed or missed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped")
