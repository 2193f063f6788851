"""The pages about what was measured: printed from docs/measurements.json, which ``python -m bench --write`` writes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.charts import chart, groups
from bench.outcome import FIGURES_ORDER, TARGETS_ORDER
from bench.report import Row, columns_of

ROOT = Path(__file__).parent.parent
MEASUREMENTS = ROOT / "docs" / "measurements.json"
CHARTS = ROOT / "docs" / "charts"

# What the README shows: in words, the measurement and its case, the figure and its unit.
_SHOWN = (
    ("a request on an opened connection, 1 KiB", "inspector", "1 KiB, kept alive", "CPU us", "µs"),
    ("a new opened connection", "inspector", "new connection, origin known", "CPU us", "µs"),
    ("the first one to a host", "inspector", "new connection, cold host", "CPU us", "µs"),
    ("a megabyte downloaded, opened", "inspector", "download, 10 MiB", "CPU us", "µs"),
    ("a megabyte downloaded, tunnelled", "inspector", "tunnel, 10 MiB", "CPU us", "µs"),
    ("a DNS answer, steered or cached", "dns", "steered and cached, A", "CPU us", "µs"),
    ("a DNS answer that had to be asked for", "dns", "not cached, forwarded", "CPU us", "µs"),
    ("a PAC of 100,000 names", "pac", "PAC of 100,000 names", "bytes", "bytes"),
    ("a decision by it, in V8 as Chromium runs it", "pac", "100,000 names, V8 jitless", "us a decision", "µs"),
    ("a decision over 100,000 domains, in Python", "policy", "decision, 100,000 domains", "p50 us", "µs"),
)


def _results() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(MEASUREMENTS.read_text("utf-8"))
    return found


def figures() -> list[tuple[str, str, str]]:
    """In words, what it takes us, and what it takes the others."""
    results = _results()
    return [(words, *_figure(results, *chosen)) for words, *chosen in _SHOWN]


def _figure(results: dict[str, dict[str, Any]], part: str, case: str, figure: str, unit: str) -> tuple[str, str]:
    rows = [row for row in results.get(part, {}).get("rows", []) if row.get("what") == case and figure in row]
    shown = {row["server"]: f"{_number(row[figure])} {unit}" for row in rows}
    others = ", ".join(f"{name} {value}" for name, value in shown.items() if not name.startswith("steering"))
    return shown.get("steering", "-"), others or "-"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.1f}"


def measured() -> str:
    """Every published measurement: its chart, what had to hold, all figures."""
    return "\n" + "\n".join(_part(name, result) for name, result in _results().items())


def _part(name: str, result: dict[str, Any]) -> str:
    short = ", short rounds" if result["quick"] else ""
    parts = [f"## {name}", f"{result['when']}, {result['machine']}{short}."]
    if groups(result["rows"]):
        parts.append(f"![{_title(name)}](charts/{name}.svg)")
    if result.get("targets"):
        parts.append(_table(result["targets"], TARGETS_ORDER))
    parts.append(_table(result["rows"], FIGURES_ORDER) if result["rows"] else f"```\n{result['text']}\n```")
    return "\n\n".join(parts) + "\n"


def _title(name: str) -> str:
    return f"{name}: what each server needed, less is better"


def _table(rows: Sequence[Row], order: Sequence[str]) -> str:
    columns = columns_of(rows, order)
    numeric = {column for column in columns if any(isinstance(row.get(column), int | float) for row in rows)}
    lines = [columns, ["--:" if column in numeric else "---" for column in columns]]
    lines += [[_cell(row.get(column, "")) for column in columns] for row in rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(value: str | float) -> str:
    return f"{value:,}" if isinstance(value, int | float) else value.replace("|", "\\|")


def charts() -> dict[Path, str]:
    """File -> its picture, for every measurement that has something to draw."""
    drawn = {name: groups(result["rows"]) for name, result in _results().items()}
    return {CHARTS / f"{name}.svg": chart(_title(name), found) for name, found in drawn.items() if found}
