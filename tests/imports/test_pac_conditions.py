"""Conditions of a PAC, one by one."""

import pytest

from steering.imports.pac_conditions import Condition, Host, Text, Value, condition
from steering.imports.pac_syntax import parse_script

VALUES: dict[str, Value] = {
    "host": Host(),
    "list": (Text("a.example", 1), Text("b.example", 1)),
    "map": {"a.example": 1, "b.example": 0},
    "end": Text(".a.example", 1),
    "ip": Host(resolved=True),
}


def read(text: str) -> Condition:
    return condition(parse_script(text)[0].parts[0], VALUES)


TAKEN = [
    ('dnsDomainIs(host, ".a.example")', ["*.a.example"]),
    ('dnsDomainIs(host, "a.example")', ["a.example"]),
    ("dnsDomainIs(host, end)", ["*.a.example"]),
    ('dnsDomainIs(host, "." + "b" + ".example")', ["*.b.example"]),
    ('localHostOrDomainIs(host, "www.a.example")', ["=www.a.example"]),
    ('host == "a.example"', ["=a.example"]),
    ('"a.example" === host.toLowerCase()', ["=a.example"]),
    ('host == "192.0.2.1"', ["192.0.2.1"]),
    ('shExpMatch(host, "a.example")', ["=a.example"]),
    ('shExpMatch(host, "*.a.example")', ["*.a.example"]),
    ('shExpMatch(host, "*a.example")', ["a.example"]),
    ('shExpMatch(host, "api-*.a.example")', ["api-*.a.example"]),
    ('shExpMatch(host, "10.*")', ["10.0.0.0/8"]),
    ('shExpMatch(host, "192.168.7.*")', ["192.168.7.0/24"]),
    ('isInNet(host, "10.1.2.3", "255.255.0.0")', ["10.1.0.0/16"]),
    ('isInNet(dnsResolve(host), "10.0.0.0", "255.0.0.0")', ["10.0.0.0/8"]),
    ('isInNet(ip, "0.0.0.0", "0.0.0.0")', ["0.0.0.0/0"]),
    ("list.indexOf(host) >= 0", ["=a.example", "=b.example"]),
    ("list.indexOf(host) != -1", ["=a.example", "=b.example"]),
    ("list.includes(host)", ["=a.example", "=b.example"]),
    ("host in map", ["=a.example", "=b.example"]),
    ("map.hasOwnProperty(host)", ["=a.example", "=b.example"]),
    ("map[host]", ["=a.example"]),
    ('host.endsWith(".a.example")', ["*.a.example"]),
    ('host == "a.example" || (host == "b.example" || list[1] == host)', ["=a.example", "=b.example", "=b.example"]),
]


@pytest.mark.parametrize(("text", "entries"), TAKEN)
def test_taken(text: str, entries: list[str]) -> None:
    found = read(text)
    assert [entry.entry for entry in found.entries] == entries
    assert (found.unclear, found.idle) == ([], [])


@pytest.mark.parametrize(
    "text",
    ['host == "A.example"', 'dnsDomainIs(host, ".b\u00fccher.example")', 'host == "a.example."', 'host == " a.example"',
     'shExpMatch(host, "A.example")', 'dnsDomainIs(host, "..a.example")', "isPlainHostName(host)"],
)  # fmt: skip
def test_what_matches_no_name_is_told_and_no_doubt(text: str) -> None:
    found = read(text)
    assert (found.entries, found.unclear, len(found.idle)) == ([], [], 1)


UNCLEAR = [
    '!dnsDomainIs(host, ".a.example")',
    'host == "a.example" && url == "b"',
    "mine(host)",
    'dnsDomainIs(url, ".a.example")',
    'dnsDomainIs(host, "")',
    'dnsDomainIs(host, ".")',
    'shExpMatch(host, "*")',
    'shExpMatch(host, "a?.example")',
    'shExpMatch(url, "*://a.example/*")',
    'isInNet(host, "10.0.0.0", "255.0.255.0")',
    'isInNet(host, "10.0.0", "255.0.0.0")',
    'isInNet(myIpAddress(), "10.0.0.0", "255.0.0.0")',
    "list.indexOf(host) > 0",
    "list.indexOf(host) == -1",
    'host.indexOf("a.example") >= 0',
    'host != "a.example"',
    "host",
    "true",
    "list[2] == host",
]


@pytest.mark.parametrize("text", UNCLEAR)
def test_unclear(text: str) -> None:
    found = read(text)
    assert (found.entries, len(found.unclear)) == ([], 1)


def test_a_function_that_is_hidden_is_not_the_built_in_one() -> None:
    node = parse_script('dnsDomainIs(host, ".a.example")')[0].parts[0]
    assert condition(node, {**VALUES, "dnsDomainIs": False}).entries == []
