"""Bodies: content length, chunks, and everything that is not quite a chunk."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering_inspector.framing import (
    MAX_CHUNK_LINE,
    BodyError,
    ChunkedBody,
    CloseBody,
    LengthBody,
    Piece,
    render_chunk,
    render_last_chunk,
)


def test_a_length_is_kept_to() -> None:
    body = LengthBody(5)
    assert body.feed(b"abc") == Piece(b"abc", 3, False)
    assert body.feed(b"defg") == Piece(b"de", 2, True)
    assert LengthBody(3).feed(b"abc") == Piece(b"abc", 3, True)


def test_only_the_end_ends_a_body_without_length() -> None:
    assert CloseBody().feed(b"abc") == Piece(b"abc", 3, False)


def test_chunks_extensions_and_trailers() -> None:
    body = ChunkedBody()
    data = b"5;a=b\r\nhello\r\n1\r\n!\r\n0\r\nX-A: 1\r\nContent-Length: 9\r\n\r\nrest"
    assert body.feed(data) == Piece(b"hello!", len(data) - 4, True)
    assert body.trailers == [(b"X-A", b"1")]
    assert render_last_chunk(body.trailers) == b"0\r\nX-A: 1\r\n\r\n"


def test_trailers_that_are_ours_stay_here() -> None:
    body = ChunkedBody()
    body.feed(b"0\r\nSteering-Nonce: 1\r\nsteering_nonce: 1\r\nSteering: 2\r\n\r\n")
    assert body.trailers == [(b"Steering", b"2")]


@pytest.mark.parametrize(
    "data",
    [
        b"0x5\r\nhello\r\n",
        b"-5\r\n",
        b"+5\r\n",
        b" 5\r\nhello",
        b"5 \r\nhello\r\n",
        b"\r\n",
        b"g\r\n",
        b"5\nhello\r\n",
        b"5\r\nhelloXX",
        b"5\r\nhello\n0\r\n\r\n",
        b"5\r\nhello\r0",
        b"5;\x00\r\nhello",
        b"5\r;\r\nhello",
        b"0\r\nX Y: a\r\n\r\n",
        b"0\r\nX : a\r\n\r\n",
        b"0\r\n folded\r\n\r\n",
        b"0\r\nX: a\x00\r\n\r\n",
        b"fffffffffffffffff\r\n",
        b"ffffffffffffffff\r\n",
        b"0\r\n" + b"A: b\r\n" * 101,
        b"0\r\nA: " + b"b" * 20000,
    ],
)
def test_what_is_not_quite_a_chunk(data: bytes) -> None:
    with pytest.raises(BodyError):
        ChunkedBody().feed(data)
    with pytest.raises(BodyError):
        body = ChunkedBody()
        for byte in data:
            body.feed(bytes((byte,)))


def test_padding_is_taken_from_origins_only() -> None:
    assert ChunkedBody(padded=True).feed(b"1  \r\na\r\n0\r\n\r\n").done


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_a_size_line_at_the_limit(extra: int, fits: bool) -> None:
    line = b"1;" + b"a" * (MAX_CHUNK_LINE - 4 + extra) + b"\r\n"
    if fits:
        assert ChunkedBody().feed(line).used == MAX_CHUNK_LINE + extra
    else:
        with pytest.raises(BodyError):
            ChunkedBody().feed(line)


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=10), st.integers(1, 20))
def test_what_was_framed_is_read_back_however_it_is_cut(parts: list[bytes], step: int) -> None:
    wire = b"".join(map(render_chunk, parts)) + render_last_chunk([(b"A", b"b")])
    body, got, done = ChunkedBody(), b"", False
    for at in range(0, len(wire), step):
        piece = body.feed(wire[at : at + step])
        got, done = got + piece.payload, piece.done
    assert (got, done, body.trailers) == (b"".join(parts), True, [(b"A", b"b")])


@given(st.binary(max_size=200))
def test_no_bytes_cause_anything_but_a_body_error(data: bytes) -> None:
    try:
        piece = ChunkedBody().feed(data)
    except BodyError:
        return
    assert piece.used <= len(data)
