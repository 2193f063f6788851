"""What local programs may ask, read strictly, and how it is written anew."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.endpoint.proxy.request import (
    MAX_FIELDS,
    Connect,
    Own,
    Plain,
    RequestError,
    authority_text,
    end_of_head,
    parse_head,
    parse_inner,
)
from steering.policy import parse_host


def head(*lines: str) -> bytes:
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def get(*fields: str) -> bytes:
    return head("GET http://www.example/a HTTP/1.1", *fields)


@pytest.mark.parametrize(
    ("line", "host", "port"),
    [
        ("CONNECT www.example:443 HTTP/1.1", "www.example", 443),
        ("CONNECT WWW.Example.:443 HTTP/1.0", "www.example", 443),
        ("CONNECT [2001:db8::1]:8443 HTTP/1.1", "2001:db8::1", 8443),
        ("CONNECT 192.0.2.1:1 HTTP/1.1", "192.0.2.1", 1),
        ("CONNECT www.example:65535 HTTP/1.1", "www.example", 65535),
    ],
)
def test_connect(line: str, host: str, port: int) -> None:
    assert parse_head(head(line)) == Connect(host=parse_host(host), port=port)


@pytest.mark.parametrize(
    ("target", "authority", "path"),
    [
        ("http://www.example", "www.example:80", b"/"),
        ("HTTP://www.example/", "www.example:80", b"/"),
        ("http://www.example:8080/a/b?c=d", "www.example:8080", b"/a/b?c=d"),
        ("http://www.example?q", "www.example:80", b"/?q"),
        ("http://www.example#f", "www.example:80", b"/"),
        ("http://www.example/a#f?x", "www.example:80", b"/a"),
        ("http://www.example:/a", "www.example:80", b"/a"),
        ("http://[::1]:81/a", "[::1]:81", b"/a"),
        ("http://www.example/http://other.example/", "www.example:80", b"/http://other.example/"),
    ],
)
def test_absolute_form(target: str, authority: str, path: bytes) -> None:
    found = parse_head(head(f"GET {target} HTTP/1.1"))
    assert isinstance(found, Plain)
    assert (found.authority, found.path) == (authority, path)


def test_a_request_for_the_helper() -> None:
    assert parse_head(head("GET /proxy.pac?x HTTP/1.1", "Host: LOCALHOST:3129")) == Own(
        method=b"GET", path=b"/proxy.pac", host="LOCALHOST:3129"
    )


@pytest.mark.parametrize(
    ("sent", "passed"),
    [
        (("Accept: */*", "Host: lies.example"), ["Accept: */*", "Connection: close"]),
        (("Connection: keep-alive", "Keep-Alive: 5", "Proxy-Connection: keep-alive"), ["Connection: close"]),
        (("Proxy-Authorization: Basic eA==", "TE: trailers"), ["Connection: close"]),
        (("Steering-Attestation: x", "STEERING-NONCE: y", "Steering-: z"), ["Connection: close"]),
        (("Connection: X-Drop, close", "x-drop: 1", "X-Keep: 2"), ["X-Keep: 2", "Connection: close"]),
        # What frames the body cannot be talked away.
        (("Connection: content-length", "Content-Length: 3"), ["Content-Length: 3", "Connection: close"]),
        (
            ("Connection: transfer-encoding", "Transfer-Encoding: chunked"),
            ["Transfer-Encoding: chunked", "Connection: close"],
        ),
        (("Connection: Upgrade", "Upgrade: websocket"), ["Connection: Upgrade", "Upgrade: websocket"]),
        (("Connection: keep-alive, upgrade", "Upgrade: WebSocket"), ["Connection: Upgrade", "Upgrade: websocket"]),
        (("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AA"), ["Connection: close"]),
        (("Connection: Upgrade", "Upgrade: websocket, h2c"), ["Connection: close"]),
        (("Upgrade: websocket",), ["Connection: close"]),
        (("X:  a \t b\t ",), ["X: a \t b", "Connection: close"]),
    ],
)
def test_what_is_passed_on(sent: tuple[str, ...], passed: list[str]) -> None:
    found = parse_head(get(*sent))
    assert isinstance(found, Plain)
    assert found.to_origin() == head("GET /a HTTP/1.1", "Host: www.example", *passed)
    marked = found.to_inspector(((b"Steering-Attestation", b"t"),))
    assert marked == head("GET http://www.example/a HTTP/1.1", "Host: www.example", *passed, "Steering-Attestation: t")


@pytest.mark.parametrize(
    ("fields", "length"),
    [
        ((), 0),
        (("Content-Length: 0",), 0),
        (("Content-Length: 12",), 12),
        (("Transfer-Encoding: Chunked",), None),
    ],
)
def test_the_length_of_the_body(fields: tuple[str, ...], length: int | None) -> None:
    found = parse_head(get(*fields))
    assert isinstance(found, Plain)
    assert found.length == length


@pytest.mark.parametrize(
    "wrong",
    [
        head(""),
        head("GET"),
        head("GET  http://www.example/ HTTP/1.1"),
        head("GET http://www.example/ HTTP/2.0"),
        head("GET http://www.example/ HTTP/1.1 "),
        head("GET http://www.example/\x00 HTTP/1.1"),
        head("G(T http://www.example/ HTTP/1.1"),
        head("GET https://www.example/ HTTP/1.1"),
        head("GET ftp://www.example/ HTTP/1.1"),
        head("GET * HTTP/1.1"),
        head("GET http:///a HTTP/1.1"),
        head("GET http://user@www.example/ HTTP/1.1"),
        head("GET http://www.example:0/ HTTP/1.1"),
        head("GET http://www.example:65536/ HTTP/1.1"),
        head("GET http://www.example:+80/ HTTP/1.1"),
        head("GET http://www.example:8_0/ HTTP/1.1"),
        head("GET http://::1/ HTTP/1.1"),
        head("GET http://a..b/ HTTP/1.1"),
        head("GET http://www.example\\@other.example/ HTTP/1.1"),
        head("CONNECT www.example HTTP/1.1"),
        head("CONNECT www.example: HTTP/1.1"),
        head("CONNECT ::1:443 HTTP/1.1"),
        head("CONNECT http://www.example:443 HTTP/1.1"),
        head("GET / HTTP/1.1"),
        head("GET / HTTP/1.1", "Host: a", "Host: b"),
        get("Host: a", "host: b"),
        get("X : 1"),
        get(" X: 1"),
        get("X: 1", " folded"),
        get("X: a\nY: b"),
        get("X: a\x00b"),
        get("no colon"),
        get("Content-Length: 1", "Content-Length: 1"),
        get("Content-Length: 1, 1"),
        get("Content-Length: +1"),
        get("Content-Length: 0x1"),
        get("Content-Length: -1"),
        get("Content-Length:"),
        get("Content-Length: 9" + "9" * 18),
        get("Content-Length: 1", "Transfer-Encoding: chunked"),
        get("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"),
        get("Transfer-Encoding: gzip, chunked"),
        get("Transfer-Encoding: identity"),
        get("Transfer-Encoding: \x0bchunked"),
        head("POST http://www.example/ HTTP/1.0", "Transfer-Encoding: chunked"),
    ],
)
def test_what_is_refused(wrong: bytes) -> None:
    with pytest.raises(RequestError) as caught:
        parse_head(wrong)
    assert (caught.value.status, caught.value.reason) == (400, "bad-request")


@pytest.mark.parametrize(("count", "fits"), [(MAX_FIELDS - 1, True), (MAX_FIELDS, True), (MAX_FIELDS + 1, False)])
def test_the_number_of_fields(count: int, fits: bool) -> None:
    request = get(*(f"X{i}: {i}" for i in range(count)))
    if fits:
        assert isinstance(parse_head(request), Plain)
    else:
        with pytest.raises(RequestError) as caught:
            parse_head(request)
        assert caught.value.status == 431


def test_a_request_inside_a_tunnel_is_addressed_by_its_host() -> None:
    found = parse_inner(head("GET /a HTTP/1.1", "Host: www.example", "Steering-Nonce: x"), 80)
    assert found.to_origin() == head("GET /a HTTP/1.1", "Host: www.example", "Connection: close")
    assert parse_inner(head("GET /a HTTP/1.1", "Host: www.example"), 8080).authority == "www.example:8080"
    assert parse_inner(head("GET /a HTTP/1.1", "Host: www.example:8080"), 8080).authority == "www.example:8080"


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (("GET /a HTTP/1.1",), 400),
        (("GET /a HTTP/1.1", "Host:"), 400),
        (("GET http://www.example/ HTTP/1.1", "Host: www.example"), 400),
        (("CONNECT www.example:443 HTTP/1.1", "Host: www.example"), 400),
        (("GET /a HTTP/1.1", "Host: www.example:81"), 421),
    ],
)
def test_a_request_inside_a_tunnel_that_is_refused(lines: tuple[str, ...], status: int) -> None:
    with pytest.raises(RequestError) as caught:
        parse_inner(head(*lines), 80)
    assert caught.value.status == status


def test_the_end_of_a_head() -> None:
    assert [end_of_head(data) for data in (b"", b"a\r\n\r", b"a\r\n\r\n", b"a\r\n\r\nb")] == [-1, -1, 5, 5]


@pytest.mark.parametrize("before", range(8))
def test_the_end_of_a_head_is_found_whatever_came_before(before: int) -> None:
    """before: at most the bytes of all but the last read."""
    assert end_of_head(b"abcd\r\n\r\n", before) == 8


def test_what_was_looked_through_is_not_looked_through_again() -> None:
    """Else a peer that sends a byte at a time costs the square of what it sends: a minute for one head."""
    assert end_of_head(b"\r\n\r\n" + b"x" * 100 + b"\r\n\r\n", 50) == 108


def test_how_an_authority_is_written() -> None:
    assert authority_text(parse_host("::1"), 80) == "[::1]:80"
    assert authority_text(parse_host("a.example"), 80, default=80) == "a.example"


fragments = st.sampled_from(
    [
        "GET ", "POST ", "CONNECT ", "http://", "a.example", ":80", "/", "?", "#", "@", "[::1]", " HTTP/1.1", "\r\n",
        "\n", "\r", "Host: ", "Content-Length: ", "Transfer-Encoding: chunked", "Connection: ", "upgrade", "Upgrade: ",
        "websocket", "Steering-Nonce: ", "1", "0", "\x00", "\xff", " ", "\t", ",", ":", "x",
    ]
)  # fmt: skip
texts = st.one_of(
    st.lists(fragments, max_size=30).map(lambda parts: "".join(parts).encode("latin-1")),
    st.binary(max_size=200),
)


@given(texts)
def test_nothing_but_its_error_is_raised_and_what_is_written_is_one_request(data: bytes) -> None:
    raw = data.replace(b"\r\n\r\n", b"") + b"\r\n\r\n"
    for read in (parse_head, lambda head: parse_inner(head, 80)):
        try:
            found = read(raw)
        except RequestError:
            continue
        if isinstance(found, Plain):
            written = found.to_origin()
            assert end_of_head(written) == len(written)
            assert not re.search(rb"(?<!\r)\n|\r(?!\n)|\x00", written)
            assert b"\nsteering-" not in written.lower()
            again = parse_inner(written, found.port)
            assert (again.host, again.port, again.path, again.length) == (
                found.host, found.port, found.path, found.length,
            )  # fmt: skip
            assert written.lower().count(b"\r\nhost:") == 1
