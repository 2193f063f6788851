"""Squid's ``ssl_bump`` lines."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.imports.squid import read_squid
from tests.imports.reading import KNOWN, holds_for_any_text, problems_of, rules_of

CONF = """\
# Recommended minimum configuration
http_port 3128 ssl-bump generate-host-certificates=on
acl localnet src 10.0.0.0/8 192.168.0.0/16
acl step1 at_step SslBump1
acl pinned ssl::server_name .zoom.us \\
    www.example.com
acl pinned ssl::server_name .com
acl banks ssl::server_name_regex -i \\.bank\\.
acl listed ssl::server_name "/etc/squid/nobump.txt"
acl strict ssl::server_name --client-requested .upload.example
acl cert ssl::server_name --consensus .c.example
acl evil dstdomain -n .evil.example 192.0.2.7
ssl_bump peek step1
ssl_bump bump strict
ssl_bump splice step1 pinned localnet  # office
ssl_bump splice banks
ssl_bump splice listed
ssl_bump splice cert
ssl_bump splice pinned strict
ssl_bump splice nowhere
ssl_bump terminate evil
ssl_bump bump all
ssl_bump splice localnet
"""


def test_a_configuration() -> None:
    found = read_squid(CONF, KNOWN)
    assert rules_of(found) == [
        {"name": "Squid: strict", "action": "inspect", "domains": ["upload.example"]},
        {
            "name": "Squid: pinned localnet",
            "source": ["10.0.0.0/8", "192.168.0.0/16"],
            "domains": ["zoom.us", "=www.example.com"],
        },
        {"name": "Squid: evil", "action": "block", "domains": ["evil.example"], "addresses": ["192.0.2.7"]},
    ]
    assert problems_of(found) == [
        (7, ".com"),
        (8, "\\.bank\\."),
        (9, '"/etc/squid/nobump.txt"'),
        (16, "ssl_bump splice banks"),
        (17, "ssl_bump splice listed"),
        (18, "ssl_bump splice cert"),
        (19, "ssl_bump splice pinned strict"),
        (20, "ssl_bump splice nowhere"),
        (23, "ssl_bump splice localnet"),
    ]


ALONE = [
    ("ssl_bump splice all", ["ssl_bump splice all"]),
    ("ssl_bump terminate all", ["ssl_bump terminate all"]),
    ("ssl_bump bump all", []),
    ("ssl_bump peek all", []),
    ("ssl_bump splice !x", ["ssl_bump splice !x"]),
    ("ssl_bump", ["ssl_bump"]),
    ("include /etc/squid/conf.d/*.conf", ["include /etc/squid/conf.d/*.conf"]),
    ("http_access deny all", []),
    ("ssl_bump fly x", ["ssl_bump fly x"]),
]


@pytest.mark.parametrize(("line", "untaken"), ALONE)
def test_lines_that_make_no_rule(line: str, untaken: list[str]) -> None:
    found = read_squid(line, KNOWN)
    assert (rules_of(found), [problem.text for problem in found.problems]) == ([], untaken)


def test_what_is_spliced_behind_a_line_that_was_not_taken_could_be_inspected_there() -> None:
    conf = "acl a ssl::server_name .a.example\nssl_bump bump !a\nssl_bump splice a\nssl_bump terminate a\n"
    found = read_squid(conf, KNOWN)
    assert rules_of(found) == [{"name": "Squid: a", "action": "block", "domains": ["a.example"]}]
    assert problems_of(found) == [(2, "ssl_bump bump !a"), (3, "ssl_bump splice a")]


def test_lines_under_a_condition() -> None:
    conf = "if ${process_number} = 1\nacl a src 10.0.0.0/8\nssl_bump splice a\nendif\nssl_bump splice a\n"
    found = read_squid(conf, KNOWN)
    assert (rules_of(found), [line for line, _ in problems_of(found)]) == ([], [2, 3, 5])


words = st.sampled_from(
    ["acl ", "ssl_bump ", "a ", "b ", "src ", "ssl::server_name ", ".x.example ", "splice ", "bump ", "all ", "!a ",
     "10.0.0.0/8 ", "0.0.0.0/0 ", "-n ", "\\\n", "\n", "\n", "#", '"f" ', "if ", "endif ", ".com "]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(words).map("".join)))
def test_any_text(text: str) -> None:
    holds_for_any_text(read_squid, text)
