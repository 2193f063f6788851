"""A plan as the text of a PAC.

Templates are given JavaScript literals only: ``Js`` values, made here by a JSON encoder.  Anything else that a
template tries to print is an error, so no value can become code.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    FunctionLoader,
    StrictUndefined,
)

from steering import resources
from steering.pac.errors import PacError
from steering.pac.packed import pack
from steering.pac.plan import Mark, PacPlan, Pattern, parents

SMALL_NAMES = 2000  # up to here a readable object literal is both quickest and safe in every engine


class Js(str):
    """Text that is a JavaScript literal, and ASCII."""

    __slots__ = ()


_ENCODER = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), allow_nan=False)


def encode(value: object) -> Js:
    """Any value as an ES3 literal: ASCII, and nothing in it that HTML or a comment could end."""
    text = _ENCODER.encode(value)
    for character in "<>&'":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return Js(text)


@dataclass(frozen=True, slots=True)
class Rendered:
    """text: the PAC.  packed: how many names stand in blocks."""

    text: str
    packed: int


def render(plan: PacPlan, *, per_block: int = 16, templates: Path | None = None) -> Rendered:
    """The PAC of ``plan``.  templates: a folder whose templates come before the shipped ones."""
    packing = _packing(plan)
    try:
        text = _environment(templates).get_template("base.js.j2").render(_variables(plan, packing, per_block))
    except PacError:
        raise
    except Exception as exc:  # whatever an administrator's template does, the PAC before it stays
        raise PacError(f"the PAC template failed: {type(exc).__name__}: {exc}") from exc
    return Rendered(text, len(packing.trees) + len(packing.alone))


@dataclass(frozen=True, slots=True)
class _Packing:
    """The names that go into blocks: trees, those of them that stand only for what is below, and names alone."""

    trees: frozenset[str] = frozenset()
    below_only: frozenset[str] = frozenset()
    alone: frozenset[str] = frozenset()


def _packing(plan: PacPlan) -> _Packing:
    if len(plan.trees) + len(plan.exact) <= SMALL_NAMES:
        return _Packing()
    trees = _bulk(plan)
    return _Packing(
        trees,
        below_only=frozenset(name for name in trees if plan.exact.get(name) is plan.elsewhere),
        alone=frozenset(name for name, mark in plan.exact.items() if mark is Mark.BYPASS),
    )


def variables(plan: PacPlan, per_block: int = 16) -> dict[str, Js | None]:
    """What every template is given; ``pac_templates/README.md`` explains it."""
    return _variables(plan, _packing(plan), per_block)


def _variables(plan: PacPlan, packing: _Packing, per_block: int) -> dict[str, Js | None]:
    packed_alone = packing.below_only | packing.alone
    entries = {f".{n}": int(m) for n, m in plan.trees.items() if n not in packing.trees}
    entries |= {f"${n}": int(m) for n, m in plan.exact.items() if n not in packed_alone}
    patterns = _patterns(plan.patterns)
    return {
        "revision": Js(_comment(plan.revision)),
        "names": encode(len(plan.trees) + len(plan.exact)),
        "chains": _lines(plan.chains.chains),
        "slots": encode(list(plan.chains.slots)) if len(plan.chains.slots) > 1 else None,
        "entries": _object(entries),
        "blocks": _lines(pack(packing.trees, per_block, packing.below_only)) if packing.trees else None,
        "alone": _lines(pack(packing.alone, per_block)) if packing.alone else None,
        "patterns": _object(patterns) if patterns else None,
        "v4": encode([bound for pair in plan.v4 for bound in pair]),
        "v6": encode([f"{bound:032x}" for pair in plan.v6 for bound in pair]),
        "elsewhere": encode(int(plan.elsewhere)),
        "numeric": encode(int(plan.numeric)),
    }


def _bulk(plan: PacPlan) -> frozenset[str]:
    """The bypassed trees with no entry above them: what the blocks can hold without one lying below another."""
    bypassed = {name for name, mark in plan.trees.items() if mark is Mark.BYPASS}
    return frozenset(name for name in bypassed if not any(parent in plan.trees for parent in parents(name)))


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
    if templates is None:
        return _shipped_environment()
    return _environment_of(ChoiceLoader([FileSystemLoader(templates), FunctionLoader(_shipped)]))


@cache
def _shipped_environment() -> Environment:
    return _environment_of(FunctionLoader(_shipped))


def _shipped(name: str) -> str | None:
    template = resources.pac_templates().joinpath(name)
    return template.read_text("utf-8") if template.is_file() else None


def _environment_of(loader: BaseLoader) -> Environment:
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
