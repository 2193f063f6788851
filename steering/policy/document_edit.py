"""Small changes to the text of a rules file, the rest of it left as its author wrote it."""

import json
import re
from difflib import get_close_matches

from steering.policy.errors import RulesError
from steering.policy.json_text import JsonText, JsonValue, read_json

_DECODER = json.JSONDecoder()


def set_enabled(source: str, name: str, enabled: bool) -> str:
    """The text with the rule ``name`` enabled or disabled.  Raises RulesError where there is no such rule."""
    text = _read(source)
    index = _index(text, name)
    rule = _rules(text)[index]
    word = "true" if enabled else "false"
    if isinstance(rule, dict) and "enabled" in rule:
        return _replaced(source, text.offset(("rules", index, "enabled")), word)
    end = _end(source, text.offset(("rules", index, "name")))
    before = source[: text.key_offset(("rules", index, "name"))]
    space = re.search(r"\s*$", before)
    return f'{source[:end]},{space.group() if space else " "}"enabled": {word}{source[end:]}'


def with_rule(source: str, rule: dict[str, object]) -> str:
    """The text with ``rule`` as its last one."""
    text = _read(source)
    opening = text.offset(("rules",))
    rules = _rules(text)
    unit = _unit(source)
    if not rules:
        line = _line_end(source)
        end = _end(source, opening)
        return f"{source[:opening]}[{line}{_block(rule, unit, unit * 2, line)}{line}{unit}]{source[end:]}"
    last = text.offset(("rules", len(rules) - 1))
    end = _end(source, last)
    margin = source[source.rfind("\n", 0, last) + 1 : last]
    margin = margin if not margin.strip() else unit * 2
    line = _line_end(source)
    return f"{source[:end]},{line}{_block(rule, unit, margin, line)}{source[end:]}"


def _read(source: str) -> JsonText:
    text = read_json(source)
    if not text.readable or text.faults:
        raise RulesError("the file is no JSON; steering check says where")
    return text


def _rules(text: JsonText) -> list[JsonValue]:
    rules = text.value.get("rules") if isinstance(text.value, dict) else None
    if not isinstance(rules, list):
        raise RulesError("the file has no list of rules")
    return rules


def _index(text: JsonText, name: str) -> int:
    names = [rule.get("name") if isinstance(rule, dict) else None for rule in _rules(text)]
    if name in names:
        return names.index(name)
    known = [given for given in names if isinstance(given, str)]
    raise RulesError(f"there is no rule named {name!r}; {_near(name, known)}")


def _near(name: str, names: list[str]) -> str:
    """What was probably meant: people write a part of a name, or forget its capitals."""
    part = name.casefold().strip()
    holding = [known for known in names if part and part in known.casefold()]
    near = holding or get_close_matches(name, names, n=3)
    return f"did you mean {' or '.join(map(repr, near[:3]))}?" if near else "steering rules list shows all"


def _end(source: str, start: int) -> int:
    """The offset behind the value that begins at ``start``."""
    return int(_DECODER.raw_decode(source, start)[1])


def _replaced(source: str, start: int, value: str) -> str:
    return source[:start] + value + source[_end(source, start) :]


def _unit(source: str) -> str:
    """One step of the file's indentation."""
    found = re.search(r"\n([ \t]+)", source)
    return found.group(1) if found else "  "


def _line_end(source: str) -> str:
    """How the file ends its lines, lest an editor shows a file of both kinds."""
    found = re.search(r"\r\n|\n|\r", source)
    return found.group() if found else "\n"


def _block(rule: dict[str, object], unit: str, margin: str, line: str) -> str:
    # Not splitlines: it would also cut a text at U+2028 and its like, which JSON writes as they are.
    lines = json.dumps(rule, indent=unit, ensure_ascii=False).split("\n")
    return line.join(margin + text for text in lines)
