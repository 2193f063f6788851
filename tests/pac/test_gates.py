"""Nothing that would make a browser fail open passes the gates."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from steering.pac import gates
from steering.pac.errors import PacError
from steering.pac.gates import MAX_BYTES, MAX_LITERALS, WARN_BYTES, Passed, pass_gates
from steering.pac.plan import Mark, plan
from steering.pac.render import Rendered, render
from steering.pac.view import ANONYMOUS
from steering.policy import Policy
from tests.pac.policies import NOW, ONE, policy_of, real_looking_names

POLICY = policy_of(
    {"name": "zoom", "domains": ["zoom.us", "api-*.duo.example"], "addresses": ["203.0.113.40"]},
    {"name": "other", "domains": ["a.example"], "categories": ["Legal"]},
)
PLAN = plan(POLICY, ANONYMOUS, NOW, ONE)
GOOD = render(PLAN)


def through(rendered: Rendered, policy: Policy = POLICY) -> Passed:
    return pass_gates(PLAN, rendered, policy, ANONYMOUS, NOW)


def changed(change: Callable[[str], str]) -> Rendered:
    text = change(GOOD.text)
    assert text != GOOD.text
    return replace(GOOD, text=text)


def padded(size: int) -> Rendered:
    return changed(lambda text: text + "/" * 2 + "x" * (size - len(text) - 2))


@pytest.mark.needs("quickjs")
def test_a_good_pac_passes() -> None:
    passed = through(GOOD)
    assert (passed.warnings, passed.by) == ((), "quickjs")
    assert passed.tested > 50


@pytest.mark.parametrize(
    ("size", "warned"), [(WARN_BYTES - 1, False), (WARN_BYTES, False), (WARN_BYTES + 1, True), (MAX_BYTES, True)]
)
def test_sizes_that_pass(size: int, warned: bool) -> None:
    assert bool(through(padded(size)).warnings) is warned


def test_a_byte_too_many_names_the_largest_rules() -> None:
    with pytest.raises(PacError, match=r"1,000,001 bytes.*'other' \(3 domains\), 'zoom' \(2 domains\)"):
        through(padded(MAX_BYTES + 1))


@pytest.mark.parametrize(("more", "passes"), [(-1, True), (0, True), (1, False)])
def test_literals_are_counted_in_the_text(more: int, passes: bool) -> None:
    own = sum(1 for _ in gates.literals(GOOD.text))
    made = changed(lambda text: text + "var MORE = [" + ",".join(["1"] * (MAX_LITERALS - own + more)) + "];\n")
    if passes:
        through(made)
    else:
        with pytest.raises(PacError, match="60,001 literals"):
            through(made)


@pytest.mark.parametrize(
    ("text", "count"),
    [("", 0), ('["a", "b\\"c", 1, 23, x1, a[0]]', 5), ('// "a" 1\n/* 2 */ 3', 1), ("x.y1 $2 0x1f 1.5", 2)],
)
def test_what_is_a_literal(text: str, count: int) -> None:
    assert sum(1 for _ in gates.literals(text)) == count


FAULTS: dict[str, tuple[Callable[[str], str], str]] = {
    "beyond ASCII": (lambda text: text + "// ü\n", "beyond ASCII"),
    "an arrow function": (lambda text: text + "var f = () => 1;\n", "arrow function"),
    "a template string": (lambda text: text + "var f = `x`;\n", "template string"),
    "let": (lambda text: text + "let f = 1;\n", "let, const or class"),
    "a trailing comma": (lambda text: text + "var f = [1, ];\n", "trailing comma"),
    "JSON": (lambda text: text + "var f = JSON.parse;\n", "ES5"),
    "a method of ES5": (lambda text: text + "var f = ' x'.trim();\n", "ES5"),
    "dnsResolve": (lambda text: text + "dnsResolve('x');\n", "dnsResolve"),
    "myIpAddress": (lambda text: text + "var f = myIpAddress();\n", "myIpAddress"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_text_that_some_browser_would_not_take(fault: str) -> None:
    change, reason = FAULTS[fault]
    with pytest.raises(PacError, match=reason):
        through(changed(change))


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(PacError, match=r"arrow function.*; .*myIpAddress"):
        through(changed(lambda text: text + "var f = () => myIpAddress();\n"))


@pytest.mark.parametrize(
    "harmless",
    ["// let it be, JSON\n", "/* const\n let, ] => */\n", 'var f = "=> let myIpAddress()";\n', "var outlet = 1;\n"],
)
def test_what_only_looks_like_a_fault(harmless: str) -> None:
    through(changed(lambda text: text + harmless))


BROKEN: dict[str, tuple[Callable[[str], str], str]] = {
    "no syntax": (lambda text: text + "function (", "does not load"),
    "throws when loaded": (lambda text: text + "nothing();\n", "does not load"),
    "no such function": (lambda text: text.replace("FindProxyForURL", "FindProxy"), "does not load"),
    "never loaded": (lambda text: text + "while (true) { }\n", "does not load"),
    "throws when asked": (lambda text: text.replace("function direct(h) {", "function direct(h) { h.x.y;"), "fails on"),
    "answers nothing": (lambda text: text.replace('"DIRECT" :', "null :"), "answers 'None' for"),
    "always direct": (lambda text: text.replace("return direct(h) ?", "return true ?"), "answers 'DIRECT' for"),
    "never direct": (lambda text: text.replace("return direct(h) ?", "return false ?"), "answers 'PROXY"),
    "a name missing": (lambda text: text.replace('".zoom.us":1', '".zoom.ru":1'), "for 'zoom.us'"),
    "an address missing": (lambda text: text.replace("3405803816,3405803816", "3405803817,3405803817"), "203.0.113"),
    "a pattern missing": (lambda text: text.replace('".duo.example"', '".due.example"'), "duo.example"),
}  # fmt: skip


@pytest.mark.needs("quickjs")
@pytest.mark.parametrize("what", BROKEN)
def test_a_pac_that_answers_wrongly(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "LOAD_S", 1)
    change, reason = BROKEN[what]
    with pytest.raises(PacError, match=reason):
        through(changed(change))


def test_without_a_javascript_engine_the_plan_itself_is_tested(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "quickjs", None)
    assert through(GOOD).by == "plan"
    wrong = replace(PLAN, trees=PLAN.trees | {"zoom.us": Mark.NOTHING})
    with pytest.raises(PacError, match=r"for 'zoom\.us'.*\(plan\)"):
        pass_gates(wrong, GOOD, POLICY, ANONYMOUS, NOW)


@pytest.mark.needs("quickjs")
def test_very_many_names_are_tested_by_an_even_sample() -> None:
    policy = policy_of({"domains": real_looking_names(10_000)})
    made = plan(policy, ANONYMOUS, NOW, ONE)
    passed = pass_gates(made, render(made), policy, ANONYMOUS, NOW)
    assert 6 * gates.SELF_TEST_NAMES <= passed.tested < 13 * gates.SELF_TEST_NAMES


@pytest.mark.needs("quickjs")
def test_an_overridden_template_goes_through_the_same_gates(tmp_path: Path) -> None:
    (tmp_path / "decide.js.j2").write_text('function FindProxyForURL(url, host) { return "DIRECT"; }\n')
    with pytest.raises(PacError, match="answers 'DIRECT'"):
        through(render(PLAN, templates=tmp_path))
