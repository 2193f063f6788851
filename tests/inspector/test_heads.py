"""Heads through the parsers: where one ends, what is no head, limits, and what is said of it."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering_inspector.fields import HeadError
from steering_inspector.heads import (
    end_of_request_head,
    end_of_response_head,
    parse_request_head,
    parse_response_head,
)
from steering_inspector.settings import Limits

LIMITS = Limits()
H = b"Host: a.example\r\n"


@pytest.mark.parametrize(
    ("data", "request_end", "response_end"),
    [
        (b"", -1, -1),
        (b"a\r\n\r\n", 5, 5),
        (b"a\r\n\r\nrest\r\n\r\n", 5, 5),
        (b"a\r\n\r", -1, -1),
        (b"a\n\n", -1, 3),
        (b"a\n\r\nb", -1, 4),
        (b"a\r\n\nb", -1, 4),
        (b"a\r\r\n\n", -1, 5),
        (b"\r\n\r\n", 4, 4),
    ],
)
def test_where_a_head_ends(data: bytes, request_end: int, response_end: int) -> None:
    """A bare LF is taken from origins, never from clients."""
    assert (end_of_request_head(data), end_of_response_head(data)) == (request_end, response_end)


@given(
    st.binary(max_size=40).map(lambda b: b.translate(bytes(b"\r\n a"[i % 4] for i in range(256)))), st.integers(0, 40)
)
def test_the_end_is_the_same_wherever_the_search_begins(data: bytes, known: int) -> None:
    for find in (end_of_request_head, end_of_response_head):
        whole = find(data)
        if find(data[:known]) < 0:
            assert find(data, min(known, len(data))) == whole


def test_parsing_needs_no_event_loop() -> None:
    """Nor makes one, which would be left behind."""
    with pytest.raises(RuntimeError):
        asyncio.get_running_loop()
    assert parse_request_head(b"GET / HTTP/1.1\r\n" + H + b"\r\n", LIMITS).method == "GET"
    assert parse_response_head(b"HTTP/1.1 200 OK\r\n\r\n", LIMITS).code == 200


@pytest.mark.parametrize(
    ("head", "status", "reason", "why"),
    [
        (b"BREW / HTTP/1.1\r\n" + H + b"\r\n", 501, "not-implemented", "the method is not known here"),
        (b"GET / HTTP/1.1\r\n" + H + b"X\r\n\r\n", 400, "bad-request", None),
        (b"GET / HTTP/1.1\r\n" + H, 400, "bad-request", "not one HTTP/1 request"),
        (b"", 400, "bad-request", "not one HTTP/1 request"),
        (2 * (b"GET / HTTP/1.1\r\n" + H + b"\r\n"), 400, "bad-request", "not one HTTP/1 request"),
        (b"\x16\x03\x01\x00\x05hello\r\n\r\n", 501, "not-implemented", None),
    ],
)  # fmt: skip
def test_what_is_no_request(head: bytes, status: int, reason: str, why: str | None) -> None:
    with pytest.raises(HeadError) as refused:
        parse_request_head(head, LIMITS)
    assert (refused.value.status, refused.value.reason) == (status, reason)
    assert why is None or refused.value.why == why


@pytest.mark.parametrize(
    "head",
    [b"", b"HTTP/1.1 200 OK\r\n", b"220 mail.example ESMTP\r\n\r\n", b"HTTP/1.1 2x0 OK\r\n\r\n", b"<html>\r\n\r\n"],
)
def test_what_is_no_response(head: bytes) -> None:
    with pytest.raises(HeadError) as refused:
        parse_response_head(head, LIMITS)
    assert (refused.value.status, refused.value.reason) == (502, "origin-protocol")


def test_what_is_said_holds_none_of_the_peers_bytes() -> None:
    for head in (b"GET / HTTP/1.1\r\nSECRET\x00: a\r\n\r\n", b"GET /SECRET\x01 HTTP/1.1\r\n" + H + b"\r\n"):
        with pytest.raises(HeadError) as refused:
            parse_request_head(head, LIMITS)
        assert "SECRET" not in refused.value.why and "\n" not in refused.value.why


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
@pytest.mark.parametrize("kind", ["request", "response"])
def test_a_value_at_the_limit(kind: str, extra: int, fits: bool) -> None:
    limits = Limits(max_line_bytes=1000)
    start = b"GET / HTTP/1.1\r\n" + H if kind == "request" else b"HTTP/1.1 200 OK\r\nServer: a\r\n"
    head = start + b"X: " + b"a" * (1000 + extra) + b"\r\n\r\n"
    parse = parse_request_head if kind == "request" else parse_response_head
    if fits:
        assert len(parse(head, limits).raw_headers[-1][1]) == 1000 + extra
    else:
        with pytest.raises(HeadError):
            parse(head, limits)


@pytest.mark.parametrize(("count", "fits"), [(9, True), (10, True), (11, False)])
def test_fields_of_a_response_at_the_limit(count: int, fits: bool) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * count + b"\r\n"
    if fits:
        assert len(parse_response_head(head, Limits(max_fields=10)).raw_headers) == count
    else:
        with pytest.raises(HeadError):
            parse_response_head(head, Limits(max_fields=10))


@given(st.binary(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_bytes_are_a_head_or_refused(data: bytes) -> None:
    for parse in (parse_request_head, parse_response_head):
        try:
            parse(data + b"\r\n\r\n", LIMITS)
        except HeadError:
            continue
