"""Whole answers of our own."""

import pytest

from steering_inspector.answers import ESTABLISHED, answer


def test_a_connect_is_answered_without_a_body() -> None:
    assert ESTABLISHED == b"HTTP/1.1 200 Connection established\r\n\r\n"


@pytest.mark.parametrize("accept", ["", "text/html", "application/json"])
def test_head_gets_the_same_head_and_nothing_else(accept: str) -> None:
    def said(head_only: bool) -> bytes:
        return answer(
            403, "blocked", host="a.example", why="no", rule="r", request_id="1", accept=accept, head_only=head_only
        )

    head, _, body = said(False).partition(b"\r\n\r\n")
    assert said(True) == head + b"\r\n\r\n"
    assert b"Content-Length: %d\r\n" % len(body) in head and body
    assert head.startswith(b"HTTP/1.1 403 Forbidden\r\n") and b"Connection: close" in head
