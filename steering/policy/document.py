"""Reading ``rules.json``: a rule set, or every problem of the file at once, each with its place.

The one way in, for ``steering check``, for the service that starts and for the one that reloads: none of them can
accept what another refuses.  A rule that cannot be read is set aside, so that the others are still judged.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from difflib import get_close_matches

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from steering.policy.errors import RulesError
from steering.policy.findings import Finding, Pointer, Severity, in_order, printable
from steering.policy.json_text import JsonText, JsonValue, read_json
from steering.policy.model import Action, GroupModel, ProgramModel, RuleModel, RulesModel
from steering.policy.rules import NO_CATEGORIES, CategoryTable, RuleSet, read_rules

# RFC 3339 5.6; pydantic would also take a number of seconds in quotes.
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reading:
    """A rules file that was read.

    rule_set: None where ``findings`` holds an error.  findings: in the order of the file.
    """

    rule_set: RuleSet | None
    findings: tuple[Finding, ...]
    text: JsonText

    def placed(self, findings: Iterable[Finding]) -> tuple[Finding, ...]:
        """``findings`` with line and column, in the order of the file."""
        return in_order(_placed(self.text, finding) for finding in findings)


def read_document(source: str | bytes, categories: CategoryTable = NO_CATEGORIES) -> Reading:
    """Read a rules file.  Never raises: what is wrong is in ``findings``."""
    text = read_json(source)
    findings = [_fault(text, fault.offset, fault.code, fault.message, fault.advice) for fault in text.faults]
    if not text.readable:
        return Reading(None, in_order(findings), text)
    model, problems = _model(text)
    if model is not None:
        rule_set, unclear = read_rules(model, categories)
        problems += [_error("value", p.message, p.pointer, text.value) for p in unclear]
        if rule_set is not None and not problems and not findings:
            return Reading(rule_set, (), text)
    findings += [_placed(text, problem) for problem in problems]
    return Reading(None, in_order(findings), text)


def load_document(source: str | bytes, categories: CategoryTable = NO_CATEGORIES) -> RuleSet:
    """As ``read_document``.  Raises RulesError, whose text lists every problem with its place."""
    reading = read_document(source, categories)
    if reading.rule_set is None:
        raise RulesError("\n".join(as_line(finding) for finding in reading.findings), reading.findings)
    return reading.rule_set


def as_line(finding: Finding) -> str:
    """One finding as one line: ``line:column severity message (pointer)``."""
    place = f"{finding.line}:{finding.column} " if finding.line else ""
    pointer = f" ({finding.json_pointer})" if finding.pointer else ""
    advice = f"; {finding.advice}" if finding.advice else ""
    return printable(f"{place}{finding.severity.value}: {finding.message}{advice}{pointer}", 1000)


def _placed(text: JsonText, finding: Finding) -> Finding:
    named = finding.code == "unknown-key"
    offset = text.key_offset(finding.pointer) if named else text.offset(finding.pointer)
    line, column = text.line_column(offset)
    return replace(finding, line=line, column=column)


def _fault(text: JsonText, offset: int, code: str, message: str, advice: str) -> Finding:
    line, column = text.line_column(offset)
    return Finding(
        severity=Severity.ERROR, code=code, message=printable(message), advice=advice, line=line, column=column
    )


def _error(code: str, message: str, pointer: Pointer, document: JsonValue, advice: str = "") -> Finding:
    return Finding(
        severity=Severity.ERROR,
        code=code,
        message=printable(message, 400),
        advice=advice,
        pointer=pointer,
        rule=_rule_name(document, pointer),
    )


def _rule_name(document: JsonValue, pointer: Pointer) -> str | None:
    if pointer[:1] == ("rules",) and len(pointer) > 1:
        name = _at(document, (*pointer[:2], "name"))
        return name if isinstance(name, str) else None
    return None


def _at(document: JsonValue, pointer: Pointer) -> JsonValue:
    value = document
    for token in pointer:
        if isinstance(value, list) and isinstance(token, int) and token < len(value):
            value = value[token]
        elif isinstance(value, dict) and token in value:
            value = value[str(token)]
        else:
            return None
    return value


def _model(text: JsonText) -> tuple[RulesModel | None, list[Finding]]:
    """What the file says; with problems, of the parts that could be read.  None where there is no such part."""
    problems = [*_written_times(text.value)]
    if _at(text.value, ("version",)) is True:  # Python holds it equal to 1
        problems.append(_error("unknown-value", "'version' must be 1", ("version",), text.value))
    try:
        return RulesModel.model_validate_json(text.clean(), strict=True), problems
    except ValidationError as exc:
        problems += _translated(exc, text.value)
    try:
        return RulesModel.model_validate(_readable_part(text.value)), problems
    except ValidationError:
        return None, problems


def _readable_part(document: JsonValue) -> dict[str, JsonValue]:
    """The document with every unreadable rule and group replaced by an empty one: the places stay what they were."""
    groups = document.get("groups") if isinstance(document, dict) else None
    rules = document.get("rules") if isinstance(document, dict) else None
    return {
        "groups": {n: _group_aside(g) for n, g in groups.items()} if isinstance(groups, dict) else {},
        "rules": [r if _fits(RuleModel, r) else _aside(i, r) for i, r in enumerate(rules)]
        if isinstance(rules, list)
        else [],
    }


def _fits(model: type[BaseModel], value: JsonValue) -> bool:
    try:
        model.model_validate(value)
    except ValidationError:
        return False
    return True


def _group_aside(group: JsonValue) -> JsonValue:
    written = group if isinstance(group, dict) else {}
    return {k: v for k, v in written.items() if k in GroupModel.model_fields and _fits(GroupModel, {k: v})}


_CONDITIONS = ("source", "programs", "domains", "categories", "addresses")


def _aside(index: int, rule: JsonValue) -> JsonValue:
    """What can be read of a rule; where a condition cannot, another stands for it, lest it look like none at all."""
    written = rule if isinstance(rule, dict) else {}
    nameless = {"name": f"(rule {index})"}
    kept = {k: v for k, v in written.items() if k in RuleModel.model_fields and _fits(RuleModel, {**nameless, k: v})}
    if not any(kept.get(key) for key in _CONDITIONS):
        kept["programs"] = ["(unreadable)"]
    return {**nameless, **kept}


def _written_times(document: JsonValue) -> Iterator[Finding]:
    rules = document.get("rules") if isinstance(document, dict) else None
    for i, rule in enumerate(rules if isinstance(rules, list) else ()):
        for key in ("not_before", "expires_at"):
            value = rule.get(key) if isinstance(rule, dict) else None
            if isinstance(value, str) and not _RFC3339.fullmatch(value):
                message = f"{value[:60]!r} is no time with a time zone"
                yield _error("time", message, ("rules", i, key), document, "write it as 2026-12-31T18:00:00Z")


_KINDS = {
    "string_type": "a text in double quotes",
    "bool_type": "true or false",
    "list_type": "a list, in square brackets",
    "dict_type": "an object, in braces",
    "model_type": "an object, in braces",
    "datetime_type": "a time such as 2026-12-31T18:00:00Z, in double quotes",
    "int_type": "a number",
}


def _translated(exc: ValidationError, document: JsonValue) -> Iterator[Finding]:
    seen: set[tuple[Pointer, str]] = set()
    for error in exc.errors(include_url=False):
        if _of_another_branch(error, document):
            continue
        pointer = _pointer(error)
        misspelt_time = error["type"].startswith(("datetime_", "timezone")) and error["type"] != "datetime_type"
        if misspelt_time and not _is_impossible_time(document, pointer):
            continue  # _written_times has said so
        finding = _words(error, pointer, document)
        if (pointer, finding.code) not in seen:
            seen.add((pointer, finding.code))
            yield finding


def _is_impossible_time(document: JsonValue, pointer: Pointer) -> bool:
    """Written as RFC 3339 and still no time, as the 30th of February."""
    value = _at(document, pointer)
    return isinstance(value, str) and _RFC3339.fullmatch(value) is not None


# What pydantic puts into a location for the branches of ``programs`` (a name, or an object), and for keys.
_NAME_BRANCH, _OBJECT_BRANCH, _KEY = "constrained-str", "ProgramModel", "[key]"


def _of_another_branch(error: ErrorDetails, document: JsonValue) -> bool:
    """Whether this is the complaint of the branch of a union that the value was plainly not written for."""
    loc = error["loc"]
    if loc[:1] != ("rules",) or loc[2:3] != ("programs",) or len(loc) < 5:
        return False
    written = _at(document, loc[:4])
    return (loc[4] == _OBJECT_BRANCH and isinstance(written, str)) or (
        loc[4] == _NAME_BRANCH and isinstance(written, dict)
    )


def _pointer(error: ErrorDetails) -> Pointer:
    return tuple(t for t in error["loc"] if t not in (_NAME_BRANCH, _OBJECT_BRANCH, _KEY))


def _named(pointer: Pointer) -> str:
    match pointer:
        case ():
            return "the file"
        case (*_, str(key), int(index)):
            return f"entry {index} of '{key}'"
        case _:
            return f"'{pointer[-1]}'"


def _words(error: ErrorDetails, pointer: Pointer, document: JsonValue) -> Finding:
    """A structural error in words for an administrator."""
    kind, context = error["type"], error.get("ctx", {})
    key = _named(pointer)
    if pointer[2:3] == ("programs",) and len(pointer) == 4 and kind in ("string_type", "model_type"):
        return _error(
            "type", "a program is a name in double quotes or an object with 'name', 'path', ...", pointer, document
        )
    if kind in _KINDS:
        return _error("type", f"{key} must be {_KINDS[kind]}", pointer, document)
    match kind:
        case "extra_forbidden":
            return _error("unknown-key", f"there is no key {key} here", pointer, document, _suggestion(pointer))
        case "missing":
            return _error("missing-key", f"the key {key} is missing", pointer, document)
        case "string_too_short":
            return _error("empty", "an empty text", pointer, document, "remove it, or fill it in")
        case "string_too_long":
            message = f"the text is longer than {context.get('max_length')} characters"
            return _error("too-long", message, pointer, document)
        case "enum" | "literal_error":
            expected = context.get("expected")
            return _error("unknown-value", f"{key} must be {expected}", pointer, document, _meant(pointer, document))
        case "string_pattern_mismatch" if pointer[-1] == "sha256":
            return _error("value", "a SHA-256 is written as 64 hexadecimal digits", pointer, document)
        case "string_pattern_mismatch":
            return _error("value", "a name cannot hold line breaks or control characters", pointer, document)
        case _ if kind.startswith(("datetime", "timezone")):
            return _error("time", "there is no such time", pointer, document, "write it as 2026-12-31T18:00:00Z")
    return _error("value", error["msg"], pointer, document)


def _suggestion(pointer: Pointer) -> str:
    match pointer:
        case (_,):
            known = ["$schema", "version", "groups", "rules"]
        case ("groups", *_):
            known = list(GroupModel.model_fields)
        case ("rules", _, "programs", *_):
            known = list(ProgramModel.model_fields)
        case _:
            known = list(RuleModel.model_fields)
    close = get_close_matches(str(pointer[-1]).lower(), known, 1)
    return f"did you mean '{close[0]}'?" if close else f"known keys: {', '.join(known)}"


# What other products call the three actions.
_ELSEWHERE = {
    "allow": "bypass",
    "direct": "bypass",
    "do_not_decrypt": "bypass",
    "tunnel": "bypass",
    "deny": "block",
    "decrypt": "inspect",
    "drop": "block",
}


def _meant(pointer: Pointer, document: JsonValue) -> str:
    value = _at(document, pointer)
    if pointer[-1:] == ("action",) and isinstance(value, str):
        word = value.strip().lower()
        near = _ELSEWHERE.get(word) or next(iter(get_close_matches(word, [a.value for a in Action], 1)), None)
        return f"did you mean '{near}'?" if near else ""
    return "this version of Steering reads version 1" if pointer == ("version",) else ""
