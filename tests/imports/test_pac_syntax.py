"""Statements as trees; what is not understood is passed over as a whole, and what is behind it is read."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.imports.pac_syntax import MAX_DEPTH, Node, parse_script


def shape(node: Node) -> str:
    inner = " ".join(map(shape, node.parts))
    return f"({' '.join(filter(None, (node.kind, node.value, inner)))})" if inner else node.value or node.kind


SHAPES = [
    ("return a || b && c;", ["(return (binary || a (binary && b c)))"]),
    ("x = y", ["(do (assign = x y))"]),
    ("var a = 1, b;", ["(var (set a 1) b)"]),
    ("if (a) b(); else { c(); }", ["(if a (do (call b)) (block (do (call c))))"]),
    ("for (var i = 0; i < a.length; i++) x;",
     ["(for (var (set i 0)) (binary < i (member length a)) (unary ++ i) (do x))"]),
    ("for (k in a) x", ["(each in k a (do x))"]),
    ("function f(a, b) { return a }", ["(function f (parameters a b) (return a))"]),
    ("return a ? b : c ? d : e", ["(return (choice a b (choice c d e)))"]),
    ("var o = {a: 1, 'b.c': [2]}", ["(var (set o (object (key a 1) (key b.c (array 2)))))"]),
    ("a\nb", ["(do a)", "(do b)"]),
]  # fmt: skip


@pytest.mark.parametrize(("text", "shapes"), SHAPES)
def test_shapes(text: str, shapes: list[str]) -> None:
    assert [shape(node) for node in parse_script(text)] == shapes


PASSED_OVER = [
    "switch (a) { case 1: return 2; }",
    "while (a) { b; }",
    "try { a } catch (e) { b }",
    "if (/re/.test(a)) return b; else c;",
    "a b;",
]


@pytest.mark.parametrize("text", PASSED_OVER)
def test_what_is_not_understood_is_passed_over(text: str) -> None:
    first, second = parse_script(f"{text}\nreturn z;")
    assert (first.kind, first.line, shape(second), second.line) == ("unread", 1, "(return z)", 2)


@pytest.mark.parametrize(("depth", "kind"), [(MAX_DEPTH - 1, "do"), (MAX_DEPTH, "unread")])
def test_depth(depth: int, kind: str) -> None:
    assert parse_script("(" * (depth - 1) + "a" + ")" * (depth - 1))[0].kind == kind


words = st.sampled_from(
    ["if (", "a", ")", "{", "}", "return ", ";", "for (", "in ", "var ", "=", "'s'", "[", "]", ",", "||", "!", "\n",
     "else ", "function ", "f(", "?", ":", "++", "."]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(words).map("".join)))
def test_any_text(text: str) -> None:
    lines = text.count("\n") + 1
    assert all(1 <= part.line <= lines for node in parse_script(text) for part in node.walk())


@pytest.mark.parametrize("text", ["(" * 20_000, "{" * 5_000, "!" * 20_000, "a+" * 20_000, "if(a)" * 5_000])
def test_long_nonsense_is_read_too(text: str) -> None:
    assert parse_script(text)
