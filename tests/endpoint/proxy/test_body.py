"""Where a body ends, however its bytes come."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.endpoint.proxy.body import MAX_LINE, Body, BodyError, body_of

CHUNKED = b"5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n"


def passed(body: Body, data: bytes, size: int) -> bytes:
    return b"".join(body.take(data[at : at + size]) for at in range(0, len(data), size))


@pytest.mark.parametrize(
    ("length", "sent", "taken", "over"),
    [
        (0, b"GET /", b"", True),
        (5, b"hell", b"hell", False),
        (5, b"hello", b"hello", True),
        (5, b"helloG", b"hello", True),
        (None, CHUNKED, CHUNKED, True),
        (None, CHUNKED + b"GET /", CHUNKED, True),
        (None, CHUNKED[:-1], CHUNKED[:-1], False),
        (None, b"0\r\n\r\nGET /", b"0\r\n\r\n", True),
        (None, b"00\r\n\r\n", b"00\r\n\r\n", True),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_only_the_body_is_taken(length: int | None, sent: bytes, taken: bytes, over: bool, size: int) -> None:
    body = body_of(length)
    assert passed(body, sent, size) == taken
    assert body.over == over
    if over:
        assert body.take(b"more") == b""


@pytest.mark.parametrize(
    "wrong",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"0x5\r\n",
        b"5\nhello\r\n",
        b" 5\r\nhello\r\n",
        b"5\r\nhelloXX",
        b"5\r\nhello\rX",
        b"5\r\nhello\n\n",
        b"1" * 16 + b"\r\n",
        b"5;\x00\r\n",
        b"0\r\nX: 1\n\r\n",
        b"0\r\n\n",
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_what_cannot_be_read_is_an_error(wrong: bytes, size: int) -> None:
    with pytest.raises(BodyError):
        passed(body_of(None), wrong, size)


@pytest.mark.parametrize(("length", "fits"), [(MAX_LINE - 1, True), (MAX_LINE, True), (MAX_LINE + 1, False)])
def test_the_length_of_a_line(length: int, fits: bool) -> None:
    line = b"1;" + b"a" * (length - 4) + b"\r\n"
    body = body_of(None)
    if fits:
        assert body.take(line) == line
    else:
        with pytest.raises(BodyError):
            body.take(line)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=5), st.binary(max_size=10), st.integers(1, 50))
def test_what_was_chunked_by_another_hand(parts: list[bytes], behind: bytes, size: int) -> None:
    sent = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    body = body_of(None)
    assert passed(body, sent + behind, size) == sent
    assert body.over


@given(st.binary(max_size=60), st.integers(1, 60))
def test_any_bytes_are_passed_or_an_error(data: bytes, size: int) -> None:
    try:
        taken = passed(body_of(None), data, size)
    except BodyError:
        return
    assert data.startswith(taken)
