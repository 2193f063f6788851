"""Request heads: refused, or written anew in the one form that all servers read alike."""

# ruff: noqa: E501  # a head on one line is read more easily than one on two

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering_inspector.fields import HeadError
from steering_inspector.framing import ChunkedBody, LengthBody
from steering_inspector.heads import end_of_request_head, parse_request_head
from steering_inspector.request import Request, check_request, host_value, loops, parse_authority, render_request
from steering_inspector.settings import Limits

LIMITS = Limits()
H = b"Host: a.example\r\n"


def check(head: bytes) -> Request:
    return check_request(parse_request_head(head, LIMITS))


def sent_on(head: bytes) -> bytes:
    request = check(head)
    assert request.authority is not None
    return render_request(request, host_value(request.authority, request.scheme or "https"), "me")


# What two servers could read differently.  (head after the request line or whole, status)
REFUSED: dict[str, tuple[bytes, int]] = {
    "length and chunked": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "chunked and length": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 400),
    "two equal lengths": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 400),
    "two lengths": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 400),
    "listed lengths": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5, 5\r\n\r\n", 400),
    "signed length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: +5\r\n\r\n", 400),
    "negative length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: -5\r\n\r\n", 400),
    "hexadecimal length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0x5\r\n\r\n", 400),
    "empty length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length:\r\n\r\n", 400),
    "huge length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 99999999999999999999\r\n\r\n", 400),
    "unicode length": (b"POST / HTTP/1.1\r\n" + H + b"Content-Length: \xd9\xa5\r\n\r\n", 400),
    "xchunked": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: xchunked\r\n\r\n", 400),
    "chunked, identity": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked, identity\r\n\r\n", 400),
    "gzip, chunked": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: gzip, chunked\r\n\r\n", 400),
    "chunked twice": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
    "identity": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: identity\r\n\r\n", 400),
    "vertical tab": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: \x0bchunked\r\n\r\n", 400),
    "quoted coding": (b'POST / HTTP/1.1\r\n' + H + b'Transfer-Encoding: "chunked"\r\n\r\n', 400),
    "coding with parameter": (b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked;a=b\r\n\r\n", 400),
    "coding in HTTP/1.0": (b"POST / HTTP/1.0\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n", 400),
    "underscore coding": (b"POST / HTTP/1.1\r\n" + H + b"Transfer_Encoding: chunked\r\n\r\n", 400),
    "underscore length": (b"POST / HTTP/1.1\r\n" + H + b"Content_Length: 5\r\n\r\n", 400),
    "space before colon": (b"GET / HTTP/1.1\r\n" + H + b"Transfer-Encoding : chunked\r\n\r\n", 400),
    "folded line": (b"GET / HTTP/1.1\r\n" + H + b"X: a\r\n b\r\n\r\n", 400),
    "leading space": (b"GET / HTTP/1.1\r\n X: a\r\n" + H + b"\r\n", 400),
    "bare LF": (b"GET / HTTP/1.1\n" + H + b"\r\n", 400),
    "bare CR": (b"GET / HTTP/1.1\r\n" + H + b"X: a\rY: b\r\n\r\n", 400),
    "NUL in a value": (b"GET / HTTP/1.1\r\n" + H + b"X: a\x00b\r\n\r\n", 400),
    "NUL in a name": (b"GET / HTTP/1.1\r\n" + H + b"X\x00: a\r\n\r\n", 400),
    "no name": (b"GET / HTTP/1.1\r\n" + H + b": a\r\n\r\n", 400),
    "no colon": (b"GET / HTTP/1.1\r\n" + H + b"X\r\n\r\n", 400),
    "two Hosts": (b"GET / HTTP/1.1\r\n" + H + b"Host: b.example\r\n\r\n", 400),
    "no Host": (b"GET / HTTP/1.1\r\nX: a\r\n\r\n", 400),
    "Host with userinfo": (b"GET / HTTP/1.1\r\nHost: a@b.example\r\n\r\n", 400),
    "Host with path": (b"GET / HTTP/1.1\r\nHost: a.example/b\r\n\r\n", 400),
    "Host with a list": (b"GET / HTTP/1.1\r\nHost: a.example, b.example\r\n\r\n", 400),
    "Host with port 0": (b"GET / HTTP/1.1\r\nHost: a.example:0\r\n\r\n", 400),
    "Host with port 65536": (b"GET / HTTP/1.1\r\nHost: a.example:65536\r\n\r\n", 400),
    "URL with userinfo": (b"GET http://u:p@a.example/ HTTP/1.1\r\n" + H + b"\r\n", 400),
    "URL of another scheme": (b"GET ftp://a.example/ HTTP/1.1\r\n" + H + b"\r\n", 400),
    "URL with a backslash": (b"GET http://a.example\\@b.example/ HTTP/1.1\r\n" + H + b"\r\n", 400),
    "fragment": (b"GET /a#b HTTP/1.1\r\n" + H + b"\r\n", 400),
    "raw UTF-8 path": ("GET /ä HTTP/1.1\r\n".encode() + H + b"\r\n", 400),
    "HTTP/0.9": (b"GET / HTTP/0.9\r\n" + H + b"\r\n", 505),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + H + b"\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n" + H + b"\r\n", 400),
    "preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\n", 400),
    "unknown method": (b"BREW / HTTP/1.1\r\n" + H + b"\r\n", 501),
    "lower-case method": (b"get / HTTP/1.1\r\n" + H + b"\r\n", 501),
    "CONNECT with a length": (b"CONNECT a.example:443 HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\n", 400),
    "CONNECT with chunks": (b"CONNECT a.example:443 HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n", 400),
    "other expectation": (b"POST / HTTP/1.1\r\n" + H + b"Expect: magic\r\nContent-Length: 1\r\n\r\n", 417),
    "WebSocket of version 8": (
        b"GET / HTTP/1.1\r\n" + H + b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 8\r\n\r\n",
        426,
    ),
    "WebSocket by POST": (
        b"POST / HTTP/1.1\r\n" + H + b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\n",
        400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_ambiguous_heads_are_refused(name: str) -> None:
    head, status = REFUSED[name]
    with pytest.raises(HeadError) as refused:
        check(head)
    assert refused.value.status in (status, 400)


NORMALISED: dict[str, tuple[bytes, bytes]] = {
    "the target's authority wins over Host": (
        b"GET http://b.example/x?y HTTP/1.1\r\n" + H + b"\r\n",
        b"GET /x?y HTTP/1.1\r\nHost: b.example\r\nVia: 1.1 me\r\n\r\n",
    ),
    "a URL without path": (
        b"GET http://b.example:8080?y HTTP/1.1\r\n" + H + b"\r\n",
        b"GET /?y HTTP/1.1\r\nHost: b.example:8080\r\nVia: 1.1 me\r\n\r\n",
    ),
    "OPTIONS of a URL without path": (
        b"OPTIONS http://b.example HTTP/1.1\r\n" + H + b"\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: b.example\r\nVia: 1.1 me\r\n\r\n",
    ),
    "hop-by-hop and named fields": (
        b"GET / HTTP/1.1\r\n" + H + b"Connection: keep-alive, X-Mine, Host\r\nX-Mine: 1\r\nKeep-Alive: a\r\nTE: trailers\r\n"
        b"Proxy-Connection: b\r\nProxy-Authorization: c\r\nX-Yours: 2\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.example\r\nX-Yours: 2\r\nVia: 1.1 me\r\n\r\n",
    ),
    "another upgrade": (
        b"GET / HTTP/1.1\r\n" + H + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.example\r\nVia: 1.1 me\r\n\r\n",
    ),
    "the case of chunked": (
        b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: CHUNKED\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.example\r\nTransfer-Encoding: chunked\r\nVia: 1.1 me\r\n\r\n",
    ),
    "a body of a GET keeps its framing": (
        b"GET / HTTP/1.1\r\n" + H + b"Content-Length: 3\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 3\r\nVia: 1.1 me\r\n\r\n",
    ),
    "an empty body": (
        b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a.example\r\nContent-Length: 0\r\nVia: 1.1 me\r\n\r\n",
    ),
    "a WebSocket": (
        b"GET / HTTP/1.1\r\n" + H + b"Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.example\r\nSec-WebSocket-Version: 13\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        b"Via: 1.1 me\r\n\r\n",
    ),
    "HTTP/1.0 and other proxies": (
        b"GET / HTTP/1.0\r\n" + H + b"Via: 1.1 other\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a.example\r\nVia: 1.1 other\r\nVia: 1.0 me\r\n\r\n",
    ),
    "an address with brackets": (
        b"GET / HTTP/1.1\r\nHost: [2001:DB8::1]:8443\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: [2001:db8::1]:8443\r\nVia: 1.1 me\r\n\r\n",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NORMALISED)
def test_what_is_sent_on(name: str) -> None:
    head, expected = NORMALISED[name]
    assert sent_on(head) == expected


def test_bodies_and_keep_alive_are_read() -> None:
    request = check(b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 7\r\nConnection: close\r\n\r\n")
    assert isinstance(request.body, LengthBody) and request.body.left == 7
    assert (request.keep_alive, request.may_repeat) == (False, False)
    assert isinstance(check(b"PUT / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n").body, ChunkedBody)
    assert check(b"GET / HTTP/1.1\r\n" + H + b"\r\n").may_repeat
    assert not check(b"GET / HTTP/1.0\r\n" + H + b"\r\n").keep_alive
    assert check(b"GET / HTTP/1.1\r\n" + H + b"Authorization: NTLM x\r\n\r\n").connection_auth


@pytest.mark.parametrize(
    ("via", "looped"),
    [
        (b"1.1 me", True),
        (b"1.0 a, 1.1 ME (comment)", True),
        (b"1.1 melon", False),
        (b"1.1 a (me)", False),
        (b"", False),
    ],
)
def test_a_loop_is_known_by_via(via: bytes, looped: bool) -> None:
    assert loops(check(b"GET / HTTP/1.1\r\n" + H + b"Via: " + via + b"\r\n\r\n"), "me") is looped


@pytest.mark.parametrize(
    "text", ["", ":80", "a:", "a:b", "a:123456", "[::1", "::1", "[::1]x", "a b", "a/b", "http://a"]
)
def test_authorities_that_are_none(text: str) -> None:
    with pytest.raises(HeadError):
        parse_authority(text)


@pytest.mark.parametrize(("extra", "fits"), [(-1, True), (0, True), (1, False)])
def test_fields_are_counted_at_the_limit(extra: int, fits: bool) -> None:
    head = b"GET / HTTP/1.1\r\n" + H + b"A: b\r\n" * (LIMITS.max_fields - 1 + extra) + b"\r\n"
    if fits:
        assert len(check(head).fields) == LIMITS.max_fields - 1 + extra
    else:
        with pytest.raises(HeadError):
            check(head)


def test_the_end_of_a_head_is_found_byte_by_byte() -> None:
    head = b"GET / HTTP/1.1\r\n" + H + b"\r\n"
    assert [end_of_request_head(head[:n]) for n in range(len(head))] == [-1] * len(head)
    assert end_of_request_head(head + b"rest") == len(head) == end_of_request_head(head, len(head) - 1)


LINES = st.lists(
    st.one_of(
        st.sampled_from(
            [
                b"Host: a.example",
                b"Content-Length: 5",
                b"Transfer-Encoding: chunked",
                b"Upgrade: x",
                b"Connection: Host",
            ]
        ),
        st.binary(max_size=40),
    ),
    max_size=8,
)


@given(
    st.one_of(st.sampled_from([b"GET / HTTP/1.1", b"POST http://b.example/ HTTP/1.0"]), st.binary(max_size=60)), LINES
)
@settings(max_examples=400, deadline=None)
def test_any_head_is_refused_or_becomes_an_unambiguous_one(line: bytes, lines: list[bytes]) -> None:
    head = b"\r\n".join([line, *lines, b"", b""])
    try:
        request = check(head)
        assert request.authority is None or request.method == "CONNECT" or sent_on(head)
    except HeadError:
        return
    if request.method != "CONNECT" and request.authority is not None:
        again = check(sent_on(head))
        assert (again.method, again.path, type(again.body)) == (request.method, request.path, type(request.body))


@pytest.mark.parametrize(
    ("target", "line"),
    [(b"/", "GET /"), (b"/a/b", "GET /a/b"), (b"/a?", "GET /a?..."), (b"/a?token=secret&x=1", "GET /a?...")],
)
def test_what_is_logged_of_a_request_is_without_its_query(target: bytes, line: str) -> None:
    assert check(b"GET %b HTTP/1.1\r\nHost: www.example\r\n\r\n" % target).line == line
