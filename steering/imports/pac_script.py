"""A PAC that was written by hand, read without being run: which names it sends direct, as rules.

``return "DIRECT"`` becomes a bypass, ``PROXY`` needs no rule but where it stands before a bypass that would take some
of its names: then it becomes an inspect rule.  What is not understood and may lead to a proxy costs all bypasses
behind it, as some of their names could be proxied.  A PAC stops at the first ``return``, here the stricter action
wins: a name may be inspected that the PAC sends direct, never the other way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from steering.imports.imported import Collected, Imported, Known, rule_name, tidy
from steering.imports.pac_conditions import BUILTINS, Entry, Host, Text, Value, condition, constant
from steering.imports.pac_syntax import Node, parse_script
from steering.imports.pac_tokens import ScriptProblem
from steering.policy.domains import parse_domain
from steering.policy.model import Action
from steering.policy.rules import parse_network

MAX_STEPS = 200_000  # statements looked at, loops unrolled
_PROXIES = ("PROXY ", "HTTP ", "HTTPS ", "SOCKS ", "SOCKS4 ", "SOCKS5 ", "QUIC ")
_HERE = ("127.", "0.", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class _Clause:
    action: Action
    entry: Entry


@dataclass(slots=True)
class _Doubt:
    """Names that may go through a proxy: those that end in ``end``, "" for any."""

    line: int
    end: str


@dataclass(slots=True)
class _Reading:
    into: Collected
    lines: Sequence[str]
    values: dict[str, Value] = field(default_factory=dict)
    clauses: list[_Clause] = field(default_factory=list)
    doubts: list[_Doubt] = field(default_factory=list)
    steps: int = 0

    # Statements: each answers whether nothing behind it is reached any more.

    def run(self, statements: Sequence[Node]) -> bool:
        return any(self._statement(node) for node in statements)

    def _statement(self, node: Node) -> bool:
        self.steps += 1
        if self.steps > MAX_STEPS:
            if not any(doubt.end == "" for doubt in self.doubts):
                self._unclear(node, "the script is too long to be followed", proxied=True)
            return True
        match node.kind:
            case "var":
                for part in node.parts:
                    self._set(part.value, part.parts[0] if part.parts else None)
            case "block":
                return self.run(node.parts)
            case "do":
                self._do(node.parts[0])
            case "if":
                return self._if(node)
            case "for" | "each":
                return self._loop(node)
            case "return":
                return self._return(node)
            case "function":
                self._forget(node)
            case _:
                self._lost(node, "this statement is not understood")
        return False

    def _set(self, name: str, expression: Node | None) -> None:
        try:
            value = constant(expression, self.values) if expression is not None else None
        except ScriptProblem:
            value = None
        if value is not None:
            self.values[name] = value
        elif name in BUILTINS:
            self.values[name] = False  # hides the function
        else:
            self.values.pop(name, None)

    def _do(self, node: Node) -> None:
        if node.kind == "assign" and node.parts[0].kind == "name" and node.value == "=":
            self._set(node.parts[0].value, node.parts[1])
        else:
            self._forget(node)

    def _forget(self, node: Node) -> None:
        """What ``node`` sets, and every list that it names, may have changed by now."""
        changed = set(_assigned(node))
        for part in node.walk():
            name = part.value if part.kind in ("name", "set", "word") else ""
            gone = name in changed or isinstance(self.values.get(name), (tuple, dict))
            if gone and name not in BUILTINS:  # one that is hidden stays so
                self.values.pop(name, None)

    def _if(self, node: Node) -> bool:
        test, then, *others = node.parts
        action = self._outcome(then)
        if action is None:
            self._lost(node, "does more than one thing under a condition")
            return False
        self._clause(node, test, action)
        return bool(others) and self._statement(others[0])

    def _outcome(self, then: Node) -> Action | None:
        """What a branch comes to: None where it does not return at once, or something that is not known."""
        while then.kind == "block" and len(then.parts) == 1:
            then = then.parts[0]
        if then.kind != "return" or not then.parts:
            return None
        return self._action(then.parts[0])

    def _action(self, node: Node) -> Action | None:
        try:
            value = constant(node, self.values)
        except ScriptProblem:
            return None
        words = [part.strip().upper() for part in value.text.split(";") if part.strip()] if type(value) is Text else []
        if words and all(word == "DIRECT" for word in words):
            return Action.BYPASS
        if words and words[0].startswith(_PROXIES):
            if words[0].partition(" ")[2].strip().lower().startswith(_HERE):
                why = "sends names to this very machine, as if to block them: write a block rule if that is meant"
                self._problem(node.line, "", why)
            return Action.INSPECT
        return None

    def _clause(self, node: Node, test: Node, action: Action) -> None:
        found = condition(test, self.values)
        for line, text, why in (*found.unclear, *found.idle):
            self._problem(line, text, why)
        for entry in found.entries:
            self.clauses.append(_Clause(action, entry))
            if action is Action.INSPECT and entry.beyond is not None:
                self.doubts.append(_Doubt(entry.line, entry.beyond))
            self._take(entry, action)
        if action is Action.INSPECT and found.unclear:
            self.doubts.append(_Doubt(node.line, ""))

    def _take(self, entry: Entry, action: Action) -> None:
        """Drop the clause just made where it cannot be a rule, or where an earlier line may have taken its names."""
        if not self.into.usable(entry.line, action, entry.key, entry.entry, entry.text):
            self.clauses.pop()
            if action is Action.INSPECT:
                self.doubts.append(_Doubt(entry.line, ""))
        elif action is Action.BYPASS and (doubt := self._doubted(entry)):
            self.clauses.pop()
            self._problem(entry.line, entry.text, f"line {doubt.line} may send some of this to a proxy first")

    def _doubted(self, entry: Entry) -> _Doubt | None:
        return next((doubt for doubt in self.doubts if _may_meet(entry, doubt.end)), None)

    def _return(self, node: Node) -> bool:
        value = node.parts[0] if node.parts else node
        while value.kind == "choice":
            test, then, other = value.parts
            action = self._action(then)
            if action is None:
                self._unclear(node, "what it returns is not known beforehand", proxied=True)
            else:
                self._clause(node, test, action)
            value = other
        action = self._action(value)
        if action is None:
            self._unclear(node, "what it returns is not known beforehand", proxied=True)
        elif action is Action.BYPASS:
            self._unclear(node, "goes direct by default: here everything without a rule is inspected", proxied=False)
        return True

    def _loop(self, node: Node) -> bool:
        try:
            name, values = self._turns(node)
        except ScriptProblem:
            self._lost(node, "this loop is not understood")
            return False
        body = node.parts[-1]
        if any(part.kind in ("set", "assign") and _target(part) == name for part in body.walk()):
            self._lost(node, "this loop is not understood")
            return False
        for value in values:
            self.values[name] = value
            if self.steps > MAX_STEPS or self._statement(body):
                return True
        self.values.pop(name, None)
        return False

    def _turns(self, node: Node) -> tuple[str, Sequence[Value]]:
        """The name that changes with each turn of a loop, and what it stands for.  Raises ScriptProblem."""
        if node.kind == "each":
            name, over, _ = node.parts
            owner = constant(over, self.values)
            if isinstance(owner, tuple):
                return name.value, owner if node.value == "of" else range(len(owner))
            if isinstance(owner, dict) and node.value == "in":
                return name.value, [Text(key, node.line) for key in owner]
            raise ScriptProblem(node.line, "")
        first, test, step, _ = node.parts
        start = first.parts[0] if first.kind == "var" and len(first.parts) == 1 else first
        counts = test.kind == "binary" and test.value == "<" and test.parts[0].kind == "name"
        name_text = _target(start)
        number = start.parts[-1] if start.parts else start
        plain = step.kind == "unary" and step.value == "++" and step.parts[0].kind == "name"
        if not (counts and plain and name_text == test.parts[0].value == step.parts[0].value):
            raise ScriptProblem(node.line, "")
        end = constant(test.parts[1], self.values)
        if constant(number, self.values) != 0 or type(end) is not int or not 0 <= end <= MAX_STEPS:
            raise ScriptProblem(node.line, "")
        return name_text, range(end)

    # What is not understood

    def _lost(self, node: Node, why: str) -> None:
        """A statement that may set things, and may return."""
        self._unclear(node, why, proxied=_may_proxy(node))
        self._forget(node)

    def _unclear(self, node: Node, why: str, *, proxied: bool) -> None:
        self._problem(node.line, "", why)
        if proxied:
            self.doubts.append(_Doubt(node.line, ""))

    def _problem(self, line: int, text: str, why: str) -> None:
        shown = text or (self.lines[line - 1] if line <= len(self.lines) else "")
        self.into.problem(line, shown, why)


def _assigned(node: Node) -> Iterator[str]:
    """Names that may stand for something else after ``node``."""
    for part in node.walk():
        if part.kind in ("set", "function"):
            yield part.value
        elif part.kind == "each" or (part.kind == "unary" and part.value in ("++", "--")):
            yield part.parts[0].value
        elif part.kind == "assign" and part.parts[0].kind not in ("member", "index"):
            yield from (name.value for name in part.parts[0].walk())
        elif part.kind == "unread":
            yield from _assigned_by_words([word.value for word in part.parts])


_HARMLESS = frozenset((")", ",", ".", "[", "(", ";", "==", "===", "!=", "!==", "||", "&&", "]", "{", "}", "?", ":", ""))
_SETTING = frozenset(("=", "+=", "-=", "++", "--", "in", "of"))


def _assigned_by_words(words: Sequence[str]) -> Iterator[str]:
    several = any(pair in (("]", "="), ("}", "=")) for pair in pairwise(words))  # takes a list or an object apart
    for before, word, after in zip(("", *words), words, (*words[1:], ""), strict=False):
        # An operator that is not known here (*=, ??=) comes as its characters, and ends in "=".
        if several or after in _SETTING or before in _SETTING or not (after in _HARMLESS or after[:1].isalnum()):
            yield word


def _target(node: Node) -> str:
    """The name that a declaration or an assignment sets, "" for anything else."""
    if node.kind == "set":
        return node.value
    return node.parts[0].value if node.kind == "assign" and node.parts[0].kind == "name" else ""


def _may_proxy(node: Node) -> bool:
    """Whether some return in there is anything but DIRECT."""
    if node.kind == "unread":
        words = [part.value for part in node.parts]
        returned = [words[i + 1 : i + 3] for i, word in enumerate(words) if word == "return"]
        return any(after[:1] != ["DIRECT"] or after[1:] not in ([";"], ["}"], []) for after in returned)
    for part in node.walk():
        if part.kind == "unread" and part is not node and _may_proxy(part):
            return True
        if part.kind == "return" and [inner.value for inner in part.parts] != ["DIRECT"]:
            return True
    return False


def _may_meet(entry: Entry, end: str) -> bool:
    """Whether a name of the entry may end in ``end``."""
    if not end:
        return True
    if entry.key == "addresses":
        return end[-1:].isdecimal()
    name = parse_domain(entry.entry).name
    return name.endswith(end) or (not entry.entry.startswith("=") and f".{end}".endswith(f".{name}"))


def _meet(one: Entry, other: Entry) -> bool:
    """Whether two entries may have a host in common."""
    if one.key != other.key:
        return False
    if one.key == "addresses":
        a, b = parse_network(one.entry), parse_network(other.entry)
        return a.version == b.version and a.overlaps(b)
    names = [f".{parse_domain(entry.entry).name}" for entry in (one, other)]
    return names[0].endswith(names[1]) or names[1].endswith(names[0])


def read_pac(text: str, known: Known) -> Imported:
    into = Collected(known)
    script = parse_script(text)
    found = [node for node in script if node.kind == "function" and node.value == "FindProxyForURL"]
    reading = _Reading(into, text.split("\n"))
    if not found or len(found[-1].parts[0].parts) < 2:
        line = found[-1].line if found else 1
        into.problem(line, "FindProxyForURL", "there is no function FindProxyForURL(url, host) that can be read")
        return into.done()
    main = found[-1]
    reading.run([node for node in script if node.kind != "function"])
    reading.clauses.clear()  # what stands outside of the function decides nothing
    host = main.parts[0].parts[1].value
    for name in (*_set_elsewhere(script, main), *_kept_changed(main)):
        reading.values.pop(name, None)
    reading.values |= dict.fromkeys(_own_functions(script, main), False)
    reading.values[host] = Host()
    if not reading.run(main.parts[1:]):
        into.problem(main.line, "FindProxyForURL", "may end without an answer, and browsers then go direct")
    _rules(reading)
    return into.done()


def _own_functions(script: Sequence[Node], main: Node) -> Iterator[str]:
    """Names of functions in there, and whatever hides a built-in one."""
    for top in script:
        for node in top.walk():
            if node.kind in ("function", "set") and (node.kind == "function" or node.value in BUILTINS):
                if node is not main:
                    yield node.value
            elif node.kind == "assign" and _target(node) in BUILTINS:
                yield _target(node)
            elif node.kind == "word" and node.value in BUILTINS:
                yield node.value


def _set_elsewhere(script: Sequence[Node], main: Node) -> Iterator[str]:
    """Names that other functions change, whoever calls them."""
    for function in (node for top in script for node in top.walk() if node.kind == "function" and node is not main):
        for node in function.walk():
            if node.kind in ("assign", "unary", "call", "unread"):
                yield from (part.value for part in node.walk() if part.kind in ("name", "word"))


_READING = frozenset(("indexOf", "includes", "hasOwnProperty", "endsWith", "toLowerCase"))


def _kept_changed(main: Node) -> Iterator[str]:
    """Names that the function itself changes: what it leaves in them, its next call may find."""
    for node in main.walk():
        if node.kind in ("assign", "each") or (node.kind == "unary" and node.value in ("++", "--")):
            yield from (part.value for part in node.parts[0].walk() if part.kind == "name")
        elif node.kind == "unread":
            yield from (part.value for part in node.parts)
        elif node.kind == "call" and node.parts[0].value not in BUILTINS | _READING:
            yield from (part.value for part in node.walk() if part.kind == "name")


def _rules(reading: _Reading) -> None:
    """Inspect what stands before a bypass of the same names, and bypass the rest."""
    strict: list[Entry] = []
    direct: list[Entry] = []
    for at, clause in enumerate(reading.clauses):
        if clause.action is Action.BYPASS:
            direct.append(clause.entry)
        elif any(later.action is Action.BYPASS and _meet(clause.entry, later.entry) for later in reading.clauses[at:]):
            strict.append(clause.entry)
            for entry in direct:
                if _meet(entry, clause.entry):
                    why = f"is inspected where line {clause.entry.line} names the same: the stricter action wins"
                    reading.into.problem(entry.line, entry.text, why)
    title = reading.into.known.title
    for action, entries, name in ((Action.BYPASS, direct, title), (Action.INSPECT, strict, f"{title}: exceptions")):
        domains = tidy([entry.entry for entry in entries if entry.key == "domains"])
        addresses = list(dict.fromkeys(entry.entry for entry in entries if entry.key == "addresses"))
        if domains or addresses:
            rule = {"name": rule_name(name), "action": action, "domains": domains, "addresses": addresses}
            reading.into.add(1, title, rule)
