"""Strict JSON with places: what is refused, in which words, and where."""

import json
import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy import json_text
from steering.policy.findings import Pointer
from steering.policy.json_text import MAX_DEPTH, MAX_FAULTS, MAX_NUMBER, read_json


def faults(source: str | bytes) -> list[tuple[int, str]]:
    return [(fault.offset, fault.code) for fault in read_json(source).faults]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('{"a": [1,2,],}', [(10, "trailing-comma"), (12, "trailing-comma")]),
        ('{"a": 1, "b": {"a": 2}, "a": 3}', [(24, "duplicate-key")]),
        ('{"a": 1, "\\u0061": 3}', [(9, "duplicate-key")]),
        ('{"a": NaN}', [(6, "syntax")]),
        ("[-Infinity]", [(1, "syntax")]),
        ('["\\ud800"]', [(1, "surrogate")]),
        ('["\ud800"]', [(1, "surrogate")]),
        ('["\\ud83d\\ude00"]', []),
        ('["a\nb"]', [(3, "control-character")]),
        ('["a\\qb"]', [(3, "escape")]),
        ('["a', [(1, "unclosed")]),
        ('{"a": [1, 2', [(6, "unclosed")]),
        ("[1 2]", [(3, "syntax")]),
        ("{'a': 1}", [(1, "syntax")]),
        ("[True]", [(1, "syntax")]),
        ("[01]", [(1, "syntax")]),
        ("[1.]", [(1, "syntax")]),
        ("[+1]", [(1, "syntax")]),
        ("[1]]", [(3, "after-end")]),
        ("", [(0, "ends-early")]),
        ("  ", [(2, "ends-early")]),
        ('{"a"', [(4, "ends-early")]),
        ("[1, // one\n 2 /* two */]", [(4, "comment"), (14, "comment")]),
        ("[1e999]", [(1, "number")]),
        ("\ufeff{}", [(0, "bom")]),
        (b"\xef\xbb\xbf{}", [(0, "bom")]),
        (b"\xff\xfe{\x00}\x00", [(0, "utf-16")]),
        (b'["\xc3\xa4", "\xe9"]', [(7, "not-utf-8")]),
        ("[\u00a01]", [(1, "syntax")]),  # a no-break space, as word processors write it
    ],
)
def test_faults(source: str | bytes, expected: list[tuple[int, str]]) -> None:
    assert faults(source) == expected


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_limit_of_depth(extra: int) -> None:
    depth = MAX_DEPTH + extra
    for opening, closing in (("[", "]"), ('{"a":', "}")):
        source = opening * (depth - 1) + ("[" if opening == "[" else "{") + closing * depth
        assert [code for _, code in faults(source)] == (["too-deep"] if extra > 0 else [])


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_limit_of_a_number(extra: int) -> None:
    assert faults("7" * (MAX_NUMBER + extra)) == ([(0, "number")] if extra > 0 else [])


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_limit_of_size(extra: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_text, "MAX_BYTES", 100)
    assert faults(b" " * (98 + extra) + b"[]") == ([(0, "too-large")] if extra > 0 else [])


@pytest.mark.parametrize("extra", [-1, 0, 1])
def test_the_limit_of_faults(extra: int) -> None:
    count = MAX_FAULTS + extra
    read = read_json("[" + "[1,]," * (count - 1) + "[1,]]")
    assert read.readable == (extra < 0)
    assert len(read.faults) == (count if extra < 0 else MAX_FAULTS + 1)


def test_lines_and_columns_count_characters() -> None:
    read = read_json('{"ä": "ö",\r\n "b": [\n1,\r  "😀", 2]}')
    assert [read.line_column(read.offset(("b", *i))) for i in ((), (0,), (1,), (2,))] == [
        (2, 7),
        (3, 1),
        (4, 3),
        (4, 8),
    ]
    assert read.line_column(read.key_offset(("b",))) == (2, 2)
    assert read.line_column(read.offset(("b", 9))) == (2, 7)  # the nearest around it
    assert read.line_column(read.offset(("c",))) == (1, 1)


# Half a surrogate pair is no character.
text = st.text(st.characters(codec="utf-8"))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False)
    | text,
    lambda inner: st.lists(inner) | st.dictionaries(text, inner),
    max_leaves=30,
)  # fmt: skip


@given(values, st.sampled_from([None, 0, 2]), st.booleans())
def test_reads_what_the_standard_parser_reads(value: json_text.JsonValue, indent: int | None, ascii_: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_)
    read = read_json(text)
    assert read.readable
    assert read.faults == []
    assert read.value == json.loads(text)
    assert read_json(text.encode()).value == read.value


def pointers(value: json_text.JsonValue) -> Iterator[Pointer]:
    yield ()
    inside = enumerate(value) if isinstance(value, list) else value.items() if isinstance(value, dict) else ()
    for token, child in inside:
        yield from ((token, *rest) for rest in pointers(child))


@given(values, st.sampled_from([None, 0, 2]), st.sampled_from([("\n", ""), ("\r\n", ""), ("\r", " "), ("\n", "\n\n")]))
def test_every_value_and_key_stands_where_it_is_said_to(
    value: json_text.JsonValue, indent: int | None, around: tuple[str, str]
) -> None:
    """The place is tried on the text itself: by lines cut in the three ways that files end them."""
    line_end, before = around
    text = before + json.dumps(value, indent=indent).replace("\n", line_end)
    read, decoder, lines = read_json(text), json.JSONDecoder(), re.split("\r\n|\n|\r", text)

    def decoded_at(offset: int) -> object:
        line, column = read.line_column(offset)
        assert text.startswith(lines[line - 1][column - 1 :], offset)
        return decoder.raw_decode(text, offset)[0]

    for pointer in pointers(value):
        at: object = value
        for token in pointer:
            at = at[token]  # type: ignore[index]  # a list's number or an object's key, as pointers gives them
        assert decoded_at(read.offset(pointer)) == at
        if pointer and isinstance(pointer[-1], str):
            assert decoded_at(read.key_offset(pointer)) == pointer[-1]


@given(st.text(alphabet='[]{}:,"\\u0dea18 tfnN-.eE/*#\n\ud800', max_size=40))
def test_never_raises_and_never_reads_more_than_the_standard_parser(text: str) -> None:
    read = read_json(text)
    if read.readable and not read.faults:
        assert read.value == json.loads(text)
    else:
        assert read.faults
    if read.readable:
        json.loads(read.clean())


@given(st.binary(max_size=60))
def test_never_raises_on_bytes(content: bytes) -> None:
    read = read_json(content)
    assert read.readable or read.faults
