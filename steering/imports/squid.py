"""Squid's ``ssl_bump`` lines with the ``acl`` lines that they name.

``splice`` becomes a bypass, ``bump`` an inspect and ``terminate`` a block rule; ``peek`` and ``stare`` only look, as
the inspector does by itself.  Squid takes the first line that matches and here the stricter action wins, so a line
that stands before a stricter one may lose names to it, never gain any.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from steering.imports.dialects import squid_entry
from steering.imports.domain_list import is_address
from steering.imports.imported import Collected, Imported, Known, rule_name, tidy
from steering.policy.model import Action

ACTIONS: Mapping[str, Action] = {
    "splice": Action.BYPASS,
    "none": Action.BYPASS,  # before Squid 3.5
    "bump": Action.INSPECT,
    "client-first": Action.INSPECT,
    "server-first": Action.INSPECT,
    "terminate": Action.BLOCK,
    "err": Action.BLOCK,
}
LOOKING = frozenset(("peek", "stare"))
NAMES = frozenset(("ssl::server_name", "dstdomain"))
# Type of an ACL -> why it cannot be taken.
FOREIGN: Mapping[str, str] = {
    "ssl::server_name_regex": "a regular expression: list the domains it stands for",
    "dstdom_regex": "a regular expression: list the domains it stands for",
    "url_regex": "a regular expression over URLs: a rule sees host names only",
    "dst": "compares addresses after resolution: a rule's addresses match address literals only",
    "proxy_auth": "users: write the rule by hand, with user:NAME as its source",
}
_FLAGS = {
    "ssl::server_name": frozenset(("-n", "--", "--client-requested", "--server-name")),
    "dstdomain": frozenset(("-n", "--")),
    "src": frozenset(("-n", "--")),
}


@dataclass(slots=True)
class _Acl:
    kind: str
    values: list[tuple[int, str]] = field(default_factory=list)
    bad: str = ""


def read_squid(text: str, known: Known) -> Imported:
    into = Collected(known)
    acls: dict[str, _Acl] = {}
    bumps: list[tuple[int, list[str]]] = []
    depth = 0
    for number, words in _lines(text):
        match words:
            case ["if", *_]:
                depth += 1
            case ["endif", *_]:
                depth = max(0, depth - 1)
            case ["acl", *_] | ["ssl_bump", *_] if depth:
                into.problem(number, " ".join(words), "stands under an 'if', which is not evaluated here")
                if words[0] == "acl" and len(words) > 1:
                    acls.setdefault(words[1], _Acl("")).bad = "partly stands under an 'if'"
            case ["acl", name, kind, *values]:
                _define(into, acls, number, name, kind, values)
            case ["ssl_bump", _, *_]:
                bumps.append((number, words))
            case ["acl" | "ssl_bump" | "include", *_]:
                why = "another file: import that too" if words[0] == "include" else "is not complete"
                into.problem(number, " ".join(words), why)
    _take_bumps(into, acls, bumps)
    return into.done()


def _lines(text: str) -> Iterator[tuple[int, list[str]]]:
    """(number, words) of each line, those that end in a backslash joined."""
    joined, begin = "", 0
    for number, line in enumerate(text.split("\n"), start=1):
        begin = begin or number
        line = line.rstrip()
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        words = (joined + line).split()
        comment = next((i for i, word in enumerate(words) if word.startswith("#")), len(words))
        if words[:comment]:
            yield begin, words[:comment]
        joined, begin = "", 0
    if joined.split():
        yield begin, joined.split()


def _define(into: Collected, acls: dict[str, _Acl], number: int, name: str, kind: str, values: list[str]) -> None:
    acl = acls.setdefault(name, _Acl(kind))
    acl.kind = acl.kind or kind
    if kind != acl.kind:
        acl.bad = f"is defined as {acl.kind} and as {kind}"
    while values and values[0].startswith("-"):
        flag = values[0]
        if flag not in _FLAGS.get(kind, {flag}):
            acl.bad = f"the option {flag} decides by more than the name that a client asks for"
        values = values[1:]
    acl.values += [(number, value) for value in values]


def _take_bumps(into: Collected, acls: Mapping[str, _Acl], bumps: list[tuple[int, list[str]]]) -> None:
    final = doubt = 0
    for number, words in bumps:
        _, verb, *names = words
        line = " ".join(words)
        if final:
            into.problem(number, line, f"is never reached: line {final} takes everything")
            continue
        if doubt and ACTIONS.get(verb) is Action.BYPASS:
            why = f"stands after line {doubt}, which was not wholly taken and may inspect or end some of these"
            into.problem(number, line, why)
            continue
        names = [name for name in names if name != "all"]
        if verb in LOOKING:
            continue
        if verb not in ACTIONS:
            into.problem(number, line, f"there is no action {verb} of Squid's that is known here")
            continue
        steps = [name for name in names if name in acls and acls[name].kind == "at_step"]
        names = [name for name in names if name not in steps]
        if not names:
            final = 0 if steps else number
            if ACTIONS[verb] is not Action.INSPECT:
                into.problem(number, line, "covers everything: here a rule names what it is for, the rest is inspected")
            continue
        problems = len(into.problems)
        _take(into, acls, number, line, ACTIONS[verb], names)
        if len(into.problems) > problems and ACTIONS[verb] is not Action.BYPASS:
            doubt = number


def _take(into: Collected, acls: Mapping[str, _Acl], number: int, line: str, action: Action, names: list[str]) -> None:
    """One line whose ACLs must all match: one list of names at most, and one of clients."""
    used = [(name, acls.get(name)) for name in names]
    for name, acl in used:
        if why := _why_not(name, acl):
            into.problem(number, line, why)
            if acl is not None and acl.kind in FOREIGN:
                for at, value in acl.values:
                    into.problem(at, value, FOREIGN[acl.kind])
            return
    known = [(name, acl) for name, acl in used if acl is not None]
    domains = [acl for _, acl in known if acl.kind in NAMES]
    sources = [acl for _, acl in known if acl.kind == "src"]
    if len(domains) > 1 or len(sources) > 1:
        into.problem(number, line, "needs two lists of one kind to match at once: write down what they have in common")
        return
    rule: dict[str, object] = {"name": rule_name("Squid: " + " ".join(names)), "action": action}
    for key, lists in (("domains", domains), ("source", sources)):
        if lists and not _fill(into, rule, action, key, lists[0]):
            into.problem(number, line, f"nothing of its {key} could be taken, and without it the rule would cover more")
            return
    into.add(number, line, rule)


def _why_not(name: str, acl: _Acl | None) -> str:
    if name.startswith("!"):
        return "'!' stands for everything but a list: a rule names what it is for"
    if acl is None:
        return f"there is no acl {name} in this text"
    if acl.bad:
        return f"acl {name}: {acl.bad}"
    if acl.kind not in NAMES and acl.kind != "src":
        return f"acl {name} ({acl.kind}): {FOREIGN.get(acl.kind, 'a condition that a rule does not have')}"
    return ""


def _fill(into: Collected, rule: dict[str, object], action: Action, key: str, acl: _Acl) -> bool:
    """Put the values of ``acl`` into the rule; False where none could be taken."""
    entries: dict[str, list[str]] = {"domains": [], "addresses": [], "source": []}
    for number, value in acl.values:
        if value.startswith('"'):
            into.problem(number, value, "its values stand in another file: import that one as squid-list")
            continue
        if key == "source":
            to, entry = "source", value
        elif is_address(value):
            to, entry = "addresses", value
        else:
            to, entry = "domains", squid_entry(value)
        if into.usable(number, action, to, entry, value):
            entries[to].append(entry)
    entries["domains"] = tidy(entries["domains"])
    rule.update({to: found for to, found in entries.items() if found})
    return any(entries.values())
