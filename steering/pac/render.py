"""A plan as the text of a PAC.

Templates are given JavaScript literals only: ``Js`` values, made here by a JSON encoder.  Anything else that a
template tries to print is an error, so no value can become code.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    FunctionLoader,
    StrictUndefined,
    TemplateError,
)

from steering import resources
from steering.pac.errors import PacError
from steering.pac.packed import pack
from steering.pac.plan import Mark, PacPlan, Pattern

SMALL_NAMES = 2000  # up to here a readable object literal is both quickest and safe in every engine


class Js(str):
    """Text that is a JavaScript literal, and ASCII."""

    __slots__ = ()


def encode(value: object) -> Js:
    """Any value as an ES3 literal: ASCII, and nothing in it that HTML or a comment could end."""
    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Js(text)


@dataclass(frozen=True, slots=True)
class Rendered:
    """text: the PAC.  packed: how many names stand in blocks.  literals: strings and numbers in its tables."""

    text: str
    packed: int
    literals: int


def render(plan: PacPlan, *, per_block: int = 16, templates: Path | None = None) -> Rendered:
    """The PAC of ``plan``.  templates: a folder whose templates come before the shipped ones."""
    bulk = _bulk(plan) if len(plan.trees) + len(plan.exact) > SMALL_NAMES else set()
    blocks = pack(bulk, per_block)
    entries = {f".{n}": int(m) for n, m in plan.trees.items() if n not in bulk}
    entries |= {f"${n}": int(m) for n, m in plan.exact.items()}
    patterns = _patterns(plan.patterns)
    v6 = [f"{bound:032x}" for pair in plan.v6 for bound in pair]
    literals = len(entries) * 2 + len(blocks) + len(plan.v4) * 2 + len(v6) + len(plan.chains.slots) + len(patterns) * 5
    values = {
        "revision": Js(_comment(plan.revision)),
        "names": encode(len(plan.trees) + len(plan.exact)),
        "chains": _lines(plan.chains.chains),
        "slots": encode(list(plan.chains.slots)) if len(plan.chains.slots) > 1 else None,
        "entries": _object(entries),
        "blocks": _lines(blocks) if blocks else None,
        "patterns": _object(patterns) if patterns else None,
        "v4": encode([bound for pair in plan.v4 for bound in pair]),
        "v6": encode(v6),
        "elsewhere": encode(int(plan.elsewhere)),
        "numeric": encode(int(plan.numeric)),
    }
    try:
        text = _environment(templates).get_template("base.js.j2").render(values)
    except TemplateError as exc:
        raise PacError(f"the PAC template failed: {exc}") from exc
    return Rendered(text, len(bulk), literals)


def _bulk(plan: PacPlan) -> set[str]:
    """The bypassed trees with no entry above them: what the blocks can hold."""
    bypassed = {name for name, mark in plan.trees.items() if mark is Mark.BYPASS}
    return {name for name in bypassed if not any(parent in plan.trees for parent in _parents(name))}


def _parents(name: str) -> list[str]:
    labels = name.split(".")
    return [".".join(labels[i:]) for i in range(1, len(labels))]


def _patterns(patterns: tuple[Pattern, ...]) -> dict[str, list[list[object]]]:
    """By fixed name: [mark, whether more labels must stand in front, one list of pieces per label]."""
    table: dict[str, list[list[object]]] = {}
    for p in patterns:
        row: list[object] = [int(p.mark), int(p.below), *(list(glob.split("*")) for glob in p.globs)]
        table.setdefault(f".{p.name}", []).append(row)
    return table


def _object(table: dict[str, object] | dict[str, int] | dict[str, list[list[object]]]) -> Js:
    rows = ",\n".join(f"{encode(key)}:{encode(value)}" for key, value in sorted(table.items()))
    return Js(f"{{\n{rows}\n}}" if rows else "{}")


def _lines(values: tuple[str, ...] | list[str]) -> Js:
    return Js("[\n" + ",\n".join(map(encode, values)) + "\n]")


def _comment(text: str) -> str:
    return "".join(c for c in text if c.isascii() and c.isalnum())


def _environment(templates: Path | None) -> Environment:
    loader: BaseLoader = FunctionLoader(lambda name: resources.pac_templates().joinpath(name).read_text("utf-8"))
    if templates is not None:
        loader = ChoiceLoader([FileSystemLoader(templates), loader])
    return Environment(
        loader=loader,
        undefined=StrictUndefined,
        finalize=_literals_only,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701  # JavaScript, not HTML; ``finalize`` lets encoded literals through alone
    )


def _literals_only(value: object) -> object:
    if isinstance(value, Js):
        return value
    raise PacError(f"a PAC template printed {value!r}, which was not encoded as a JavaScript literal")
