"""HTTP/1.1, byte by byte and in pieces; real clients are in test_https.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering_dns.http1 import MAX_BODY_BYTES, MAX_HEAD_BYTES, Http1, Http1Request

GET = b"GET /dns-query?dns=AAAA HTTP/1.1\r\nHost: dns.test\r\n\r\n"
POST = b"POST /dns-query HTTP/1.1\r\nhost: dns.test\r\nContent-Type:a/b \r\ncontent-length: 4\r\n\r\nbody"


def read(data: bytes, *, piece: int = 1 << 20) -> list[Http1Request]:
    """All requests; the last one may be an error, after which there is nothing."""
    http, found = Http1(), list[Http1Request]()
    for at in range(0, len(data), piece):
        http.receive(data[at : at + piece])
        while (request := http.next()) is not None:
            found.append(request)
            if not request.keep:
                return found
    return found


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 1000])
def test_requests_one_after_the_other_in_any_pieces(piece: int) -> None:
    assert read(GET + b"\r\n" + POST + GET, piece=piece) == [
        Http1Request(b"GET", b"/dns-query?dns=AAAA", b"", b"", keep=True),
        Http1Request(b"POST", b"/dns-query", b"a/b", b"body", keep=True),
        Http1Request(b"GET", b"/dns-query?dns=AAAA", b"", b"", keep=True),
    ]


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


ERRORS = {
    "no host": (head("GET / HTTP/1.1"), 400),
    "two hosts": (head("GET / HTTP/1.1", "Host: a", "Host: a"), 400),
    "no version": (head("GET /", "Host: a"), 400),
    "HTTP/2.0": (head("GET / HTTP/2.0", "Host: a"), 400),
    "absolute form": (head("GET http://a/ HTTP/1.1", "Host: a"), 400),
    "a space more": (head("GET  / HTTP/1.1", "Host: a"), 400),
    "lower case": (head("get / HTTP/1.1", "Host: a"), 400),
    "space before the colon": (head("GET / HTTP/1.1", "Host : a"), 400),
    "a folded line": (head("GET / HTTP/1.1", "Host: a", " b"), 400),
    "a bare CR": (head("GET / HTTP/1.1", "Host: a\rb"), 400),
    "a bare LF": (b"GET / HTTP/1.1\nHost: a\n\n\r\n\r\n", 400),
    "NUL": (head("GET / HTTP/1.1", "Host: a\0"), 400),
    "two lengths": (head("POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Content-Length: 1"), 400),
    "a length with a sign": (head("POST / HTTP/1.1", "Host: a", "Content-Length: +1"), 400),
    "a length of nothing": (head("POST / HTTP/1.1", "Host: a", "Content-Length:"), 400),
    "no length": (head("POST / HTTP/1.1", "Host: a"), 411),
    "chunked": (head("POST / HTTP/1.1", "Host: a", "Transfer-Encoding: chunked"), 411),
    "both": (head("POST / HTTP/1.1", "Host: a", "Content-Length: 1", "Transfer-Encoding: chunked"), 411),
    "too long a body": (head("POST / HTTP/1.1", "Host: a", f"Content-Length: {MAX_BODY_BYTES + 1}"), 413),
    "too long a head": (head("GET / HTTP/1.1", "Host: a", "X: " + "x" * MAX_HEAD_BYTES), 431),
    "a head without end": (b"GET /" + b"x" * MAX_HEAD_BYTES, 431),
}


@pytest.mark.parametrize("case", ERRORS)
def test_what_is_refused_ends_the_connection(case: str) -> None:
    data, status = ERRORS[case]
    for piece in (1 << 20, 999):
        assert [(r.status, r.keep) for r in read(data + GET, piece=piece)] == [(status, False)]


def test_the_longest_body_is_taken() -> None:
    sized = head("POST / HTTP/1.1", "Host: a", f"Content-Length: {MAX_BODY_BYTES}")
    assert [len(r.body) for r in read(sized + b"x" * MAX_BODY_BYTES)] == [MAX_BODY_BYTES]


@pytest.mark.parametrize(
    ("line", "options", "keep"),
    [
        ("GET / HTTP/1.1", "close", False),
        ("GET / HTTP/1.1", "x, Close", False),
        ("GET / HTTP/1.1", "x", True),
        ("GET / HTTP/1.0", "x", False),
        ("GET / HTTP/1.0", "keep-alive", True),
    ],
)
def test_whether_the_connection_goes_on(line: str, options: str, keep: bool) -> None:
    assert [r.keep for r in read(head(line, "Host: a", f"Connection: {options}"))] == [keep]


def test_who_waits_for_100_continue_is_told_once() -> None:
    http = Http1()
    http.receive(head("POST / HTTP/1.1", "Host: a", "Content-Length: 2", "Expect: 100-continue"))
    assert http.next() is None
    assert [http.wants_continue for _ in range(2)] == [True, False]
    http.receive(b"xx")
    assert http.next() is not None


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_any_bytes(pieces: list[bytes]) -> None:
    http = Http1()
    for piece in [b"GET / HTTP/1.1\r\n", *pieces, b"\r\n\r\n"]:
        http.receive(piece)
        while (request := http.next()) is not None and request.keep:
            pass
