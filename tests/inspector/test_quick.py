"""The quick way of reading heads says what the long way says, or nothing."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from steering_inspector import quick
from steering_inspector.fields import HeadError
from steering_inspector.framing import Body, LengthBody
from steering_inspector.heads import parse_request_head, parse_response_head
from steering_inspector.quick import quick_request, quick_response
from steering_inspector.request import Request, check_request, host_value, render_request
from steering_inspector.response import Response, check_response, render_response
from steering_inspector.settings import Limits

LIMITS = Limits()
BROWSER = (
    b"GET /a/b.png?x=1 HTTP/1.1\r\nHost: www.example:8443\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"
    b"Accept: image/avif,*/*\r\nAccept-Language: en-US,en;q=0.5\r\nAccept-Encoding: gzip, deflate, br\r\n"
    b"Connection: keep-alive\r\nReferer: https://www.example/\r\nCookie: a=b; c=\xc3\xa4\r\n\r\n"
)
SERVER = (
    b"HTTP/1.1 200 OK\r\nServer: nginx/1.22.1\r\nDate: Wed, 25 Nov 2026 03:00:00 GMT\r\nContent-Type: text/html\r\n"
    b"Content-Length: 1024\r\nLast-Modified: Wed, 25 Nov 2026 02:00:00 GMT\r\nConnection: keep-alive\r\n"
    b'ETag: "6565-400"\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nAlt-Svc: h3=":443"\r\nAccept-Ranges: bytes\r\n\r\n'
)


def slow_request(head: bytes, limits: Limits = LIMITS) -> Request:
    return check_request(parse_request_head(head, limits))


def slow_response(head: bytes, request: Request, limits: Limits = LIMITS) -> Response:
    return check_response(parse_response_head(head, limits), request)


def body_of(body: Body | None) -> tuple[type, int] | None:
    return None if body is None else (type(body), body.left if isinstance(body, LengthBody) else -1)


def of_request(request: Request) -> dict[str, object]:
    """Every field of it, comparable, and what is sent on."""
    found: dict[str, object] = {name: getattr(request, name) for name in Request.__slots__}
    assert request.authority is not None
    sent = render_request(request, host_value(request.authority, request.scheme or "https"), "me")
    return found | {"body": body_of(request.body), "sent": sent}


def of_response(response: Response, request: Request) -> dict[str, object]:
    found: dict[str, object] = {name: getattr(response, name) for name in Response.__slots__}
    sent = [render_response(response, request, "me", keep_alive=keep) for keep in (False, True)]
    return found | {"body": body_of(response.body), "sent": sent}


def same_request(head: bytes, limits: Limits = LIMITS) -> bool:
    """Whether the quick way took it; the long way must then say the same."""
    found = quick_request(head, limits)
    if found is None:
        return False
    assert of_request(found) == of_request(slow_request(head, limits))
    return True


def same_response(head: bytes, request: Request, limits: Limits = LIMITS) -> bool:
    found = quick_response(head, request, limits)
    if found is None:
        return False
    assert of_response(found, request) == of_response(slow_response(head, request, limits), request)
    return True


H = b"Host: a.example\r\n"

# What real clients send is taken.
QUICK = {
    "a browser": BROWSER,
    "curl": b"GET / HTTP/1.1\r\nHost: www.example\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n",
    "an upload": b"PUT /x HTTP/1.1\r\n" + H + b"Content-Length: 10485760\r\nContent-Type: a/b\r\n\r\n",
    "nothing to upload": b"POST /x HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n",
    "HEAD": b"HEAD /x HTTP/1.1\r\n" + H + b"\r\n",
    "CONNECT": b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\nUser-Agent: x\r\n\r\n",
    "CONNECT to an address": b"CONNECT [::1]:443 HTTP/1.1\r\nHost: [::1]:443\r\nProxy-Authorization: x y\r\n\r\n",
    "the last one": b"GET /x HTTP/1.1\r\n" + H + b"Connection: Close\r\n\r\n",
    "a token": b"GET /x HTTP/1.1\r\n" + H + b"Authorization: Bearer x\r\n\r\n",
    "odd names": b"GET /x HTTP/1.1\r\nhOST: a.example\r\nx-!#$%&'*+.^`|~: y\r\n\r\n",
    "hop by hop": b"GET / HTTP/1.1\r\n" + H + b"TE: trailers\r\nProxy-Connection: close\r\nKeep-Alive: 1\r\n\r\n",
    "every visible byte": b"GET /x HTTP/1.1\r\n" + H + b"X: " + bytes(range(0x21, 0x7F)) + b"\r\n\r\n",
}

# What needs thought, or is to be refused, goes the long way.
LONG = {
    "no host": b"GET / HTTP/1.1\r\nX: y\r\n\r\n",
    "no field": b"GET / HTTP/1.1\r\n\r\n",
    "two hosts": b"GET / HTTP/1.1\r\n" + H + H + b"\r\n",
    "a host that is none": b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "a field twice": b"GET / HTTP/1.1\r\n" + H + b"X: 1\r\nx: 2\r\n\r\n",
    "HTTP/1.0": b"GET / HTTP/1.0\r\n" + H + b"\r\n",
    "HTTP/2.0": b"GET / HTTP/2.0\r\n" + H + b"\r\n",
    "another method": b"PROPFIND / HTTP/1.1\r\n" + H + b"\r\n",
    "CONNECT to no host": b"CONNECT a@b:443 HTTP/1.1\r\n" + H + b"\r\n",
    "CONNECT to no port": b"CONNECT a.example:0 HTTP/1.1\r\n" + H + b"\r\n",
    "CONNECT without Host": b"CONNECT a.example:443 HTTP/1.1\r\nX: y\r\n\r\n",
    "CONNECT with a body": b"CONNECT a.example:443 HTTP/1.1\r\n" + H + b"Content-Length: 5\r\n\r\n",
    "CONNECT with no body": b"CONNECT a.example:443 HTTP/1.1\r\n" + H + b"Content-Length: 0\r\n\r\n",
    "absolute": b"GET http://a.example/ HTTP/1.1\r\n" + H + b"\r\n",
    "OPTIONS *": b"OPTIONS * HTTP/1.1\r\n" + H + b"\r\n",
    "a fragment": b"GET /#x HTTP/1.1\r\n" + H + b"\r\n",
    "a tab": b"GET / HTTP/1.1\r\n" + H + b"X: a\tb\r\n\r\n",
    "a blank at the end": b"GET / HTTP/1.1\r\n" + H + b"X: a \r\n\r\n",
    "two blanks before": b"GET / HTTP/1.1\r\n" + H + b"X:  a\r\n\r\n",
    "no blank": b"GET / HTTP/1.1\r\n" + H + b"X:a\r\n\r\n",
    "no value": b"GET / HTTP/1.1\r\n" + H + b"X: \r\n\r\n",
    "no name": b"GET / HTTP/1.1\r\n" + H + b": x\r\n\r\n",
    "a blank in a name": b"GET / HTTP/1.1\r\n" + H + b"X : a\r\n\r\n",
    "folded": b"GET / HTTP/1.1\r\n" + H + b"X: a\r\n b: c\r\n\r\n",
    "bare LF": b"GET / HTTP/1.1\r\n" + H + b"X: a\nY: b\r\n\r\n",
    "bare CR": b"GET / HTTP/1.1\r\n" + H + b"X: a\rY: b\r\n\r\n",
    "NUL": b"GET / HTTP/1.1\r\n" + H + b"X: a\x00b\r\n\r\n",
    "DEL": b"GET / HTTP/1.1\r\n" + H + b"X: a\x7fb\r\n\r\n",
    "more behind": b"GET / HTTP/1.1\r\n" + H + b"\r\nGET",
    "chunked": b"POST / HTTP/1.1\r\n" + H + b"Transfer-Encoding: chunked\r\n\r\n",
    "two lengths": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "a signed length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: +5\r\n\r\n",
    "a huge length": b"POST / HTTP/1.1\r\n" + H + b"Content-Length: 1000000000000000000\r\n\r\n",
    "a name with an underscore": b"GET / HTTP/1.1\r\n" + H + b"Content_Length: 5\r\n\r\n",
    "Connection that names a field": b"GET / HTTP/1.1\r\n" + H + b"Connection: keep-alive, X-Y\r\nX-Y: z\r\n\r\n",
    "an upgrade": b"GET / HTTP/1.1\r\n" + H + b"Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
    "expectations": b"PUT / HTTP/1.1\r\n" + H + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\n",
    "NTLM": b"GET / HTTP/1.1\r\n" + H + b"Authorization: NTLM TlRM\r\n\r\n",
    "Negotiate": b"GET / HTTP/1.1\r\n" + H + b"Authorization: negotiate YII\r\n\r\n",
    "another proxy": b"GET / HTTP/1.1\r\n" + H + b"Via: 1.1 other\r\n\r\n",
    "our own field": b"GET / HTTP/1.1\r\n" + H + b"Steering-Attestation: x\r\n\r\n",
}


@pytest.mark.parametrize("name", QUICK)
def test_plain_requests_are_taken(name: str) -> None:
    assert same_request(QUICK[name])


@pytest.mark.parametrize("name", LONG)
def test_whatever_needs_thought_goes_the_long_way(name: str) -> None:
    assert quick_request(LONG[name], LIMITS) is None


GET, HEAD = slow_request(QUICK["curl"]), slow_request(QUICK["HEAD"])

QUICK_RESPONSES = {
    "a server": SERVER,
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n",
    "until the end": b"HTTP/1.1 200 OK\r\nX: y\r\n\r\n",
    "the last one": b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nConnection: close\r\n\r\n",
    "nothing": b"HTTP/1.1 204 No Content\r\nServer: x\r\n\r\n",
    "not modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\nETag: x\r\n\r\n",
    "zero": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "who are you": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: Basic realm=x\r\n\r\n",
    "nothing is sent on": b"HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nKeep-Alive: timeout=5\r\n\r\n",
}
LONG_RESPONSES = {
    "no field": b"HTTP/1.1 200 OK\r\n\r\n",
    "no phrase": b"HTTP/1.1 200 \r\nX: y\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n",
    "switching": b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n",
    "status 600": b"HTTP/1.1 600 OK\r\nContent-Length: 1\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\r\nX: y\n\r\n",
    "an earlier end": b"HTTP/1.1 200 OK\r\nX: y\n\nbody: x\r\n\r\n",
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
    "chunked and length": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
    "gzip": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
    "chunked twice": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
    "Connection twice": b"HTTP/1.1 200 OK\r\nConnection: close\r\nConnection: close\r\n\r\n",
    "Connection that names": b"HTTP/1.1 200 OK\r\nConnection: close, x\r\nX: y\r\n\r\n",
    "NTLM": b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nWWW-Authenticate: NTLM\r\n\r\n",
    "our own field": b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSteering-Nonce: x\r\n\r\n",
    "a name with an underscore": b"HTTP/1.1 200 OK\r\nContent_Length: 5\r\n\r\n",
    "length with a blank": b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\n",
}


@pytest.mark.parametrize("request_", [GET, HEAD], ids=["GET", "HEAD"])
@pytest.mark.parametrize("name", QUICK_RESPONSES)
def test_plain_responses_are_taken(name: str, request_: Request) -> None:
    assert same_response(QUICK_RESPONSES[name], request_)


@pytest.mark.parametrize("name", LONG_RESPONSES)
def test_whatever_needs_thought_of_a_response_goes_the_long_way(name: str) -> None:
    assert quick_response(LONG_RESPONSES[name], GET, LIMITS) is None


@pytest.mark.parametrize(("over", "quick_one"), [(-1, True), (0, True), (1, False)])
def test_limits_are_those_of_the_long_way(over: int, quick_one: bool) -> None:
    many = b"".join(b"X-%d: y\r\n" % number for number in range(LIMITS.max_fields + over - 1))
    assert same_request(b"GET / HTTP/1.1\r\n" + H + many + b"\r\n") is quick_one
    assert same_response(b"HTTP/1.1 200 OK\r\nServer: x\r\n" + many + b"\r\n", GET) is quick_one
    tight = Limits(max_line_bytes=len(BROWSER) - 2 - over)
    assert same_request(BROWSER, tight) is quick_one


def test_names_that_clients_make_up_are_not_remembered_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    names: dict[bytes, tuple[bytes, int]] = {}
    monkeypatch.setattr(quick, "_request_names", names)
    monkeypatch.setattr(quick, "_MAX_NAMES", 10)
    for number in range(20):
        assert same_request(b"GET / HTTP/1.1\r\n" + H + b"X-%d: y\r\n\r\n" % number)
    assert same_request(b"GET / HTTP/1.1\r\n" + H + b"X" * 65 + b": y\r\n\r\n")
    assert len(names) == 10


def cased(names: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    return st.one_of(names, names.map(bytes.title), names.map(bytes.upper))


_SPECIAL = sorted(quick._OF_REQUESTS.keys() | quick._OF_RESPONSES.keys())
NAMES = cased(
    st.one_of(
        st.sampled_from(
            [*_SPECIAL, b"accept", b"set-cookie", b"server", b"content-type", b"x-a", b"steering-x", b"x_y"]
        ),
        st.text("abX-_!:\x00 \t", min_size=0, max_size=4).map(str.encode),
    )
)
VALUES = st.one_of(
    st.sampled_from(
        b"close|keep-alive|Keep-Alive|chunked|Chunked|gzip|0|5|+5|5, 5|upgrade|websocket|a.example|a.example:443|a@b|"
        b"NTLM x|Basic x|100-continue|close, x-a|".split(b"|")
    ),
    st.text("ab \t:\x00\x7f\xe4\r\n,", max_size=6).map(lambda text: text.encode("latin-1")),
)
FIELDS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
BLANKS = st.sampled_from([b": ", b": ", b": ", b": ", b":", b" : ", b":  ", b":\t"])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\r\n", b"\n", b" \r\n", b"\r"])


@st.composite
def heads(draw: st.DrawFn, firsts: st.SearchStrategy[bytes]) -> bytes:
    lines = [name + draw(BLANKS) + value + draw(ENDS) for name, value in draw(FIELDS)]
    return draw(firsts) + b"".join(lines) + b"\r\n"


REQUEST_LINES = st.one_of(
    st.just(b"GET / HTTP/1.1\r\nHost: a.example\r\n"),
    st.just(b"POST /p?q HTTP/1.1\r\nHost: a.example\r\n"),
    st.just(b"CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n"),
    st.builds(
        b"%b %b HTTP/%b\r\n".__mod__,
        st.tuples(
            st.sampled_from([b"GET", b"HEAD", b"PUT", b"get", b"CONNECT", b"OPTIONS"]),
            st.text("/a?#%\x7f\x80 \t.:*4[]", max_size=6).map(lambda text: text.encode("latin-1")),
            st.sampled_from([b"1.1", b"1.0", b"2.0"]),
        ),
    ),
)
STATUS_LINES = st.builds(
    b"HTTP/%b %b%b\r\n".__mod__,
    st.tuples(
        st.sampled_from([b"1.1", b"1.1", b"1.1", b"1.0", b"2.0"]),
        st.sampled_from([b"200", b"204", b"304", b"401", b"100", b"101", b"599", b"600", b"20", b"2000"]),
        st.sampled_from([b" OK", b" OK", b" Not Found", b"", b" ", b"  OK", b" O\x7fK", b" OK ", b" \xe4"]),
    ),
)


@settings(max_examples=600)
@given(heads(REQUEST_LINES))
@example(BROWSER)
def test_requests_either_way(head: bytes) -> None:
    same_request(head)


@settings(max_examples=600)
@given(heads(STATUS_LINES), st.sampled_from([GET, HEAD]))
@example(SERVER, GET)
def test_responses_either_way(head: bytes, request: Request) -> None:
    same_response(head, request)


@settings(max_examples=300)
@given(st.sampled_from([BROWSER, *QUICK.values()]), st.integers(0, 400), st.binary(max_size=3))
def test_a_request_with_a_few_bytes_changed(head: bytes, at: int, changed: bytes) -> None:
    same_request(head[:at] + changed + head[at + len(changed) :])


@settings(max_examples=300)
@given(st.sampled_from([SERVER, *QUICK_RESPONSES.values()]), st.integers(0, 300), st.binary(max_size=3))
def test_a_response_with_a_few_bytes_changed(head: bytes, at: int, changed: bytes) -> None:
    same_response(head[:at] + changed + head[at + len(changed) :], GET)


def test_what_a_request_of_a_browser_is() -> None:
    request = quick_request(BROWSER, LIMITS)
    assert request is not None
    with pytest.raises(HeadError):
        slow_request(BROWSER.replace(b"Host: www.example:8443", b"Host: a b"))
    assert quick_request(BROWSER.replace(b"Host: www.example:8443", b"Host: a b"), LIMITS) is None
