"""The grammar of a rule's ``domains``: which names an entry stands for.

``example.com``         the name and every subdomain
``*.example.com``       subdomains only, at any depth
``=example.com``        exactly that name
``api-*.example.com``   ``*`` within one label, left of the registrable domain
"""

import re
from dataclasses import dataclass
from enum import Enum

from steering.policy.errors import DomainError, HostError
from steering.policy.hosts import MAX_NAME, ends_in_number, normalise_name
from steering.policy.suffixes import registrable


class Reach(Enum):
    TREE = "the name and its subdomains"
    BELOW = "subdomains only"
    EXACT = "exactly this name"
    GLOB = "a pattern within labels"


@dataclass(frozen=True, slots=True)
class Domain:
    """A parsed entry.

    name: the fixed part, normalised: for GLOB the labels right of the last ``*``.
    globs: for GLOB the labels left of ``name``, as written and lower-cased; else empty.
    below: for GLOB, whether the pattern stood behind ``*.`` and so means only names below it.
    """

    reach: Reach
    name: str
    globs: tuple[str, ...] = ()
    below: bool = False

    def __str__(self) -> str:
        match self.reach:
            case Reach.TREE:
                return self.name
            case Reach.BELOW:
                return f"*.{self.name}"
            case Reach.EXACT:
                return f"={self.name}"
            case Reach.GLOB:
                return ".".join((*(("*",) if self.below else ()), *self.globs, self.name))

    def matches(self, name: str) -> bool:
        """Whether the entry stands for ``name`` (normalised): the slow, obvious reading of the grammar."""
        match self.reach:
            case Reach.TREE:
                return name == self.name or name.endswith("." + self.name)
            case Reach.BELOW:
                return name.endswith("." + self.name)
            case Reach.EXACT:
                return name == self.name
            case Reach.GLOB:
                return name.endswith("." + self.name) and self.matches_labels(name[: -len(self.name) - 1].split("."))

    def matches_labels(self, labels: list[str]) -> bool:
        """For GLOB: whether the labels left of ``name`` fit."""
        surplus = len(labels) - len(self.globs)
        if surplus < 0 or (surplus == 0) == self.below:
            return False
        return all(glob_pattern(g).fullmatch(label) for g, label in zip(self.globs, labels[surplus:], strict=True))


_PATTERNS: dict[str, re.Pattern[str]] = {}


def glob_pattern(glob: str) -> re.Pattern[str]:
    """A label of a pattern as a regular expression; ``*`` stands for any run of characters within the label."""
    if glob not in _PATTERNS:
        first, *others = map(re.escape, glob.split("*"))
        # Atomic groups: the leftmost fit of each part is as good as any, so nothing is ever tried again.
        # A plain ".*a.*a.*a" takes exponential time on a label that a client chose.
        between = "".join(f"(?>[^.]*?{part})" for part in others[:-1] if part)
        last = f"[^.]*{others[-1]}" if others else ""  # none: a plain label, left of one with '*' (www.*.example.com)
        _PATTERNS[glob] = re.compile(f"{first}{between}{last}")
    return _PATTERNS[glob]


# What nearly every entry is: a name in its normal form, of two labels and more, the last of which begins with a letter.
_PLAIN = re.compile(r"(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_FOREIGN = (
    ("://", "leave out the scheme: a rule covers every scheme and port"),
    ("/", "leave out the path: a rule sees host names only"),
    ("@", "leave out the user name"),
    (":", "leave out the port: a rule covers every port; IPv6 addresses belong in 'addresses'"),
)


def parse_domain(text: str) -> Domain:
    """Parse one entry of ``domains``.  Raises DomainError, whose text says what to write instead."""
    if len(text) <= MAX_NAME and _PLAIN.fullmatch(text):
        return Domain(Reach.TREE, text)
    return parse_unusual(text)


def parse_unusual(text: str) -> Domain:
    """As ``parse_domain``, with nothing taken for granted: its slow twin."""
    entry = text.strip()
    for mark, advice in _FOREIGN:
        if mark in entry:
            raise DomainError(f"{text!r}: {advice}")
    if entry.startswith("."):
        bare = entry.lstrip(".")
        raise DomainError(
            f"{text!r} is ambiguous (some products include the name itself, some do not): "
            f"write '{bare}' for the name and its subdomains or '*.{bare}' for subdomains only"
        )
    if entry.startswith("="):
        if "*" in entry:
            raise DomainError(f"{text!r}: '=' means exactly this name, so it cannot hold '*'")
        return Domain(Reach.EXACT, _name(text, entry[1:]))
    below = entry.startswith("*.")
    rest = entry[2:] if below else entry
    if "*" in rest:
        return _parse_glob(text, rest, below)
    return Domain(Reach.BELOW if below else Reach.TREE, _name(text, rest))


def _name(text: str, name: str) -> str:
    try:
        normal = normalise_name(name)
    except HostError as exc:
        raise DomainError(str(exc)) from exc
    if ends_in_number(normal):
        raise DomainError(f"{text!r} is or looks like an address: put addresses into 'addresses'")
    if normal.startswith("-") or ".-" in normal or normal.endswith("-") or "-." in normal:
        raise DomainError(f"{text!r}: a label cannot begin or end with '-'")
    return normal


def _parse_glob(text: str, rest: str, below: bool) -> Domain:
    if not rest.isascii():
        raise DomainError(f"{text!r}: write names with '*' in their xn-- form")
    if len(rest) > MAX_NAME:
        raise DomainError(f"{text[:60]!r}... is longer than {MAX_NAME} characters")
    labels = rest.lower().removesuffix(".").split(".")
    last = max(i for i, label in enumerate(labels) if "*" in label)
    fixed = ".".join(labels[last + 1 :])
    if not fixed:
        raise DomainError(f"{text!r}: '*' may not stand in the last label, it would match names of unknown owners")
    name = _name(text, fixed)
    if registrable(name) is None:
        raise DomainError(
            f"{text!r}: '*' is allowed only left of a registrable domain; '{name}' is a public suffix, "
            "so this would match names of unknown owners"
        )
    globs = tuple(labels[: last + 1])
    for glob in globs:
        if not re.fullmatch(r"[a-z0-9_*-]{1,63}", glob):
            raise DomainError(f"{text!r}: the label {glob!r} holds a character that no host name has, or is too long")
    return Domain(Reach.GLOB, name, globs, below)
