"""``steering check``: every problem of a rules file at once, and which rule is enforceable where."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from steering.catalog import load_categories
from steering.cli.offline import reserved_of
from steering.cli.rules_file import find_rules, read_rules_file
from steering.cli.running import ConfigOption, JsonOption, configuration
from steering.cli.terminal import console as new_console
from steering.cli.terminal import print_json
from steering.policy.coverage import Cover, Coverage, coverage
from steering.policy.document import Reading, as_line, read_document
from steering.policy.findings import Finding, Severity, in_order, printable
from steering.policy.lint import lint
from steering.policy.points import Point
from steering.policy.reserved import ReservedSettings
from steering.resources import starter_rules

COLOUR = {Severity.ERROR: "bold red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}
MAX_PRINTED = 500  # --json has them all


def check(
    rules: Annotated[Path | None, typer.Argument(help="The rules file; by default the configured one.")] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
    table: Annotated[bool, typer.Option(help="Print which rule is enforceable at which point.")] = True,
) -> None:
    """Check a rules file: 0 if it can be enforced, warnings or not, 1 on errors, 2 if it cannot be read."""
    path = find_rules(rules, config)
    settings = reserved_of(configuration(config).config)
    now = time.time()
    reading = read_rules_file(path)
    findings = all_findings(reading, now, settings)
    rows = coverage(reading.rule_set, now) if reading.rule_set else ()
    if as_json:
        print_json(_as_json(path, reading, findings, rows))
    else:
        _print(path, reading, findings, rows if table else ())
    raise typer.Exit(0 if reading.rule_set else 1)


def all_findings(reading: Reading, now: float, settings: ReservedSettings) -> tuple[Finding, ...]:
    """The errors of a reading, or its warnings and notes where it has none."""
    if reading.rule_set is None:
        return reading.findings
    shipped = read_document(starter_rules().read_bytes(), load_categories()).rule_set
    return in_order(
        (*reading.findings, *reading.placed(lint(reading.rule_set, now, settings=settings, shipped=shipped)))
    )


def _as_json(path: Path, reading: Reading, findings: Sequence[Finding], rows: Sequence[Coverage]) -> dict[str, object]:
    count = Counter(finding.severity for finding in findings)
    return {
        "file": str(path),
        "ok": reading.rule_set is not None,
        "errors": count[Severity.ERROR],
        "warnings": count[Severity.WARNING],
        "notes": count[Severity.NOTE],
        "findings": [finding.as_json() for finding in findings],
        "coverage": [row.as_json() for row in rows],
    }


def _print(path: Path, reading: Reading, findings: Sequence[Finding], rows: Sequence[Coverage]) -> None:
    console = new_console()
    for finding in findings[:MAX_PRINTED]:
        line = Text(f"{path}:{as_line(finding)}")
        line.highlight_words([f"{finding.severity.value}:"], COLOUR[finding.severity])
        console.print(line)
    if len(findings) > MAX_PRINTED:
        console.print(f"... and {len(findings) - MAX_PRINTED} more (--json prints all)")
    console.print(Text(_summary(path, reading, findings)))
    if rows:
        _print_coverage(console, rows)


def _summary(path: Path, reading: Reading, findings: Sequence[Finding]) -> str:
    count = Counter(finding.severity for finding in findings)
    counted = ", ".join(_counted(count[severity], severity.value) for severity in Severity if count[severity])
    if reading.rule_set is None:
        return f"{path} cannot be enforced: {counted}"
    enabled = sum(rule.enabled for rule in reading.rule_set.rules)
    rules = f"{_counted(len(reading.rule_set.rules), 'rule')}, {enabled} enabled"
    return f"{path} can be enforced: {rules}; {counted or 'nothing to remark'}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def _print_coverage(console: Console, rows: Sequence[Coverage]) -> None:
    console.print()
    width = min(60, max(len(printable(row.rule)) for row in rows))
    header = f"{'rule':{width}}  {'action':8}" + "".join(f"{point.value:20}" for point in Point)
    console.print(Text(header.rstrip(), style="bold"))
    for row in rows:
        line = Text(f"{printable(row.rule, width):{width}}  {row.action.value:8}")
        for point in Point:
            cover = row.points[point]
            line.append(
                f"{cover.value:20}", "green" if cover is Cover.YES else "dim" if cover is Cover.OFF else "yellow"
            )
        line.rstrip()
        console.print(line)
    reasons = {f"{printable(row.rule)}: {point.value}: {why}": None for row in rows for point, why in row.why.items()}
    for reason in reasons:
        console.print(Text(f"  {reason}"))
