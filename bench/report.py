"""How a measurement is printed: a table for people, then its rows as one line of JSON for ``python -m bench``."""

import json
from collections.abc import Sequence

Value = str | int | float
Row = dict[str, Value]


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which ``share`` of ``values`` lie: quantile(x, 0.5) is the (upper) median."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def table(rows: Sequence[Row], order: Sequence[str] = ()) -> str:
    """Columns as wide as they must be; numbers to the right.  order: of those columns that are there."""
    columns = columns_of(rows, order)
    cells = [[_shown(row.get(column, "")) for column in columns] for row in rows]
    widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
    numeric = [any(isinstance(row.get(column), int | float) for row in rows) for column in columns]
    lines = []
    for line in [columns, *cells]:
        parts = [f"{c:>{w}}" if n else f"{c:<{w}}" for c, w, n in zip(line, widths, numeric, strict=True)]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)


def columns_of(rows: Sequence[Row], order: Sequence[str] = ()) -> list[str]:
    """Those of ``order`` that any row has, then the others as they come."""
    present = list(dict.fromkeys(key for row in rows for key in row))
    return [*(name for name in order if name in present), *(name for name in present if name not in order)]


def print_rows(rows: Sequence[Row]) -> None:
    print(table(rows))
    print(json.dumps(rows))


def _shown(value: Value) -> str:
    return f"{value:,}" if isinstance(value, int | float) else value
