"""Plain lists, in both dialects."""

from hypothesis import given
from hypothesis import strategies as st

from steering.imports.domain_list import is_address, read_domains, read_squid_list
from tests.imports.reading import KNOWN, holds_for_any_text, problems_of, rules_of

LIST = """\
\ufeff# names that pin
Zoom.US
*.example.com   # below it
=www.example.org
bücher.example
.example.net
0.0.0.0 ads.example
https://a.example/path
10.1.0.0/16
10.1.2.3/16
co.uk
zoom.us.
"""


def test_our_dialect() -> None:
    found = read_domains(LIST, KNOWN)
    assert rules_of(found) == [
        {
            "name": "list.txt",
            "domains": ["zoom.us", "*.example.com", "=www.example.org", "xn--bcher-kva.example"],
            "addresses": ["10.1.0.0/16"],
        }
    ]
    assert problems_of(found) == [
        (6, ".example.net"),
        (7, "0.0.0.0 ads.example"),
        (8, "https://a.example/path"),
        (10, "10.1.2.3/16"),
        (11, "co.uk"),
    ]


def test_the_dialect_of_squid() -> None:
    found = read_squid_list(".zoom.us\nwww.example.com\r\n.com\n", KNOWN)
    assert rules_of(found) == [{"name": "list.txt", "domains": ["zoom.us", "=www.example.com"]}]
    assert problems_of(found) == [(3, ".com")]


def test_nothing_is_no_rule() -> None:
    assert rules_of(read_domains("# nothing\n\n", KNOWN)) == []


def test_addresses() -> None:
    assert [is_address(text) for text in ("10.0.0.1", "::1/128", "a.example", "10.0.0.0/33")] == [
        True,
        True,
        False,
        False,
    ]


words = st.sampled_from([".a.example", "=", "*.b.example", "com", "#", "\n", "\ufeff", "10.0.0.0/8", "0.0.0.0/0", " "])


@given(st.one_of(st.text(), st.lists(words).map("".join)))
def test_any_text(text: str) -> None:
    holds_for_any_text(read_domains, text)
    holds_for_any_text(read_squid_list, text)
