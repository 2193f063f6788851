"""What is to be said about a rules file: each finding with its place, its reason and what to do."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Severity(Enum):
    ERROR = "error"  # the file cannot be enforced
    WARNING = "warning"  # it can, but probably does not do what its author meant
    NOTE = "note"  # worth knowing


Pointer = tuple[str | int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing to say.

    code: a stable word for scripts.  advice: what to do, or "".  rule: the rule's name where it is about one.
    line, column: from 1, in characters; 0 where the finding has no place in a text.
    """

    severity: Severity
    code: str
    message: str
    advice: str = ""
    pointer: Pointer = ()
    rule: str | None = None
    line: int = 0
    column: int = 0

    @property
    def json_pointer(self) -> str:
        return json_pointer(self.pointer)

    def as_json(self) -> dict[str, object]:
        return {
            "severity": self.severity.value,
            "code": self.code,
            "message": self.message,
            "advice": self.advice,
            "pointer": self.json_pointer,
            "rule": self.rule,
            "line": self.line,
            "column": self.column,
        }


def json_pointer(tokens: Pointer) -> str:
    """RFC 6901 text of a pointer; control characters are escaped, since it is printed to terminals."""
    text = "".join("/" + str(token).replace("~", "~0").replace("/", "~1") for token in tokens)
    return printable(text)


def printable(text: str, max_chars: int = 200) -> str:
    """``text`` as one line that cannot steer a terminal, cut at ``max_chars``."""
    safe = "".join(c if c.isprintable() else c.encode("unicode_escape", "replace").decode("ascii") for c in text)
    return safe if len(safe) <= max_chars else safe[: max_chars - 3] + "..."


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """By place in the file, errors first where two share one."""
    return tuple(sorted(findings, key=_order))


def _order(finding: Finding) -> tuple[int, int, bool, str, str]:
    return finding.line, finding.column, finding.severity is not Severity.ERROR, finding.code, finding.message
