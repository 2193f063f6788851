"""What is wrong with the value of a setting, in words for whoever wrote it."""

import re
from difflib import get_close_matches

from pydantic_core import ErrorDetails

# The kind of error that the model reports -> what the value must be.  Names in braces are of the error's context.
_MUST_BE = {
    "list_type": 'must be a list, as ["one", "another"]',
    "dict_type": "must be a table",
    "string_type": 'must be a text in quotes, as "this"',
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number",
    "int_from_float": "must be a whole number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "greater_than_equal": "must be {ge} or more",
    "less_than_equal": "must be {le} or less",
}
_CHOICE = re.compile(r"\^\(([\w|]+)\)\$")  # how the model writes a choice among a few words
_MAX_SHOWN = 60


def words_for(error: ErrorDetails) -> str:
    """The error without its place.  What our own checks say stands as it is."""
    kind, context = error["type"], error.get("ctx", {})
    choice = _CHOICE.fullmatch(str(context.get("pattern", "")))
    if choice is not None:
        return _one_of(choice[1].split("|"), error["input"])
    if kind in _MUST_BE:
        return f"{_MUST_BE[kind].format(**context)}, not {_shown(error['input'])}"
    return error["msg"].removeprefix("Value error, ")


def _one_of(known: list[str], written: object) -> str:
    close = get_close_matches(str(written).lower(), known, 1)
    advice = f"; did you mean '{close[0]}'?" if close else ""
    return f"must be {' or '.join(known)}, not {_shown(written)}{advice}"


def _shown(written: object) -> str:
    text = repr(written)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
