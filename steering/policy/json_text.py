"""JSON read strictly (RFC 8259), with the place of every value.

The standard parser keeps no positions, lets the last of two equal keys win in silence and takes NaN.  A rules
file with two ``"domains"`` would then enforce half of what it shows.  What can be read on from is collected as
a fault; only what makes the rest meaningless ends the reading.
"""

import json
import re
from bisect import bisect_right
from dataclasses import dataclass, field
from json.decoder import scanstring  # type: ignore[attr-defined]  # the C scanner: not in the stubs, stable since 2.6

from steering.policy.findings import Pointer

MAX_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 64  # a rules file needs 6; Python's own recursion limit is far away
MAX_NUMBER = 64  # digits; int() of thousands is quadratic and refused by Python itself
MAX_FAULTS = 1000

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
# The place of a value: its offset, and for a container the places of what it holds.
Place = int | tuple[int, list["Place"]] | tuple[int, dict[str, tuple[int, "Place"]]]

# An entry of a list that is a plain text with another text behind it, as in a list of a hundred thousand domains.
_PLAIN_ITEM = re.compile(r'"([ !#-\[\]-~]*)"[ \t\r\n]*,[ \t\r\n]*(?=")')
_SPACE = re.compile(r"[ \t\r\n]*")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_WORD = re.compile(r"[^\s,:\[\]{}\"]{1,40}")
_SURROGATE = re.compile("[\ud800-\udfff]")
_CONSTANTS: dict[str, JsonValue] = {"true": True, "false": False, "null": None}


@dataclass(frozen=True, slots=True)
class Fault:
    """A breach of the JSON grammar at ``offset`` (characters), or at the end where it is None."""

    offset: int
    code: str
    message: str
    advice: str = ""


class _Stop(Exception):
    """Reading cannot go on."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault


@dataclass(slots=True)
class JsonText:
    """A text that was read.  value: None where ``readable`` is False.  faults: in the order of the text."""

    text: str
    value: JsonValue = None
    readable: bool = False
    faults: list[Fault] = field(default_factory=list)
    _place: Place = 0
    _lines: list[int] = field(default_factory=list)

    def line_column(self, offset: int) -> tuple[int, int]:
        """Line and column from 1; a column counts characters."""
        if not self._lines:
            self._lines = [0, *(m.end() for m in re.finditer(r"\r\n|\n|\r", self.text))]
        line = bisect_right(self._lines, offset)
        return line, offset - self._lines[line - 1] + 1

    def offset(self, pointer: Pointer) -> int:
        """Where the value at ``pointer`` stands, or the nearest value around it."""
        place: Place = self._place
        for token in pointer:
            inside = place[1] if isinstance(place, tuple) else None
            if isinstance(inside, list) and isinstance(token, int) and 0 <= token < len(inside):
                place = inside[token]
            elif isinstance(inside, dict) and token in inside:
                place = inside[str(token)][1]
            else:
                break
        return place if isinstance(place, int) else place[0]

    def key_offset(self, pointer: Pointer) -> int:
        """Where the key that ends ``pointer`` stands: what an unknown key is complained about at."""
        place: Place = self._place
        for token in pointer[:-1]:
            inside = place[1] if isinstance(place, tuple) else None
            if isinstance(inside, list) and isinstance(token, int) and 0 <= token < len(inside):
                place = inside[token]
            elif isinstance(inside, dict) and token in inside:
                place = inside[str(token)][1]
            else:
                return self.offset(pointer)
        inside = place[1] if isinstance(place, tuple) else None
        if isinstance(inside, dict) and pointer and pointer[-1] in inside:
            return inside[str(pointer[-1])][0]
        return self.offset(pointer)

    def clean(self) -> str:
        """The text itself where it is flawless, else what was understood of it, as JSON."""
        return json.dumps(self.value) if self.faults else self.text


def read_json(source: str | bytes) -> JsonText:
    """Read a JSON text.  Never raises: what is wrong is in ``faults``."""
    text, fault = _decoded(source)
    if fault is not None:
        return JsonText(text, faults=[fault])
    read = JsonText(text)
    reader = _Reader(text, read.faults)
    try:
        read.value, read._place, end = reader.value(reader.skip(0), 1)
        end = reader.skip(end)
        if end != len(text):
            advice = "remove it, or join both parts into one object"
            raise _Stop(Fault(end, "after-end", "something stands after the end of the JSON value", advice))
        read.readable = True
    except _Stop as stop:
        read.value = None
        read.faults.append(stop.fault)
    return read


def _decoded(source: str | bytes) -> tuple[str, Fault | None]:
    if len(source) > MAX_BYTES:
        limit = f"{MAX_BYTES // 1024 // 1024} MiB"
        return "", Fault(0, "too-large", f"the file is larger than {limit}", "put long lists into a category")
    if isinstance(source, bytes):
        if source.startswith((b"\xff\xfe", b"\xfe\xff")):
            return "", Fault(0, "utf-16", "the file is in UTF-16", "save it as UTF-8")
        try:
            text = source.decode("utf-8")
        except UnicodeDecodeError as exc:
            before = source[: exc.start].decode("utf-8")
            message = f"the byte 0x{source[exc.start]:02x} is not UTF-8"
            return before, Fault(len(before), "not-utf-8", message, "save the file as UTF-8")
    else:
        text = source
    if text.startswith("\ufeff"):
        return text, Fault(0, "bom", "the file begins with a byte order mark", "save it as 'UTF-8 without BOM'")
    return text, None


class _Reader:
    def __init__(self, text: str, faults: list[Fault]) -> None:
        self.text = text
        self.faults = faults

    def value(self, at: int, depth: int) -> tuple[JsonValue, Place, int]:
        """The value at ``at``, its place, and the offset behind it."""
        first = self.text[at : at + 1]
        if first == '"':
            string, end = self.string(at)
            return string, at, end
        if first == "{" or first == "[":
            if depth > MAX_DEPTH:
                raise _Stop(Fault(at, "too-deep", f"lists and objects are nested deeper than {MAX_DEPTH}"))
            return self.object(at, depth) if first == "{" else self.array(at, depth)
        return self.scalar(at)

    def string(self, at: int) -> tuple[str, int]:
        try:
            string, end = scanstring(self.text, at + 1, True)
        except json.JSONDecodeError as exc:
            raise _Stop(_string_fault(exc, at)) from exc
        if not string.isascii() and _SURROGATE.search(string):
            message = "the text holds half of a surrogate pair, which is no character"
            self.fault(Fault(at, "surrogate", message, "write the character itself"))
            string = _SURROGATE.sub("\ufffd", string)
        return string, end

    def array(self, at: int, depth: int) -> tuple[JsonValue, Place, int]:
        values: list[JsonValue] = []
        places: list[Place] = []
        end = self.skip(at + 1)
        if self.text.startswith("]", end):
            return values, (at, places), end + 1
        while True:
            while (plain := _PLAIN_ITEM.match(self.text, end)) is not None:  # a fifth of what the way below takes
                values.append(plain[1])
                places.append(end)
                end = plain.end()
            value, place, end = self.value(end, depth + 1)
            values.append(value)
            places.append(place)
            end, more = self.next_item(end, at, "]")
            if not more:
                return values, (at, places), end

    def object(self, at: int, depth: int) -> tuple[JsonValue, Place, int]:
        values: dict[str, JsonValue] = {}
        places: dict[str, tuple[int, Place]] = {}
        end = self.skip(at + 1)
        if self.text.startswith("}", end):
            return values, (at, places), end + 1
        while True:
            if not self.text.startswith('"', end):
                raise _Stop(self.expected(end, "a key in double quotes"))
            key_at = end
            key, end = self.string(end)
            end = self.skip(end)
            if not self.text.startswith(":", end):
                raise _Stop(self.expected(end, f"':' after the key {key[:40]!r}"))
            value, place, end = self.value(self.skip(end + 1), depth + 1)
            if key in values:
                message = f"the key {key[:60]!r} stands twice in one object; only one of them would count"
                self.fault(Fault(key_at, "duplicate-key", message, "join them, or remove one"))
            values[key] = value
            places[key] = (key_at, place)
            end, more = self.next_item(end, at, "}")
            if not more:
                return values, (at, places), end

    def next_item(self, end: int, opened: int, closing: str) -> tuple[int, bool]:
        """Past the comma and True, or past the closing bracket and False."""
        end = self.skip(end)
        if self.text.startswith(closing, end):
            return end + 1, False
        if not self.text.startswith(",", end):
            if end >= len(self.text):
                what = "list" if closing == "]" else "object"
                raise _Stop(Fault(opened, "unclosed", f"this {what} is never closed", f"add '{closing}' at its end"))
            raise _Stop(self.expected(end, f"',' or '{closing}'"))
        comma, end = end, self.skip(end + 1)
        if self.text.startswith(closing, end):
            message = f"a comma before '{closing}': JSON allows none behind the last entry"
            self.fault(Fault(comma, "trailing-comma", message, "remove the comma"))
            return end + 1, False
        return end, True

    def scalar(self, at: int) -> tuple[JsonValue, Place, int]:
        word = _WORD.match(self.text, at)
        if word and word.group() in _CONSTANTS:
            return _CONSTANTS[word.group()], at, word.end()
        number = _NUMBER.match(self.text, at)
        if number and (not word or number.end() >= word.end()):
            return self.number(number), at, number.end()
        raise _Stop(self.expected(at, "a value"))

    def number(self, found: re.Match[str]) -> int | float:
        if found.end() - found.start() > MAX_NUMBER:
            self.fault(Fault(found.start(), "number", f"a number of more than {MAX_NUMBER} characters"))
            return 0
        if not (found.group(1) or found.group(2)):
            return int(found.group())
        number = float(found.group())
        if number in (float("inf"), float("-inf")):
            self.fault(Fault(found.start(), "number", "the number is too large to be represented"))
            return 0
        return number

    def skip(self, at: int) -> int:
        """Past white space; comments are faults, and skipped too."""
        while True:
            at = _SPACE.match(self.text, at).end()  # type: ignore[union-attr]  # it matches the empty string
            if not self.text.startswith(("//", "/*", "#"), at):
                return at
            self.fault(Fault(at, "comment", "JSON has no comments", "put the text into the rule's 'note'"))
            close = "*/" if self.text.startswith("/*", at) else "\n"
            found = self.text.find(close, at + 1)
            at = len(self.text) if found < 0 else found + len(close)

    def fault(self, fault: Fault) -> None:
        self.faults.append(fault)
        if len(self.faults) >= MAX_FAULTS:
            raise _Stop(Fault(fault.offset, "too-many", f"more than {MAX_FAULTS} faults: the rest was not read"))

    def expected(self, at: int, what: str) -> Fault:
        if at >= len(self.text):
            return Fault(len(self.text), "ends-early", f"the file ends where {what} is expected", "was it cut off?")
        word = _WORD.match(self.text, at)
        found = word.group() if word else self.text[at]
        return Fault(at, "syntax", f"{what} is expected here, not {found!r}", _syntax_advice(found, what))


def _syntax_advice(found: str, what: str) -> str:
    if found.startswith(("'", "\u201c", "\u201d", "\u2018", "\u2019")):
        return 'JSON quotes text with straight double quotes: "text"'
    if found in ("True", "False", "None"):
        return f"write {'null' if found == 'None' else found.lower()}"
    if found.lstrip("+-") in ("NaN", "Infinity"):
        return "JSON has no such number"
    if what.startswith("','"):
        return "was a comma forgotten before it?"
    if found == ",":
        return "remove the surplus comma"
    return 'text needs double quotes: "text"' if found[:1].isalpha() else ""


def _string_fault(exc: json.JSONDecodeError, at: int) -> Fault:
    if exc.msg.startswith("Unterminated"):
        return Fault(at, "unclosed", "this text is never closed", "add the closing double quote")
    if exc.msg.startswith("Invalid control"):
        message = "a line break or control character inside a text"
        return Fault(exc.pos, "control-character", message, r"close the text on its own line, or write \n")
    return Fault(exc.pos, "escape", "a backslash that begins no known escape", r"write \\ for a backslash")
