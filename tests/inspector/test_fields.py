"""Header fields: well formed or not, hop by hop or not, and the body that they announce."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering_inspector.fields import (
    HOP_BY_HOP,
    Field,
    HeadError,
    body_of,
    check_fields,
    end_to_end,
    render_fields,
    tokens_of,
    values_of,
)
from steering_inspector.framing import ChunkedBody, LengthBody

CL, TE = b"Content-Length", b"Transfer-Encoding"


@pytest.mark.parametrize(
    ("name", "value", "fine"),
    [
        (b"X-A", b"b", True),
        (b"!#$%&'*+.^_`|~09", b"", True),
        (b"X", b"\x80\xff \t~", True),
        (b"", b"a", False),
        (b"X ", b"a", False),
        (b"X:", b"a", False),
        (b"X\xc3\xa4", b"a", False),
        (b"X", b"a\r\nY: b", False),
        (b"X", b"a\x00", False),
        (b"X", b"a\x7f", False),
        (b"X_Custom", b"a", True),
        (b"Content_Length", b"1", False),
        (b"transfer_encoding", b"chunked", False),
        (b"HOST_", b"a", True),
        (b"Proxy_Authorization", b"a", False),
        (b"http2_settings", b"a", False),
    ],
)
def test_what_a_field_may_be(name: bytes, value: bytes, fine: bool) -> None:
    if fine:
        check_fields([(name, value)], 400, "bad-request")
        return
    with pytest.raises(HeadError) as refused:
        check_fields([(b"A", b"b"), (name, value)], 400, "bad-request")
    assert (refused.value.status, refused.value.reason) == (400, "bad-request")


def test_values_and_tokens_come_in_order_whatever_the_case() -> None:
    fields = [(b"A", b" x , Y,, "), (b"b", b"1"), (b"a", b"Z")]
    assert values_of(fields, b"a") == [b" x , Y,, ", b"Z"]
    assert tokens_of(fields, b"a") == [b"x", b"y", b"z"]
    assert (values_of(fields, b"c"), tokens_of(fields, b"c")) == ([], [])


@pytest.mark.parametrize("name", sorted(HOP_BY_HOP))
def test_what_is_hop_by_hop_stays_here(name: bytes) -> None:
    assert end_to_end([(name.title(), b"a"), (b"X", b"b")], frozenset()) == [(b"X", b"b")]


@pytest.mark.parametrize(
    ("named", "kept"),
    [
        (b"X-Mine", [(b"Cookie", b"c"), (b"Content-Length", b"5"), (b"Host", b"h")]),
        (b"x-mine, COOKIE", [(b"Content-Length", b"5"), (b"Host", b"h")]),
        # A message cannot be broken by naming what it needs.
        (b"Content-Length, Host, X-Mine, close", [(b"Cookie", b"c"), (b"Content-Length", b"5"), (b"Host", b"h")]),
    ],
)
def test_what_connection_names_stays_here(named: bytes, kept: list[Field]) -> None:
    fields = [(b"Connection", named), (b"X-Mine", b"a"), (b"Cookie", b"c"), (b"Content-Length", b"5"), (b"Host", b"h")]
    assert end_to_end(fields, frozenset()) == kept


@pytest.mark.parametrize(
    ("name", "goes_on"),
    [
        (b"Steering-Attestation", False),
        (b"STEERING-X", False),
        (b"steering-", False),
        (b"Steering_Attestation", False),  # some servers read it as if it had a hyphen
        (b"Steering", True),
        (b"Steerings-X", True),
        (b"X-Steering-X", True),
    ],
)
def test_what_we_say_to_helpers_stays_here(name: bytes, goes_on: bool) -> None:
    assert end_to_end([(name, b"a")], frozenset()) == ([(name, b"a")] if goes_on else [])


def test_what_is_written_anew_is_dropped() -> None:
    assert end_to_end([(b"Host", b"a"), (b"X", b"b")], frozenset({b"host"})) == [(b"X", b"b")]


@pytest.mark.parametrize(
    ("fields", "minor", "expected"),
    [
        ([], 1, None),
        ([(CL, b"0")], 1, 0),
        ([(CL, b"007")], 1, 7),
        ([(CL, b"9" * 18)], 1, int("9" * 18)),
        ([(TE, b"chunked")], 1, "chunked"),
        ([(TE, b" CHUNKED ")], 1, "chunked"),
    ],
)
def test_the_body_that_is_announced(fields: list[Field], minor: int, expected: int | str | None) -> None:
    body = body_of(fields, minor=minor, status=400, reason="bad-request", padded=False)
    got = body.left if isinstance(body, LengthBody) else "chunked" if isinstance(body, ChunkedBody) else None
    assert got == expected


@pytest.mark.parametrize(
    ("fields", "minor"),
    [
        ([(CL, b"5"), (TE, b"chunked")], 1),
        ([(TE, b"chunked")], 0),
        ([(TE, b"chunked"), (TE, b"chunked")], 1),
        ([(TE, b"gzip, chunked")], 1),
        ([(TE, b"")], 1),
        ([(TE, b"chunked,")], 1),
        ([(CL, b"5"), (CL, b"5")], 1),
        ([(CL, b"5, 5")], 1),
        ([(CL, b"")], 1),
        ([(CL, b" 5")], 1),
        ([(CL, b"+5")], 1),
        ([(CL, b"5_0")], 1),
        ([(CL, b"0x5")], 1),
        ([(CL, "٥".encode())], 1),
        ([(CL, b"9" * 19)], 1),
    ],
)
def test_what_two_parsers_could_read_differently(fields: list[Field], minor: int) -> None:
    with pytest.raises(HeadError) as refused:
        body_of(fields, minor=minor, status=502, reason="origin-protocol", padded=True)
    assert (refused.value.status, refused.value.reason) == (502, "origin-protocol")


NAMES = st.from_regex(rb"[A-Za-z][A-Za-z0-9-]{0,10}", fullmatch=True)
VALUES = st.from_regex(rb"([\x21-\x7e]([\x20-\x7e]{0,10}[\x21-\x7e])?)?", fullmatch=True)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=8))
def test_what_is_rendered_reads_as_the_same_fields(fields: list[Field]) -> None:
    lines = render_fields(fields).split(b"\r\n")
    assert lines.pop() == b""
    assert [tuple(line.split(b": ", 1)) for line in lines] == fields
