"""The page at /: well-formed, escaped, without anything from elsewhere."""

import re
from html.parser import HTMLParser

from steering.control.page import render_page
from steering.control.status import Status


class Links(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value or "" for name, value in attrs if name in ("href", "src")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page() -> None:
    page = render_page(Status(state="ok", revision="r1", rules=16, enabled=15), "http://x.example")
    links = Links()
    links.feed(page)
    assert links.open == []
    assert set(links.found) == {
        "/proxy.pac",
        "/ca.pem",
        "/ca.crt",
        "/ca.mobileconfig",
        "/readyz",
        "/metrics",
        "/api/v1/openapi.json",
    }
    text = re.sub(r"\s+", " ", re.sub(r"<style>.*?</style>|<[^>]*>", "", page, flags=re.DOTALL))
    assert "ok, policy r1, 15 rules in force." in text
    assert "<script" not in page


def test_what_it_shows_is_escaped() -> None:
    page = render_page(Status(state="<b>", revision='"><script>'), "http://x.example/?<i>")
    assert not re.search("<b>|<script>|<i>", page)
    assert "none yet" in render_page(Status(), "http://x.example")
