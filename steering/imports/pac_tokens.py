"""The words of a script: enough of JavaScript's for what people write into a PAC."""

import re
from collections.abc import Iterator
from dataclasses import dataclass


class ScriptProblem(Exception):
    """A piece of script that is not understood.  line: from 1."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(why)
        self.line = line
        self.why = why


@dataclass(frozen=True, slots=True)
class Token:
    """kind: name, string, number, mark, strange or end.  text: of a string what it stands for."""

    kind: str
    text: str
    line: int


_TOKEN = re.compile(
    r"""(?P<space>\s+|//[^\n]*|/\*.*?\*/|<!--[^\n]*)
    |(?P<name>[A-Za-z_$][\w$]*)
    |(?P<number>\d+(?![\w.]))
    |(?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    |(?P<mark>===|!==|==|!=|<=|>=|\|\||&&|\+\+|--|\+=|-=|[{}()\[\];,.:?=<>!+-])
    |(?P<strange>.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_PLAIN = frozenset("\"'\\/.-*")


def tokens(text: str) -> Iterator[Token]:
    """Every word with its line, and an "end"; what is no word known here comes as "strange"."""
    line = 1
    for found in _TOKEN.finditer(text):
        kind, word = found.lastgroup or "strange", found.group()
        if kind == "string":
            value = _value(word[1:-1])
            yield Token("strange", word, line) if value is None else Token("string", value, line)
        elif kind != "space":
            yield Token(kind, word, line)
        line += word.count("\n")
    yield Token("end", "", line)


def _value(body: str) -> str | None:
    """What a string literal stands for; None with an escape that nobody needs in a host name."""
    parts: list[str] = []
    at = 0
    for found in _ESCAPE.finditer(body):
        digits = found[1] or found[2]
        if not digits and found[3] not in _PLAIN:
            return None
        parts += (body[at : found.start()], chr(int(digits, 16)) if digits else found[3])
        at = found.end()
    return "".join((*parts, body[at:]))
