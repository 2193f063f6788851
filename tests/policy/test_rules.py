"""What a rules file means: every entry parsed, and what cannot be enforced refused with its place."""

from ipaddress import ip_network

import pytest

from steering.policy import Action, CategoryTable, RulesError, RulesModel, System
from steering.policy.domains import Domain, Reach
from steering.policy.errors import SourceError
from steering.policy.programs import ProgramEntry
from steering.policy.rules import (
    NO_CATEGORIES,
    GroupSource,
    Rule,
    UserSource,
    parse_network,
    read_rules,
    rule_set,
)

TABLE = CategoryTable("1", {"Legal": frozenset({"law.example"}), "Health and Medicine": frozenset()})
GROUPS: dict[str, object] = {
    "sales": {"networks": ["10.1.0.0/16"], "users": ["Ann "]},
    "none": {},
    "world": {"networks": ["0.0.0.0/0"]},
    "half": {"networks": ["0.0.0.0/1"]},
    "people": {"users": ["bob"]},
}


def problems(*rules: dict[str, object], groups: dict[str, object] | None = None) -> list[tuple[str, str]]:
    named = [{"name": f"r{i}"} | rule for i, rule in enumerate(rules)]
    model = RulesModel.model_validate({"groups": GROUPS if groups is None else groups, "rules": named})
    parsed, found = read_rules(model, TABLE)
    assert (parsed is None) == bool(found)
    return [("/" + "/".join(map(str, p.pointer)), p.message) for p in found]


def places(*rules: dict[str, object]) -> list[str]:
    return [place for place, _ in problems(*rules)]


def test_a_rule_with_everything() -> None:
    document = {
        "groups": GROUPS,
        "rules": [
            {
                "name": "all",
                "enabled": False,
                "action": "block",
                "source": ["10.1.2.3", "2001:db8::/64", "group:sales", "user: Ann", "::ffff:10.0.0.0/104"],
                "programs": ["linux:zoom", {"name": "zoom.exe", "path": "C:\\z\\**", "sha256": "AB" * 32}],
                "domains": ["zoom.us", "=www.zoom.us"],
                "categories": [" legal"],
                "addresses": ["203.0.113.0/24"],
                "not_before": "2026-01-01T00:00:00Z",
                "expires_at": "2026-01-01T02:00:00+01:00",
                "preconfigured": True,
            }
        ],
    }
    assert rule_set(RulesModel.model_validate(document), TABLE).rules == (
        Rule(
            index=0,
            name="all",
            enabled=False,
            action=Action.BLOCK,
            source=(
                ip_network("10.1.2.3/32"),
                ip_network("2001:db8::/64"),
                GroupSource("sales", (ip_network("10.1.0.0/16"),), frozenset({"ann"})),
                UserSource("ann"),
                ip_network("10.0.0.0/8"),
            ),
            programs=(
                ProgramEntry(name="zoom", system=System.LINUX),
                ProgramEntry(name="zoom.exe", path="C:\\z\\**", sha256="ab" * 32),
            ),
            domains=(Domain(Reach.TREE, "zoom.us"), Domain(Reach.EXACT, "www.zoom.us")),
            categories=("Legal",),
            addresses=(ip_network("203.0.113.0/24"),),
            not_before=1_767_225_600.0,
            expires_at=1_767_229_200.0,
            preconfigured=True,
        ),
    )


ZOOM: dict[str, object] = {"domains": ["zoom.us"]}
NO_CONDITION = "give it a destination, a program or a source"
UNKNOWN_OWNERS = "would bypass names of unknown owners"
REFUSED: list[tuple[dict[str, object], str, str]] = [
    ({}, "/rules/0", f"'r0' has no condition at all and would switch inspection off for everything; {NO_CONDITION}"),
    ({"action": "block"}, "/rules/0", f"'r0' has no condition at all and would block everything; {NO_CONDITION}"),
    ({"enabled": False}, "/rules/0",
     f"'r0' has no condition at all and would switch inspection off for everything; {NO_CONDITION}"),
    ({"source": ["0.0.0.0/0"]}, "/rules/0/source",
     "'r0' bypasses every address of a family; name a destination, a program or smaller networks"),
    ({"addresses": ["::/0"]}, "/rules/0/addresses", "a bypass cannot cover every address; name smaller networks"),
    ({"domains": ["com"]}, "/rules/0/domains/0", f"'com' {UNKNOWN_OWNERS}: 'com' is, or holds, a public suffix"),
    ({"domains": ["*.co.uk"]}, "/rules/0/domains/0",
     f"'*.co.uk' {UNKNOWN_OWNERS}: 'co.uk' is, or holds, a public suffix"),
    ({"domains": ["=com"]}, "/rules/0/domains/0",
     "'=com' is a name without a dot, which clients complete: no rule ever gets to see it"),
    ({**ZOOM, "source": ["10.1.2.3/16"]}, "/rules/0/source/0",
     "'10.1.2.3/16' has bits set behind its prefix; did you mean '10.1.0.0/16'?"),
    ({**ZOOM, "source": ["10.1.0.0/33"]}, "/rules/0/source/0",
     "'10.1.0.0/33' is neither an IP address nor a network such as 10.1.0.0/16"),
    ({**ZOOM, "source": ["ann@example.com"]}, "/rules/0/source/0",
     "'ann@example.com' is neither an IP address nor a network such as 10.1.0.0/16"),
    ({**ZOOM, "source": ["group:sale"]}, "/rules/0/source/0",
     "there is no group 'sale' under 'groups' (half, none, people, sales, world)"),
    ({**ZOOM, "source": ["user: "]}, "/rules/0/source/0", "'' names no user"),
    ({**ZOOM, "categories": ["Law"]}, "/rules/0/categories/0",
     "there is no category 'Law' in the category table (known: Health and Medicine, Legal)"),
    ({**ZOOM, "programs": [{}]}, "/rules/0/programs/0",
     "such a program condition would match every program; leave it out, or name something"),
    ({**ZOOM, "programs": ["zoom", {"path": "/**"}]}, "/rules/0/programs/1",
     "such a program condition would match every program; leave it out, or name something"),
    ({**ZOOM, "programs": ["*.exe"]}, "/rules/0/programs/0",
     "'*.exe': names are compared exactly; only a trailing '.*' is allowed (com.example.app.*)"),
    ({**ZOOM, "addresses": ["zoom.us"]}, "/rules/0/addresses/0",
     "'zoom.us' is neither an IP address nor a network such as 10.1.0.0/16"),
    ({**ZOOM, "not_before": "2026-01-01T00:00:00Z", "expires_at": "2026-01-01T01:00:00+01:00"}, "/rules/0/expires_at",
     "ends before it begins (not_before)"),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "place", "message"), REFUSED, ids=str)
def test_refused(rule: dict[str, object], place: str, message: str) -> None:
    assert problems(rule) == [(place, message)]


SOURCES_ALONE: list[tuple[list[str], bool]] = [
    (["0.0.0.0/0"], False),
    (["::/0"], False),
    (["::ffff:0:0/96"], False),  # every IPv4 address, by another name
    (["0.0.0.0/1", "128.0.0.0/1"], False),
    (["0.0.0.0/1", "128.0.0.0/2"], True),
    (["0.0.0.0/1", "128.0.0.0/2", "192.0.0.0/2"], False),
    (["0.0.0.0/1", "8000::/1"], True),
    (["group:world"], False),
    (["group:half", "128.0.0.0/1"], False),
    (["group:half"], True),
    (["user:ann", "0.0.0.0/0"], False),  # any of them will do
    (["user:ann"], True),
    (["group:none"], True),
    (["10.0.0.0/8"], True),
]


@pytest.mark.parametrize(("source", "fits"), SOURCES_ALONE, ids=str)
def test_a_source_alone_may_not_be_everywhere(source: list[str], fits: bool) -> None:
    assert places({"source": source}) == ([] if fits else ["/rules/0/source"])
    for key, entry in (("domains", "zoom.us"), ("programs", "zoom"), ("categories", "legal"), ("addresses", "::5")):
        assert places({"source": source, key: [entry]}) == []
    for action in ("inspect", "block"):
        assert places({"source": source, "action": action}) == []


def test_an_entry_that_cannot_be_read_is_still_a_condition() -> None:
    assert places({"source": ["0.0.0.0/0"], "domains": ["a..b"]}) == ["/rules/0/domains/0"]
    assert places({"domains": ["a..b"]}) == ["/rules/0/domains/0"]


# entry: may a bypass hold it
SUFFIXES = [
    ("com", False),
    ("*.com", False),
    ("=com", False),
    ("co.uk", False),
    ("*.co.uk", False),
    ("uk", False),
    ("gov.uk", False),
    ("=gov.uk", True),  # one site, and its owner is known
    ("telemark.no", False),  # holds suffixes
    ("*.ck", False),
    ("any.ck", False),  # *.ck
    ("www.ck", True),  # but for this one
    ("xn--p1ai", False),
    ("рф", False),
    ("nas", False),
    ("=nas", False),
    ("github.io", True),  # a private suffix has one owner: a warning
    ("example.com", True),
    ("example.co.uk", True),
]


@pytest.mark.parametrize(("entry", "fits"), SUFFIXES)
def test_a_bypass_at_or_above_a_public_suffix(entry: str, fits: bool) -> None:
    assert places({"domains": ["zoom.us", entry]}) == ([] if fits else ["/rules/0/domains/1"])
    for action in ("inspect", "block"):
        assert places({"domains": [entry], "action": action}) == []


@pytest.mark.parametrize(
    ("addresses", "fits"),
    [
        (["0.0.0.0/0"], False),
        (["0.0.0.0/1", "128.0.0.0/1"], False),
        (["0.0.0.0/1", "128.0.0.0/2"], True),
        (["::/0"], False),
        (["203.0.113.0/24"], True),
    ],
    ids=str,
)
def test_addresses_may_not_be_all_of_them(addresses: list[str], fits: bool) -> None:
    assert places({"addresses": addresses}) == ([] if fits else ["/rules/0/addresses"])
    assert places({"addresses": addresses, "action": "block"}) == []


def test_names_differ() -> None:
    assert problems({"name": "a"} | ZOOM, ZOOM, {"name": "a"} | ZOOM) == [
        ("/rules/2/name", "a rule named 'a' already stands at /rules/0; names must differ")
    ]


def test_groups_are_read_too() -> None:
    groups: dict[str, object] = {"g": {"networks": ["10.0.0.0/8", "x"], "users": ["ann", " "]}}
    assert problems(groups=groups) == [
        ("/groups/g/networks/1", "'x' is neither an IP address nor a network such as 10.1.0.0/16"),
        ("/groups/g/users/1", "' ' names no user"),
    ]


def test_every_problem_at_once() -> None:
    assert places({"domains": ["a..b", "zoom.us", "x/y"], "source": ["q"]}, {}, {"categories": ["x"]}) == [
        "/rules/0/source/0",
        "/rules/0/domains/0",
        "/rules/0/domains/2",
        "/rules/1",
        "/rules/2/categories/0",
    ]


def test_an_inspect_rule_needs_no_condition() -> None:
    assert places({"action": "inspect"}) == []


def test_raising() -> None:
    with pytest.raises(RulesError, match=r"^/rules/0/categories/0: there is no category 'Legal'") as caught:
        rule_set(RulesModel.model_validate({"rules": [{"name": "a", "categories": ["Legal"]}]}), NO_CATEGORIES)
    assert caught.value.findings == ()


@pytest.mark.parametrize(
    ("text", "network"),
    [
        (" 10.1.2.3 ", "10.1.2.3/32"),
        ("10.1.0.0/16", "10.1.0.0/16"),
        ("10.1.0.0/255.255.0.0", "10.1.0.0/16"),
        ("2001:DB8::", "2001:db8::/128"),
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:10.0.0.0/104", "10.0.0.0/8"),
        ("::/0", "::/0"),
    ],
)
def test_networks(text: str, network: str) -> None:
    assert parse_network(text) == ip_network(network)


@pytest.mark.parametrize(
    "text", ["", "10.1", "010.1.2.3", "10.1.2.3/", "10.1.2.3-10.1.2.9", "fe80::1%eth0/64", "1", "[::1]"]
)
def test_no_networks(text: str) -> None:
    with pytest.raises(SourceError):
        parse_network(text)


@pytest.mark.parametrize(("name", "canonical"), [("Legal", "Legal"), (" LEGAL ", "Legal"), ("Lega", None), ("", None)])
def test_the_spelling_of_a_category(name: str, canonical: str | None) -> None:
    assert TABLE.canonical(name) == canonical


@pytest.mark.parametrize(
    ("begins", "ends", "at", "in_time"),
    [
        (None, None, 0.0, True),
        (10.0, None, 9.999, False),
        (10.0, None, 10.0, True),
        (None, 10.0, 9.999, True),
        (None, 10.0, 10.0, False),
        (5.0, 10.0, 4.0, False),
        (5.0, 10.0, 5.0, True),
        (5.0, 10.0, 11.0, False),
    ],
)
def test_time_is_half_open(begins: float | None, ends: float | None, at: float, in_time: bool) -> None:
    rule = Rule(
        index=0, name="a", enabled=True, action=Action.BYPASS, source=(), programs=(), domains=(), categories=(),
        addresses=(), not_before=begins, expires_at=ends, preconfigured=False,
    )  # fmt: skip
    assert rule.in_time(at) is in_time
    assert rule.any_destination


def test_sources_in_words() -> None:
    assert [str(GroupSource("sales", (), frozenset())), str(UserSource("ann"))] == ["group:sales", "user:ann"]
