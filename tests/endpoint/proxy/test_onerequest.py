"""One request passes, one answer comes back, and the client is told that the connection ends."""

import pytest

from steering.endpoint.proxy.body import BodyError, body_of
from steering.endpoint.proxy.onerequest import MAX_ANSWER_HEAD, OneRequest

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        (OK + b"\r\nhi", OK + b"Connection: close\r\n\r\nhi"),
        (OK + b"Connection: keep-alive\r\nKeep-Alive: 5\r\n\r\nhi", OK + b"Connection: close\r\n\r\nhi"),
        (OK + b"Steering-Nonce: forged\r\n\r\nhi", OK + b"Connection: close\r\n\r\nhi"),
        (b"HTTP/1.0 200 OK\r\n\r\nhi", b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhi"),
        (
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"\r\nhi",
            b"HTTP/1.1 100 Continue\r\n\r\n" + OK + b"Connection: close\r\n\r\nhi",
        ),
        # A second answer is not read as one: nobody asked.
        (OK + b"\r\nhi" + OK + b"\r\n", OK + b"Connection: close\r\n\r\nhi" + OK + b"\r\n"),
        (b"SSH-2.0-x\r\n", b"SSH-2.0-x\r\n"),
        (b"HTTP/1.1 what\r\n\r\n", b"HTTP/1.1 what\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nA: 1\nKeep-Alive: 1\r\n\r\n", b"HTTP/1.1 200 OK\r\nA: 1\nConnection: close\r\n\r\n"),
        (SWITCH, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n"),
    ],
)
@pytest.mark.parametrize("size", [1, 5, 10_000])
def test_the_answer(sent: bytes, shown: bytes, size: int) -> None:
    one = OneRequest(body_of(0), upgrade=False)
    got = b"".join(one.from_origin(sent[at : at + size]) for at in range(0, len(sent), size))
    assert got.startswith(shown)
    assert one.from_client(b"GET / HTTP/1.1\r\n\r\n") == b""


def test_nothing_follows_the_request() -> None:
    one = OneRequest(body_of(3), upgrade=False)
    assert not one.asked
    assert one.from_client(b"ab") == b"ab"
    assert one.from_client(b"cGET /") == b"c"
    assert one.asked
    assert one.from_client(b"more") == b""


def test_a_web_socket_is_open_when_the_origin_has_switched() -> None:
    one = OneRequest(body_of(0), upgrade=True)
    assert one.from_client(b"early") == b""
    assert one.from_origin(SWITCH + b"frame") == SWITCH + b"frame"
    assert one.from_client(b"frame") == b"frame"
    assert one.from_origin(OK) == OK
    assert not one.asked


def test_an_origin_that_does_not_switch_gets_no_more() -> None:
    one = OneRequest(body_of(0), upgrade=True)
    assert one.from_origin(OK + b"\r\nhi") == OK + b"Connection: close\r\n\r\nhi"
    assert one.from_client(b"GET /secret HTTP/1.1\r\n\r\n") == b""


def test_an_origin_cannot_switch_before_the_body_is_there() -> None:
    one = OneRequest(body_of(5), upgrade=True)
    one.from_origin(SWITCH)
    assert one.from_client(b"helloGET /") == b"hello"


def test_a_body_that_is_none() -> None:
    with pytest.raises(BodyError):
        OneRequest(body_of(None), upgrade=False).from_client(b"z\r\n")


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_an_answer_without_end_is_passed_on(over: int) -> None:
    data = b"HTTP/1.1 200 OK\r\n" + b"a" * (MAX_ANSWER_HEAD + over - 17)
    assert OneRequest(body_of(0), upgrade=False).from_origin(data) == (data if over > 0 else b"")
