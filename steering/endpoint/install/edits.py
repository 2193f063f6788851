"""What becomes of a file that others write too: put ours in, take ours out.

Pure.  ``put`` is given what is there (None: no file) and is idempotent.  ``take`` is given what is there now and what
was there before ours came, and leaves everything that others have put in since.  Whoever finds the file as ``put``
left it need not ask ``take``: it puts the old bytes back (``carry``).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from steering.endpoint.errors import EndpointError

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
BEGIN, END = "{0} begin steering endpoint, do not edit", "{0} end steering endpoint"


class EditError(EndpointError):
    """A file that is left as it is, because ours cannot be put in without harm."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Whole:
    """A file of our own, by its name."""

    content: str
    kind: Literal["whole"] = "whole"

    def put(self, old: bytes | None) -> bytes:
        return self.content.encode()

    def take(self, current: bytes, before: bytes | None) -> bytes | None:
        return before


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """Lines of ours between two marks, at the end of a text file.

    opening: what a file of this kind begins with, where there is none yet.
    """

    lines: tuple[str, ...]
    comment: str = "#"
    opening: str = ""
    kind: Literal["block"] = "block"

    def put(self, old: bytes | None) -> bytes:
        text = self._cut(_text(old or b"")) or self.opening
        if text and not text.endswith("\n"):
            text += "\n"
        return (text + "\n".join((self._mark(BEGIN), *self.lines, self._mark(END))) + "\n").encode()

    def take(self, current: bytes, before: bytes | None) -> bytes | None:
        text = self._cut(_text(current))
        return None if text in ("", self.opening) and before is None else text.encode()

    def _mark(self, mark: str) -> str:
        return mark.format(self.comment)

    def _cut(self, text: str) -> str:
        lines = text.splitlines(keepends=True)
        bare = [line.rstrip("\r\n") for line in lines]
        begin, end = self._mark(BEGIN), self._mark(END)
        if begin not in bare:
            return text
        if end not in bare[bare.index(begin) :]:
            raise EditError(f"a block begins with {begin!r} and does not end: remove it by hand")
        first = bare.index(begin)
        return "".join(lines[:first] + lines[bare.index(end, first) + 1 :])


@dataclass(frozen=True, slots=True, kw_only=True)
class JsonValues:
    """Values within a JSON object: objects are merged, lists joined, anything else is set.

    values: the text of a JSON object, so that the value can be written down as one.
    """

    values: str
    kind: Literal["json"] = "json"

    def put(self, old: bytes | None) -> bytes:
        there = _object(old)
        joined = _join(there, _object(self.values.encode()))
        # Others' own layout stays where nothing of ours is lacking.
        return old if old is not None and joined == there else _json(joined)

    def take(self, current: bytes, before: bytes | None) -> bytes | None:
        left = _part(_object(current), _object(self.values.encode()), _object(before))
        return None if not left and before is None else _json(left)


@dataclass(frozen=True, slots=True, kw_only=True)
class IniValues:
    """Keys within one section of an INI file (KDE's kind), every other line as it is."""

    section: str
    values: tuple[tuple[str, str], ...]
    kind: Literal["ini"] = "ini"

    def put(self, old: bytes | None) -> bytes:
        lines = _lines(old)
        for key, value in self.values:
            lines = self._set(lines, key, f"{key}={value}")
        return _joined(lines)

    def take(self, current: bytes, before: bytes | None) -> bytes | None:
        lines, earlier = _lines(current), _lines(before)
        for key, value in self.values:
            at, was = self._find(lines, key), self._find(earlier, key)
            if at is None or lines[at] != f"{key}={value}":
                continue  # somebody has set it otherwise since
            lines[at : at + 1] = [earlier[was]] if was is not None else []
        begin, end = self._bounds(lines)
        if begin is not None and self._bounds(earlier)[0] is None and not any(lines[begin + 1 : end]):
            del lines[begin:end]
        return None if not any(lines) and before is None else _joined(lines)

    def _set(self, lines: list[str], key: str, line: str) -> list[str]:
        at = self._find(lines, key)
        if at is not None:
            return [*lines[:at], line, *lines[at + 1 :]]
        begin, end = self._bounds(lines)
        if begin is None:
            return [*lines, f"[{self.section}]", line]
        while end > begin + 1 and not lines[end - 1]:
            end -= 1  # before the empty lines that part it from the next section
        return [*lines[:end], line, *lines[end:]]

    def _find(self, lines: list[str], key: str) -> int | None:
        begin, end = self._bounds(lines)
        if begin is None:
            return None
        return next((i for i in range(begin + 1, end) if lines[i].partition("=")[0].strip() == key), None)

    def _bounds(self, lines: list[str]) -> tuple[int | None, int]:
        """The section's header and the line after its last."""
        header = f"[{self.section}]"
        begin = next((i for i, line in enumerate(lines) if line.strip() == header), None)
        if begin is None:
            return None, len(lines)
        return begin, next((i for i in range(begin + 1, len(lines)) if lines[i].lstrip().startswith("[")), len(lines))


Change = Whole | Block | JsonValues | IniValues


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as exc:
        raise EditError("it is no UTF-8 text") from exc


def _lines(content: bytes | None) -> list[str]:
    return _text(content or b"").splitlines()


def _joined(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()


def _object(content: bytes | None) -> dict[str, Json]:
    if content is None or not content.strip():
        return {}
    try:
        found = json.loads(content)
    except ValueError as exc:
        raise EditError(f"it is no JSON ({exc}): mend it first") from exc
    if not isinstance(found, dict):
        raise EditError("it holds no JSON object: mend it first")
    return cast("dict[str, Json]", found)


def _json(value: Mapping[str, Json]) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode()


def _join(there: dict[str, Json], ours: dict[str, Json]) -> dict[str, Json]:
    joined = dict(there)
    for key, value in ours.items():
        found = there.get(key)
        match value:
            case dict():
                joined[key] = _join(found if isinstance(found, dict) else {}, value)
            case list():
                kept = found if isinstance(found, list) else []
                joined[key] = kept + [item for item in value if item not in kept]
            case _:
                joined[key] = value
    return joined


def _part(there: dict[str, Json], ours: dict[str, Json], before: dict[str, Json]) -> dict[str, Json]:
    """``there`` without ``ours``, with what was ``before`` in its place; what others have changed since stays."""
    left = dict(there)
    for key, value in ours.items():
        found, was = there.get(key), before.get(key)
        if isinstance(value, dict) and isinstance(found, dict):
            left[key] = rest = _part(found, value, was if isinstance(was, dict) else {})
            if not rest and not isinstance(was, dict):
                _restore(left, key, before)
        elif isinstance(value, list) and isinstance(found, list):
            earlier = was if isinstance(was, list) else []
            left[key] = kept = [item for item in found if item not in value or item in earlier]
            if not kept and not isinstance(was, list):
                _restore(left, key, before)
        elif found == value:
            _restore(left, key, before)
    return left


def _restore(left: dict[str, Json], key: str, before: dict[str, Json]) -> None:
    if key in before:
        left[key] = before[key]
    else:
        left.pop(key, None)
