"""The words of a script, with their lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.imports.pac_tokens import tokens

WORDS = [
    ("host == 'a.example'", [("name", "host"), ("mark", "=="), ("string", "a.example")]),
    ("a!==b", [("name", "a"), ("mark", "!=="), ("name", "b")]),
    ("// no\n/* \n */ x", [("name", "x")]),
    (r'"a\x2eb\u002e\"\/"', [("string", 'a.b."/')]),
    (r'"a\nb"', [("strange", r'"a\nb"')]),
    ("0x1F", [("strange", "0"), ("name", "x1F")]),
    ("10", [("number", "10")]),
    ("`x`", [("strange", "`"), ("name", "x"), ("strange", "`")]),
    ('"open', [("strange", '"'), ("name", "open")]),
    ("\u00e9", [("strange", "\u00e9")]),
]


@pytest.mark.parametrize(("text", "words"), WORDS)
def test_words(text: str, words: list[tuple[str, str]]) -> None:
    assert [(token.kind, token.text) for token in tokens(text)] == [*words, ("end", "")]


def test_lines() -> None:
    assert [token.line for token in tokens("a\n/*\n\n*/ b // c\nd")] == [1, 4, 5, 5]


@given(st.text())
def test_any_text_has_an_end(text: str) -> None:
    found = list(tokens(text))
    assert [token.kind for token in found].count("end") == 1
    assert all(1 <= token.line <= text.count("\n") + 1 for token in found)
