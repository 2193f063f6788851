"""Plans as text: small and large forms, at the edge between them, and templates that cannot make code of values."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from steering.pac.errors import PacError
from steering.pac.render import SMALL_NAMES, Js, encode, render
from tests.pac.engines import ENGINES, Batch, ask
from tests.pac.policies import INSPECTOR, around, plan_of, real_looking_names

RESERVED_NAMES = len(plan_of().trees)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", '"plain"'),
        ('x"; return "DIRECT"; //', r'"x\"; return \"DIRECT\"; //"'),
        ("\\", r'"\\"'),
        ("</script>'&", r'"\u003c/script\u003e\u0027\u0026"'),
        ("\n\r\u2028\u2029", r'"\n\r\u2028\u2029"'),
        ("ü😀", r'"\u00fc\ud83d\ude00"'),
        ("*/", '"*/"'),
        ([1, "a", []], '[1,"a",[]]'),
        (None, "null"),
    ],
)
def test_encode(value: object, text: str) -> None:
    assert encode(value) == text
    assert isinstance(encode(value), Js)


def test_numbers_that_javascript_has_no_literal_for_are_refused() -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        encode(float("nan"))


def test_a_small_pac_is_readable() -> None:
    """One name a line, in order, so that a person can read it and a diff says what changed."""
    text = render(plan_of({"domains": ["zoom.us", "=a.example"]})).text
    start = text.index("var NAMES = {\n")
    lines = text[start : text.index("\n};", start)].splitlines()[1:]
    assert lines == [
        '"$a.example":1,', '".home.arpa":3,', '".internal":3,', '".invalid":3,', '".local":3,', '".localhost":3,',
        '".onion":3,', '".test":3,', '".zoom.us":1',
    ]  # fmt: skip
    assert f'var CHAINS = [\n"PROXY {INSPECTOR}"\n];' in text
    assert "BLOCKS" not in text and "ALONE" not in text and "PATTERNS" not in text and "SLOTS" not in text


def with_names(total: int) -> dict[str, list[str]]:
    """A rule with which the plan has ``total`` entries."""
    return {"domains": real_looking_names(total - RESERVED_NAMES, seed=7)}


def answers(texts: Iterable[str], hosts: list[str]) -> list[list[str]]:
    found = ask(["quickjs", "pacparser"], [Batch(text, tuple(hosts)) for text in texts])
    assert found["quickjs"] == found["pacparser"]
    return found["quickjs"]


@pytest.mark.needs("quickjs", "pacparser")
def test_forms_agree_at_the_edge_between_them() -> None:
    """At N-1, N and N+1 names, everything that all three list, and what none lists."""
    plans = [plan_of(with_names(SMALL_NAMES + more)) for more in (-1, 0, 1)]
    made = [render(plan) for plan in plans]
    assert [len(plan.trees) for plan in plans] == [SMALL_NAMES - 1, SMALL_NAMES, SMALL_NAMES + 1]
    listed = with_names(SMALL_NAMES - 1)["domains"]
    others = [name for name in real_looking_names(500, seed=8) if name not in listed]
    hosts = [host for host in around([*listed[::5], *others, *list(plans[0].trees)[:20]]) if host]
    found = answers([r.text for r in made], hosts)
    assert [r.packed for r in made] == [0, 0, SMALL_NAMES + 1 - RESERVED_NAMES]
    assert found[0] == [plans[0].returns(host) for host in hosts]
    assert found[0] == found[1] == found[2]


FORMS = {
    "trees": ("{}",),
    "below": ("*.{}",),
    "exact": ("={}",),
    "mixed": ("{}", "*.{}", "={}", "=www.{}", "api-*.{}"),
}


@pytest.mark.needs(*ENGINES.values())
@pytest.mark.parametrize(("form", "per_block"), [("trees", 16), ("below", 32), ("exact", 64), ("mixed", 16)])
def test_large_pacs_answer_as_their_plan_in_every_engine(form: str, per_block: int) -> None:
    names = real_looking_names(2600, seed=3)
    entries = [FORMS[form][i % len(FORMS[form])].format(name) for i, name in enumerate(names)]
    strict = [f"strict.{name}" for name in names[::100]] + [f"=exact.{name}" for name in names[::101]]
    plan = plan_of({"domains": entries}, {"action": "inspect", "domains": strict})
    made = render(plan, per_block=per_block)
    assert made.packed > 1000
    hosts = [
        host
        for name in names[::20]
        for host in (*around([name]), f"www.{name}", f"api-1.{name}", f"a.strict.{name}", f"exact.{name}")
    ]
    hosts += real_looking_names(200, seed=4)
    expected = [plan.returns(host) for host in hosts]
    for engine, [found] in ask(list(ENGINES), [Batch(made.text, tuple(hosts))]).items():
        wrong = [(h, f, e) for h, f, e in zip(hosts, found, expected, strict=True) if f != e]
        assert wrong == [], engine


def test_a_template_of_the_administrator_comes_first(tmp_path: Path) -> None:
    (tmp_path / "decide.js.j2").write_text("// ours\nvar N = {{ names }};\n")
    text = render(plan_of(), templates=tmp_path).text
    assert text.endswith(f"// ours\nvar N = {RESERVED_NAMES};\n")
    assert "var CHAINS" in text


HOSTILE_TEMPLATES = {
    "a value by another way": "{{ chains ~ ';' }}",
    "a filtered value": "{{ chains | upper }}",
    "an escaped value": "{{ chains | e }}",
    "a string of its own": "{{ 'x' }}",
    "a number": "{{ 1 + 1 }}",
    "an unknown variable": "{{ chain }}",
    "an attribute": "{{ chains.nothing }}",
    "a syntax error": "{% if %}",
    "a file that is not there": '{% include "missing.js.j2" %}',
    "a division by zero": "{{ 1 // 0 }}",
    "a call of what is no function": "{{ chains() }}",
}


@pytest.mark.parametrize("what", HOSTILE_TEMPLATES)
def test_a_template_that_fails_is_a_pac_error(what: str, tmp_path: Path) -> None:
    (tmp_path / "decide.js.j2").write_text(HOSTILE_TEMPLATES[what])
    with pytest.raises(PacError, match="template"):
        render(plan_of(), templates=tmp_path)


def test_a_template_that_is_no_text_is_a_pac_error(tmp_path: Path) -> None:
    (tmp_path / "decide.js.j2").write_bytes(b"\xff\xfe")
    with pytest.raises(PacError, match="template"):
        render(plan_of(), templates=tmp_path)
