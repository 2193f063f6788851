"""The table of bypass rules of Harmony SASE (Check Point, once Perimeter 81), exported as CSV or copied from the page.

The first line names the columns.  A domain there means the name and its subdomains, as here; there are no wildcards.
An empty cell, "Any" or "-" is no condition.
"""

import csv
import re
from collections.abc import Iterator, Mapping

from steering.imports.domain_list import is_address
from steering.imports.imported import Collected, Imported, Known, rule_name, tidy
from steering.policy.model import Action

# Column as people and versions call it -> key of a rule.
COLUMNS: Mapping[str, str] = {
    "name": "name",
    "rule": "name",
    "rule name": "name",
    "source": "source",
    "sources": "source",
    "groups": "source",
    "groups/members": "source",
    "groups and members": "source",
    "members": "source",
    "program": "programs",
    "programs": "programs",
    "process": "programs",
    "processes": "programs",
    "applications": "programs",
    "domain": "domains",
    "domains": "domains",
    "destination": "domains",
    "destinations": "domains",
    "addresses": "domains",
    "category": "categories",
    "categories": "categories",
    "web categories": "categories",
    "status": "enabled",
    "enabled": "enabled",
    "state": "enabled",
}
CONDITIONS = ("source", "programs", "domains", "categories")
_NOTHING = frozenset(("", "-", "any", "all", "none", "n/a"))
_OFF = frozenset(("false", "off", "no", "disabled", "inactive", "0"))
_SEPARATORS = {"programs": r"[,;\n]", "source": r"[,;\n]", "domains": r"[,;\s]", "categories": r"[,;\n]"}

Cells = Mapping[str, list[str]]


def read_harmony(text: str, known: Known) -> Imported:
    into = Collected(known)
    rows = _rows(text.lstrip("\ufeff"), into)
    number, header = next(rows, (1, []))
    keys = [COLUMNS.get(" ".join(cell.lower().split()), "") for cell in header]
    if "name" not in keys or not any(key in CONDITIONS for key in keys):
        into.problem(number, ", ".join(header), "the first line must name the columns: name, sources, programs, ...")
        return into.done()
    strange = [cell for cell, key in zip(header, keys, strict=True) if not key and cell.strip()]
    for cell in strange:
        into.problem(number, cell, "a column that is not known here; nothing of it was taken")
    for number, row in rows:
        _take_row(into, number, row, keys)
    return into.done()


def _rows(text: str, into: Collected) -> Iterator[tuple[int, list[str]]]:
    """(line of its beginning, cells) of each row that is not empty; the first line tells the delimiter."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    delimiter = max("\t;,", key=first.count)
    reader = csv.reader((f"{line}\n" for line in text.split("\n")), delimiter=delimiter, strict=True)
    begin = 1
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as exc:
            into.problem(begin, "(from here on)", f"this is no CSV: {exc}; the rest was not taken")
            return
        if any(cell.strip() for cell in row):
            yield begin, row
        begin = reader.line_num + 1


def _take_row(into: Collected, number: int, row: list[str], keys: list[str]) -> None:
    if len(row) > len(keys) and any(cell.strip() for cell in row[len(keys) :]):
        into.problem(number, ", ".join(row), f"{len(row)} cells under {len(keys)} columns: quote cells with a comma")
        return
    written: dict[str, list[str]] = {}
    for key, cell in zip(keys, row, strict=False):
        parts = re.split(_SEPARATORS[key], cell) if key in _SEPARATORS else [cell]
        values = [part.strip() for part in parts if part.strip().lower() not in _NOTHING]
        written[key] = written.get(key, []) + values
    name = rule_name(" ".join(written["name"]) or f"{into.known.title} line {number}")
    enabled = not any(value.lower() in _OFF for value in written.get("enabled", []))
    taken = _conditions(into, number, written)
    lost = [key for key in CONDITIONS if written.get(key) and not taken[key]]
    destinations = ("domains", "categories")
    wider = [key for key in lost if key not in destinations]
    if all(not taken[key] for key in destinations) and any(key in destinations for key in lost):
        wider.append("destination")
    if taken["addresses"] and "destination" in wider:
        wider.remove("destination")
    if wider:
        why = f"nothing of its {' and '.join(wider)} could be taken, and without it the rule would cover more"
        into.problem(number, name, why)
        return
    into.add(number, name, {"name": name, "enabled": enabled} | {key: value for key, value in taken.items() if value})


def _conditions(into: Collected, number: int, written: Cells) -> dict[str, list[str]]:
    taken: dict[str, list[str]] = {key: [] for key in (*CONDITIONS, "addresses")}
    for key in CONDITIONS:
        for value in written.get(key, []):
            to = "addresses" if key == "domains" and is_address(value) else key
            entry = _source(value) if key == "source" else value
            if into.usable(number, Action.BYPASS, to, entry, value):
                taken[to].append(entry)
    taken["domains"] = tidy(taken["domains"])
    return taken


def _source(value: str) -> str:
    """A member is known by an e-mail address, a network by itself; everything else is the name of a group."""
    if value.startswith(("group:", "user:")) or is_address(value):
        return value
    return f"user:{value}" if "@" in value else f"group:{value}"
