"""What a PAC must pass before anybody is given it.

Browsers fail open on a PAC that is too large, does not parse or throws, so none of that may be found out by them.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from steering.pac.errors import PacError
from steering.pac.plan import PacPlan
from steering.pac.render import Rendered
from steering.pac.view import View
from steering.policy import Effect, Point, Policy, PolicyError, effect, parse_host

MAX_BYTES = 1_000_000  # Chromium refuses more than 1,048,576, counted unpacked; WinHTTP "1 MB"
WARN_BYTES = 262_144  # what hosted PACs are commonly capped at
MAX_LITERALS = 60_000  # over 65,535 constants Duktape refuses the file and an old SpiderMonkey answers wrongly
SELF_TEST_NAMES = 2_000
LOAD_S = 30
# What ES3 has not, outside strings; by the names that people write.
_NOT_ES3 = (
    (re.compile(r"=>"), "an arrow function"),
    (re.compile(r"`"), "a template string"),
    (re.compile(r"\b(?:let|const|class)\s"), "let, const or class"),
    (re.compile(r",\s*[\]}]"), "a trailing comma"),
    (re.compile(r"\b(?:JSON|Object\.keys|Array\.isArray)\b"), "a function of ES5"),
    (re.compile(r"\.(?:trim|map|forEach|filter|bind|includes|startsWith|endsWith)\("), "a method of ES5 or later"),
)
_FORBIDDEN = re.compile(
    r"\b(?:dnsResolve|dnsResolveEx|isResolvable|isInNet|isInNetEx|myIpAddress|myIpAddressEx|alert|shExpMatch|eval)\b"
)
_STRINGS_AND_COMMENTS = re.compile(r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_LITERAL = re.compile(r'""|(?<![\w$.])[0-9]')

Evaluate = Callable[[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Passed:
    """warnings: for the administrator.  tested: hosts of the self-test.  by: what evaluated them."""

    warnings: tuple[str, ...]
    tested: int
    by: str


def pass_gates(
    plan: PacPlan, rendered: Rendered, lasting: Policy, view: View, at: float, *, names: int = SELF_TEST_NAMES
) -> Passed:
    """Hold a PAC to every gate.  Raises PacError with all that it fails.

    lasting: the policy that the PAC was planned from.  names: around how many of its names the self-test asks.
    """
    failures = [*_text_failures(rendered, lasting)]
    if failures:
        raise PacError("; ".join(failures))
    evaluate, by = _evaluator(plan, rendered.text)
    tested = _self_test(plan, evaluate, by, lasting, view, at, names)
    size = len(rendered.text)
    warnings = (f"the PAC has {size:,} bytes; some clients take 256 KiB only",) if size > WARN_BYTES else ()
    return Passed(warnings=warnings, tested=tested, by=by)


def _text_failures(rendered: Rendered, policy: Policy) -> Iterator[str]:
    text = rendered.text
    if not text.isascii():
        yield "the PAC holds characters beyond ASCII, which browsers read differently"
    if len(text) > MAX_BYTES:
        yield (
            f"the PAC has {len(text):,} bytes, more than the {MAX_BYTES:,} that browsers take; "
            f"the largest rules are {_largest(policy)}"
        )
    count = sum(1 for _ in literals(text))
    if count > MAX_LITERALS:
        yield f"the PAC has {count:,} literals, more than the {MAX_LITERALS:,} that every engine takes"
    code = _code(text)
    yield from (f"the PAC uses {what}, which old engines lack" for pattern, what in _NOT_ES3 if pattern.search(code))
    found = _FORBIDDEN.search(code)
    if found:
        yield f"the PAC calls {found.group()}, which is slow or unsafe in browsers"


def literals(text: str) -> Iterator[str]:
    """The strings (emptied) and numbers of a script."""
    return (found.group() for found in _LITERAL.finditer(_code(text)))


def _code(text: str) -> str:
    """A script without its comments and what stands in its strings."""
    return _STRINGS_AND_COMMENTS.sub(lambda found: '""' if found.group().startswith('"') else " ", text)


def _largest(policy: Policy) -> str:
    table = policy.rule_set.categories.domains
    sizes = [(len(rule.domains) + sum(len(table[c]) for c in rule.categories), rule.name) for rule in policy.rules]
    return ", ".join(f"'{name}' ({count:,} domains)" for count, name in sorted(sizes, reverse=True)[:3])


def _evaluator(plan: PacPlan, text: str) -> tuple[Evaluate, str]:
    """The PAC itself in a JavaScript engine where one is installed, else the plan in Python."""
    try:
        import quickjs  # optional: the extra "pac-selftest"
    except ImportError:
        return lambda _, host: plan.returns(host), "plan"
    try:
        context = quickjs.Context()
        context.set_memory_limit(256 << 20)
        context.set_time_limit(LOAD_S)
        context.eval(text)
        find = context.get("FindProxyForURL")
    except quickjs.JSException as exc:
        raise PacError(f"the PAC does not load: {exc}") from exc
    if not callable(find):
        raise PacError("the PAC does not load: it defines no function FindProxyForURL")
    return find, "quickjs"


def _self_test(plan: PacPlan, evaluate: Evaluate, by: str, lasting: Policy, view: View, at: float, names: int) -> int:
    tested = 0
    for host in _boundary_hosts(lasting, names):
        try:
            parsed = parse_host(host)
        except PolicyError:
            continue
        decision = lasting.decide(view.flow(parsed), at)
        direct = effect(Point.PAC, decision) is Effect.PAC_DIRECT
        expected = "DIRECT" if direct else plan.chains.of(parsed)
        try:
            found = str(evaluate(f"https://{host}/", host))
        except Exception as exc:  # whatever the engine throws, the PAC is unfit
            raise PacError(f"the PAC fails on {host!r} ({by}): {exc}") from exc
        if found != expected:
            raise PacError(f"the PAC answers {found!r} for {host!r} and the policy {expected!r} ({by})")
        tested += 1
    return tested


_ALWAYS = (
    "localhost",
    "127.0.0.1",
    "::1",
    "169.254.1.1",
    "10.0.0.1",
    "192.0.2.1",
    "printer",
    "127.1",
    "x.example",
    "1.2.3.4",
)


def _boundary_hosts(policy: Policy, count: int) -> Iterator[str]:
    """Each name, its parent, a child, a look-alike; spread evenly over the names where there are very many."""
    yield from _ALWAYS
    names = [name for name, _ in policy.names()]
    step = max(1, len(names) // count)
    for name in islice(names, 0, None, step):
        yield from _around(name)
    for _, node in policy.names():
        for glob in islice(node.globs, SELF_TEST_NAMES):
            yield ".".join([*(label.replace("*", "x1") for label in glob.domain.globs), glob.domain.name])
    yield from _bounds(policy)


def _around(name: str) -> Iterable[str]:
    return (name, f"a.{name}", f"a.b.{name}", f"not{name}", f"{name}.evil.example", name.partition(".")[2] or name)


def _bounds(policy: Policy) -> Iterator[str]:
    for rule in policy.rules:
        for network in islice(rule.addresses, SELF_TEST_NAMES):
            for number in (
                int(network.network_address) - 1,
                int(network.network_address),
                int(network.broadcast_address),
            ):
                if 0 <= number < 1 << network.max_prefixlen:
                    yield str(type(network.network_address)(number))
