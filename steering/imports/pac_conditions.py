"""What a condition of a PAC says of the host, as entries of a rule, as far as it can be said exactly or more narrowly.

``dnsDomainIs(host, ".a.example")`` compares ends of texts: subdomains only.  Without the dot it also matches names
that merely end alike (nota.example); those are not taken into a bypass.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, ip_address

from steering.imports.pac_syntax import Node
from steering.imports.pac_tokens import ScriptProblem

BUILTINS = frozenset(("dnsDomainIs", "shExpMatch", "localHostOrDomainIs", "isPlainHostName", "isInNet", "dnsResolve"))
_NAME = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")
_PATTERN = re.compile(r"[a-z0-9_.*-]+")
_PREFIX = re.compile(r"((?:\d{1,3}\.){1,3})\*")


@dataclass(frozen=True, slots=True)
class Text:
    """A text known beforehand.  line: where it is written."""

    text: str
    line: int


@dataclass(frozen=True, slots=True)
class Host:
    """The host that is asked for.  resolved: or its address."""

    resolved: bool = False


Value = Text | Host | int | bool | tuple["Value", ...] | dict[str, "Value"]
Values = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Entry:
    """key: domains or addresses.  beyond: the end of names that the PAC matches beyond the entry; None for none.

    "" stands for any name.
    """

    key: str
    entry: str
    line: int
    text: str
    beyond: str | None = None


@dataclass(slots=True)
class Condition:
    """entries: any of which will do.  unclear: pieces that are not understood, which may match any name.

    idle: pieces that match no name that a browser asks for, or only such as are never steered.
    """

    entries: list[Entry] = field(default_factory=list)
    unclear: list[tuple[int, str, str]] = field(default_factory=list)
    idle: list[tuple[int, str, str]] = field(default_factory=list)


def constant(node: Node, values: Values) -> Value:
    """What an expression is whatever the host.  Raises ScriptProblem."""
    match node.kind, node.value:
        case "text", text:
            return Text(text, node.line)
        case "number", digits:
            return int(digits[:15])
        case "name", "true" | "false":
            return node.value == "true"
        case "name", name if name in values:
            return values[name]
        case "array", _:
            return tuple(constant(part, values) for part in node.parts)
        case "object", _:
            return {part.value: constant(part.parts[0], values) for part in node.parts}
        case "unary", "-":
            number = constant(node.parts[0], values)
            if type(number) is int:
                return -number
        case "binary", "+":
            return _joined(node, *(constant(part, values) for part in node.parts))
        case "member", "length":
            owner = constant(node.parts[0], values)
            if isinstance(owner, tuple):
                return len(owner)
        case "index", _:
            return _element(node, *(constant(part, values) for part in node.parts))
        case "call", _:
            return _called(node, values)
    raise ScriptProblem(node.line, "is not understood")


def _joined(node: Node, left: Value, right: Value) -> Value:
    if isinstance(left, Text) and isinstance(right, Text):
        return Text(left.text + right.text, right.line if right.text.strip("; ") else left.line)
    raise ScriptProblem(node.line, "is not understood")


def _element(node: Node, owner: Value, key: Value) -> Value:
    if isinstance(owner, tuple) and isinstance(key, Text) and key.text.isdecimal() and len(key.text) < 9:
        key = int(key.text)
    if isinstance(owner, tuple) and type(key) is int and 0 <= key < len(owner):
        return owner[key]
    if isinstance(owner, dict) and isinstance(key, Text) and key.text in owner:
        return owner[key.text]
    raise ScriptProblem(node.line, "is not understood")


def _called(node: Node, values: Values) -> Value:
    called, *arguments = node.parts
    if called.kind == "member" and called.value == "toLowerCase" and not arguments:
        owner = constant(called.parts[0], values)
        if isinstance(owner, Host):
            return owner  # browsers ask with small letters
        if isinstance(owner, Text):
            return Text(owner.text.lower(), owner.line)
    resolves = called.kind == "name" and called.value == "dnsResolve" and "dnsResolve" not in values
    if resolves and [constant(argument, values) for argument in arguments] == [Host()]:
        return Host(resolved=True)
    raise ScriptProblem(node.line, "is not understood")


def condition(node: Node, values: Values) -> Condition:
    """What ``node`` says of the host.  values: what names stand for; a built-in function of that name is hidden."""
    into = Condition()
    waiting = [node]
    while waiting:
        part = waiting.pop()
        if part.kind == "binary" and part.value == "||":
            waiting += reversed(part.parts)
            continue
        try:
            _read(part, values, into)
        except ScriptProblem as problem:
            into.unclear.append((part.line, "", problem.why))
    return into


def _read(node: Node, values: Values, into: Condition) -> None:
    match node.kind, node.value:
        case "call", _:
            _call(node, values, into)
        case "binary", "==" | "===":
            left, right = (constant(part, values) for part in node.parts)
            for host, name in ((left, right), (right, left)):
                if host == Host() and isinstance(name, Text):
                    _exact(name, into)
                    return
            raise ScriptProblem(node.line, "compares something else than the host with a text")
        case "binary", "in":
            host, owner = (constant(part, values) for part in node.parts)
            _among(node, host, tuple(_keys(owner)), into)
        case "index", _:
            owner, host = (constant(part, values) for part in node.parts)
            _among(node, host, tuple(k for k in _keys(owner) if isinstance(owner, dict) and _true(owner[k.text])), into)
        case "binary", ">=" | ">" | "!=" | "!==":
            _found(node, values, into)
        case "binary", "&&":
            raise ScriptProblem(node.line, "needs two things at once ('&&'): write down what they have in common")
        case "unary", "!":
            raise ScriptProblem(node.line, "'!' stands for everything but a list: a rule names what it is for")
        case _:
            raise ScriptProblem(node.line, "this condition is not understood")


def _keys(owner: Value) -> list[Text]:
    return [Text(key, 0) for key in owner] if isinstance(owner, dict) else []


def _true(value: Value) -> bool:
    return value.text != "" if isinstance(value, Text) else bool(value)


def _among(node: Node, host: Value, names: tuple[Value, ...], into: Condition) -> None:
    if host != Host() or not names:
        raise ScriptProblem(node.line, "this condition is not understood")
    for name in names:
        if not isinstance(name, Text):
            raise ScriptProblem(node.line, "a list of more than texts")
        _exact(Text(name.text, name.line or node.line), into)


def _found(node: Node, values: Values, into: Condition) -> None:
    """``list.indexOf(host) >= 0``, ``> -1``, ``!= -1``."""
    call, bound = node.parts
    limit = constant(bound, values)
    wanted = 0 if node.value == ">=" else -1
    if call.kind != "call" or call.parts[0].kind != "member" or call.parts[0].value != "indexOf" or limit != wanted:
        raise ScriptProblem(node.line, "this comparison is not understood")
    owner = constant(call.parts[0].parts[0], values)
    if not isinstance(owner, tuple) or len(call.parts) != 2:
        raise ScriptProblem(node.line, "looks for a text anywhere in the host: a rule compares whole labels")
    _among(node, constant(call.parts[1], values), owner, into)


def _call(node: Node, values: Values, into: Condition) -> None:
    called, *given = node.parts
    if called.kind == "member" and called.value in ("includes", "hasOwnProperty", "endsWith"):
        owner = constant(called.parts[0], values)
        arguments = [constant(part, values) for part in given]
        if called.value == "endsWith" and owner == Host() and len(arguments) == 1 and isinstance(arguments[0], Text):
            return _ending(arguments[0], into)
        if isinstance(owner, tuple) == (called.value == "includes") and len(arguments) == 1:
            return _among(node, arguments[0], owner if isinstance(owner, tuple) else tuple(_keys(owner)), into)
    name = called.value
    if called.kind != "name" or name not in BUILTINS or name in values:
        raise ScriptProblem(node.line, "calls a function that is not known here")
    arguments = [constant(part, values) for part in given]
    match name, arguments:
        case "dnsDomainIs", [Host(False), Text() as end]:
            return _ending(end, into)
        case "localHostOrDomainIs", [Host(False), Text() as exact]:
            return _exact(exact, into)
        case "shExpMatch", [Host(False), Text() as pattern]:
            return _pattern(pattern, into)
        case "isPlainHostName", [Host(False)]:
            into.idle.append((node.line, "isPlainHostName", "names of one label are never steered: no rule is needed"))
            return None
        case "isInNet", [Host(), Text() as network, Text() as mask]:
            return _network(network, mask, into)
    raise ScriptProblem(node.line, f"{name} is given something that is not known beforehand")


_NEVER = "matches no name as browsers ask for it: small letters, xn-- for others, no dot at the end"


def _exact(name: Text, into: Condition) -> None:
    if _is_address(name.text):
        into.entries.append(Entry("addresses", name.text, name.line, name.text))
    elif _NAME.fullmatch(name.text):
        into.entries.append(Entry("domains", f"={name.text}", name.line, name.text))
    else:
        into.idle.append((name.line, name.text, _NEVER))


def _ending(end: Text, into: Condition) -> None:
    bare = end.text.removeprefix(".")
    if not end.text or end.text == ".":
        raise ScriptProblem(end.line, "every name ends in that")
    if not _NAME.fullmatch(bare):
        into.idle.append((end.line, end.text, _NEVER))
    elif bare != end.text:
        into.entries.append(Entry("domains", f"*.{bare}", end.line, end.text))
    else:
        into.entries.append(Entry("domains", bare, end.line, end.text, beyond=bare))


def _pattern(pattern: Text, into: Condition) -> None:
    text = pattern.text
    if "*" not in text and "?" not in text:
        return _exact(pattern, into)
    if not _PATTERN.fullmatch(text):
        raise ScriptProblem(pattern.line, f"the pattern {text!r} holds more than '*'")
    if text[0] == "*" and "*" not in text[1:]:
        return _ending(Text(text[1:], pattern.line), into)
    prefix = _PREFIX.fullmatch(text)
    if prefix:
        numbers = prefix[1].rstrip(".").split(".")
        if all(number == str(int(number)) and int(number) < 256 for number in numbers):
            address = ".".join((numbers + ["0"] * 4)[:4])
            entry = Entry("addresses", f"{address}/{8 * len(numbers)}", pattern.line, text, beyond="")
            into.entries.append(entry)
            return None
    into.entries.append(Entry("domains", text, pattern.line, text, beyond=text.rpartition("*")[2]))
    return None


def _network(network: Text, mask: Text, into: Condition) -> None:
    """Names that resolve into it match in the PAC too, address literals alone in a rule."""
    try:
        number, bits = IPv4Address(network.text), IPv4Address(mask.text)
        prefix = f"{bits:b}".rstrip("0")
        if "0" in prefix:
            raise ValueError
        found = IPv4Network((int(number) & int(bits), len(prefix)))
    except ValueError:
        raise ScriptProblem(network.line, f"{network.text} with mask {mask.text} is no network") from None
    into.entries.append(Entry("addresses", str(found), network.line, network.text, beyond=""))


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
