"""Response heads: what an origin may not say, and what is sent on of the rest."""

# a head on one line is read more easily than one on two

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering_inspector.fields import HeadError
from steering_inspector.framing import ChunkedBody, CloseBody, LengthBody
from steering_inspector.heads import parse_request_head, parse_response_head
from steering_inspector.request import Request, check_request
from steering_inspector.response import Response, check_response, render_response
from steering_inspector.settings import Limits

LIMITS = Limits()


def asked(method: bytes = b"GET", version: bytes = b"1.1", more: bytes = b"") -> Request:
    head = method + b" / HTTP/" + version + b"\r\nHost: a.example\r\n" + more + b"\r\n"
    return check_request(parse_request_head(head, LIMITS))


def check(head: bytes, request: Request | None = None) -> Response:
    return check_response(parse_response_head(head, LIMITS), request or asked())


REFUSED = {
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "length with a space": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
    "chunked, gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
    "gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "chunked in HTTP/1.0": b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    "signed length": b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\n",
    "underscore length": b"HTTP/1.1 200 OK\r\nContent_Length: 5\r\n\r\n",
    "NUL": b"HTTP/1.1 200 OK\r\nX: a\x00b\r\n\r\n",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\n\r\n",
    "status 99": b"HTTP/1.1 099 OK\r\n\r\n",
    "status 600": b"HTTP/1.1 600 OK\r\n\r\n",
    "unasked switch": b"HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "no HTTP": b"SSH-2.0-x\r\n\r\n",
}


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_heads_are_refused(name: str) -> None:
    with pytest.raises(HeadError) as refused:
        check(REFUSED[name])
    assert (refused.value.status, refused.value.reason) == (502, "origin-protocol")


SENT_ON: dict[str, tuple[bytes, Request, bytes]] = {
    "hop-by-hop and Alt-Svc": (
        b"HTTP/1.1 200 OK\r\nConnection: X-Mine\r\nX-Mine: a\r\nKeep-Alive: b\r\nAlt-Svc: h3\r\nX: c\r\n"
        b"Content-Length: 5\r\n\r\n",
        asked(),
        b"HTTP/1.1 200 OK\r\nX: c\r\nContent-Length: 5\r\nVia: 1.1 me\r\n\r\n",
    ),
    "chunked": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
        asked(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nVia: 1.1 me\r\n\r\n",
    ),
    "chunked to HTTP/1.0": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        asked(version=b"1.0"),
        b"HTTP/1.1 200 OK\r\nVia: 1.1 me\r\n\r\n",
    ),
    "HEAD": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
        asked(b"HEAD"),
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nVia: 1.1 me\r\n\r\n",
    ),
    "304 with a length": (
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        asked(),
        b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nVia: 1.1 me\r\n\r\n",
    ),
    "204 with a length": (
        b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n",
        asked(),
        b"HTTP/1.1 204 No\r\nVia: 1.1 me\r\n\r\n",
    ),
    "bare LF and folding": (
        b"HTTP/1.1 200 OK\nX: a\n b\nContent-Length: 5\n\n",
        asked(),
        b"HTTP/1.1 200 OK\r\nX: a b\r\nContent-Length: 5\r\nVia: 1.1 me\r\n\r\n",
    ),
    "a phrase of odd bytes": (
        b"HTTP/1.1 200 \xc3\xa4b\r\nContent-Length: 0\r\n\r\n",
        asked(),
        b"HTTP/1.1 200 b\r\nContent-Length: 0\r\nVia: 1.1 me\r\n\r\n",
    ),
}


@pytest.mark.parametrize("name", SENT_ON)
def test_what_is_sent_on(name: str) -> None:
    head, request, expected = SENT_ON[name]
    assert render_response(check(head, request), request, "me", keep_alive=True) == expected


def test_a_close_is_announced() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    assert b"Connection: close\r\n" in render_response(check(head), asked(), "me", keep_alive=False)


@pytest.mark.parametrize(
    ("head", "body", "keep_alive"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", LengthBody, True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\n", LengthBody, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\n", LengthBody, False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\n\r\n", LengthBody, True),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", ChunkedBody, True),
        (b"HTTP/1.1 200 OK\r\n\r\n", CloseBody, False),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", type(None), True),
    ],
)
def test_how_a_body_ends_and_whether_the_connection_lasts(head: bytes, body: type, keep_alive: bool) -> None:
    response = check(head)
    assert (type(response.body), response.keep_alive) == (body, keep_alive)


@given(
    st.lists(st.one_of(st.sampled_from([b"Content-Length: 5", b"Transfer-Encoding: chunked"]), st.binary(max_size=40)))
)
@settings(max_examples=300, deadline=None)
def test_any_head_is_refused_or_becomes_an_unambiguous_one(lines: list[bytes]) -> None:
    try:
        response = check(b"\r\n".join([b"HTTP/1.1 200 OK", *lines, b"", b""]))
    except HeadError:
        return
    again = check(render_response(response, asked(), "me", keep_alive=True))
    assert (again.status, type(again.body), again.length) == (200, type(response.body), response.length)
