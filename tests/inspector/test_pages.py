"""Pages: complete, escaped, without a line that anybody else could write into the head."""

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering_inspector.pages import REASONS, page, reason_of

HOSTILE = [
    "<script>alert(1)</script>",
    "</title><script>",
    '" onmouseover="alert(1)',
    "a\r\nSet-Cookie: x=1\r\n\r\n<html>",
    "{{ 7 * 7 }}{% raw %}",
    "\ud800 alone",
    "\x00\x1b[31m",
    "&lt;b&gt;",
    "\u202egpj.exe",
]


class Reader(HTMLParser):
    """What a browser would make of it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


def read(whole: bytes) -> tuple[list[str], Reader]:
    head, _, body = whole.partition(b"\r\n\r\n")
    reader = Reader()
    reader.feed(body.decode("utf-8"))
    return head.decode("ascii").split("\r\n"), reader


def made(text: str = "x", accept: str = "text/html", reason: str = "blocked") -> bytes:
    return page(
        403, reason, host=text, why=text, rule=text, request_id="0123456789ab", details=((text, text),), accept=accept
    )


PLAIN = read(made())


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_hostile_text_stays_text(text: str, accept: str) -> None:
    head, reader = read(made(text, accept))
    assert [line.partition(":")[0] for line in head] == [line.partition(":")[0] for line in PLAIN[0]]
    if accept == "text/html":
        assert (reader.tags, reader.attributes) == (PLAIN[1].tags, PLAIN[1].attributes)
        assert text.encode("utf-8", "replace").decode().replace("\r\n", "\n") in reader.text.replace("\r\n", "\n")


def test_hostile_text_adds_no_line_to_plain_text() -> None:
    body = made("a\r\nRule: none\nb", "text/plain").partition(b"\r\n\r\n")[2]
    assert len(body.splitlines()) == len(made("a", "text/plain").partition(b"\r\n\r\n")[2].splitlines())


@given(st.text(min_size=1, max_size=60), st.text(max_size=40))
@settings(max_examples=150, deadline=None)
def test_whatever_the_text_the_page_is_built_alike(text: str, reason: str) -> None:
    head, reader = read(made(text, reason=reason))
    assert [line.partition(":")[0] for line in head] == [line.partition(":")[0] for line in PLAIN[0]]
    assert (reader.tags, reader.attributes) == (PLAIN[1].tags, PLAIN[1].attributes)


def test_the_head() -> None:
    head, body = made().split(b"\r\n\r\n", 1)
    assert head.decode("ascii").split("\r\n") == [
        "HTTP/1.1 403 Forbidden",
        "Content-Type: text/html; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Steering-Reason: blocked",
        "Cache-Control: no-store",
        "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        "X-Content-Type-Options: nosniff",
        "Referrer-Policy: no-referrer",
        "Connection: close",
    ]


def test_the_page_says_what_which_rule_what_to_do_and_a_number() -> None:
    whole = page(502, "origin-expired", host="www.example", why="it has ended", rule="r 1", request_id="abc",
                 details=(("Valid until", "2020-01-01"), ("Names", "www.example")))  # fmt: skip
    text = read(whole)[1].text
    words = REASONS["origin-expired"]
    for part in (words.title, words.meaning, words.advice, "www.example", "it has ended", "r 1", "abc", "Valid until",
                 "2020-01-01", "origin-expired (502)"):  # fmt: skip
        assert part in text


def test_the_same_in_plain_text() -> None:
    whole = page(403, "blocked", host="www.example", why="why", rule="r", request_id="abc", details=(("k", "v"),),
                 accept="application/json")  # fmt: skip
    head, _, body = whole.partition(b"\r\n\r\n")
    assert b"Content-Type: text/plain; charset=utf-8\r\n" in head
    words = REASONS["blocked"]
    assert body.decode().splitlines() == [
        f"{words.title}: www.example", words.meaning, "why", "k: v", "Rule: r", words.advice, "Number: abc",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("accept", "html"),
    [
        ("", True),
        ("*/*", True),
        ("text/html,application/xhtml+xml;q=0.9", True),
        ("application/json", False),
        ("text/plain", False),
    ],
)
def test_who_reads_no_html_gets_plain_text(accept: str, html: bool) -> None:
    assert (b"<!doctype html>" in made(accept=accept)) is html


def test_every_reason_is_a_token_with_words_of_its_own() -> None:
    assert [key for key in REASONS if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", key)] == []
    assert [key for key, reason in REASONS.items() if not 400 <= reason.status <= 599] == []
    assert [key for key, reason in REASONS.items() if not (reason.title and reason.meaning and reason.advice)] == []
    assert reason_of("no such reason").status == 502


def test_a_status_without_a_name_is_still_a_response() -> None:
    assert page(599, "blocked", host="a", why="", rule=None, request_id="1").startswith(b"HTTP/1.1 599 Error\r\n")
