"""What the helper says itself is well-formed, and repeats nothing unescaped."""

import pytest

from steering.endpoint.proxy.answers import TITLES, pac_text, refusal, whole


@pytest.mark.parametrize("status", [200, *TITLES])
def test_an_answer_is_as_long_as_it_says(status: int) -> None:
    head, _, body = whole(status, "text/plain", b"hello").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert (b"Content-Length: 5" in head, b"Connection: close" in head, body) == (True, True, b"hello")
    assert whole(status, "text/plain", b"hello", head_only=True) == head + b"\r\n\r\n"


def test_a_page_escapes_what_peers_have_said() -> None:
    page = refusal(403, "<reason>", "it said <script>alert(1)</script>", "<b>host").decode()
    assert "<script>" not in page and "<reason>" not in page and "<b>host" not in page
    assert "it said &lt;script&gt;alert(1)&lt;/script&gt;" in page


def test_a_page_says_what_happened() -> None:
    page = refusal(502, "unreachable", "it cannot be reached", "a.example").decode()
    assert page.startswith("HTTP/1.1 502 Bad Gateway\r\n")
    assert "<b>a.example</b>: it cannot be reached." in page
    assert "reason: unreachable" in page


def test_the_pac_fails_closed() -> None:
    text = pac_text("127.0.0.1:3129").decode("ascii")
    assert 'return "PROXY 127.0.0.1:3129";' in text
    assert text.count("DIRECT") == 1  # of this computer itself
