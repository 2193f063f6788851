"""The grammar of ``domains``: which names an entry stands for, and what is refused in which words."""

import re
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy.domains import Domain, Reach, glob_pattern, parse_domain, parse_unusual
from steering.policy.errors import DomainError
from steering.policy.hosts import MAX_NAME
from tests.policy.twin import name_fits
from tests.policy.work import calls

PARSED = [
    ("zoom.us", Domain(Reach.TREE, "zoom.us")),
    (" ZOOM.us. ", Domain(Reach.TREE, "zoom.us")),
    ("*.adobe.io", Domain(Reach.BELOW, "adobe.io")),
    ("*.ADOBE.io.", Domain(Reach.BELOW, "adobe.io")),
    ("=www.google.com", Domain(Reach.EXACT, "www.google.com")),
    ("= www.google.com.", Domain(Reach.EXACT, "www.google.com")),
    ("api-*.duosecurity.com", Domain(Reach.GLOB, "duosecurity.com", ("api-*",))),
    ("API-*.Duosecurity.com.", Domain(Reach.GLOB, "duosecurity.com", ("api-*",))),
    ("*.api-*.duosecurity.com", Domain(Reach.GLOB, "duosecurity.com", ("api-*",), below=True)),
    ("a.*.b.example.co.uk", Domain(Reach.GLOB, "b.example.co.uk", ("a", "*"))),
    ("*-x.*.example.com", Domain(Reach.GLOB, "example.com", ("*-x", "*"))),
    ("bücher.example", Domain(Reach.TREE, "xn--bcher-kva.example")),
    ("*.bücher.example", Domain(Reach.BELOW, "xn--bcher-kva.example")),
    ("=faß.example", Domain(Reach.EXACT, "xn--fa-hia.example")),
    ("_sip._tcp.example.com", Domain(Reach.TREE, "_sip._tcp.example.com")),
    ("com", Domain(Reach.TREE, "com")),  # fit for inspect and block; tests/policy/test_rules.py refuses the bypass
]


@pytest.mark.parametrize(("text", "domain"), PARSED)
def test_parsed(text: str, domain: Domain) -> None:
    assert parse_domain(text) == domain


@pytest.mark.parametrize(("_", "domain"), PARSED)
def test_an_entry_is_printed_as_it_is_parsed(_: str, domain: Domain) -> None:
    assert parse_domain(str(domain)) == domain


AMBIGUOUS = "is ambiguous (some products include the name itself, some do not): write "
REFUSED = [
    (".example.com", f"'.example.com' {AMBIGUOUS}'example.com' for the name and its subdomains or '*.example.com' "
     "for subdomains only"),
    ("https://example.com", "'https://example.com': leave out the scheme: a rule covers every scheme and port"),
    ("example.com/a", "'example.com/a': leave out the path: a rule sees host names only"),
    ("ann@example.com", "'ann@example.com': leave out the user name"),
    ("example.com:443", "'example.com:443': leave out the port: a rule covers every port; "
     "IPv6 addresses belong in 'addresses'"),
    ("2001:db8::1", "'2001:db8::1': leave out the port: a rule covers every port; "
     "IPv6 addresses belong in 'addresses'"),
    ("a..example.com", "'a..example.com' has an empty label (two dots in a row, or a dot at the start)"),
    ("*..example.com", "'.example.com' has an empty label (two dots in a row, or a dot at the start)"),
    ("=", "'' is empty"),
    ("*.", "'' is empty"),
    (" ", "'' is empty"),
    ("=*.example.com", "'=*.example.com': '=' means exactly this name, so it cannot hold '*'"),
    ("*", "'*': '*' may not stand in the last label, it would match names of unknown owners"),
    ("*.*", "'*.*': '*' may not stand in the last label, it would match names of unknown owners"),
    ("*.britishairways.*", "'*.britishairways.*': '*' may not stand in the last label, "
     "it would match names of unknown owners"),
    ("*.*.com", "'*.*.com': '*' is allowed only left of a registrable domain; 'com' is a public suffix, "
     "so this would match names of unknown owners"),
    ("a*.co.uk", "'a*.co.uk': '*' is allowed only left of a registrable domain; 'co.uk' is a public suffix, "
     "so this would match names of unknown owners"),
    ("exam*.com", "'exam*.com': '*' is allowed only left of a registrable domain; 'com' is a public suffix, "
     "so this would match names of unknown owners"),
    ("ü*.example.com", "'ü*.example.com': write names with '*' in their xn-- form"),
    ("a b*.example.com", "'a b*.example.com': the label 'a b*' holds a character that no host name has, "
     "or is too long"),
    ("203.0.113.5", "'203.0.113.5' is or looks like an address: put addresses into 'addresses'"),
    ("=127.1", "'=127.1' is or looks like an address: put addresses into 'addresses'"),
    ("example.0x7f", "'example.0x7f' is or looks like an address: put addresses into 'addresses'"),
    ("-a.example", "'-a.example': a label cannot begin or end with '-'"),
    ("a-.example", "'a-.example': a label cannot begin or end with '-'"),
    ("example.com?q", "'example.com?q' holds '?', which no host name has"),
    ("example.com#", "'example.com#' holds '#', which no host name has"),
    ("example.com\\a", "'example.com\\\\a' holds '\\\\', which no host name has"),
    ("^(.+\\.)?zoom\\.us$", "'^(.+\\\\.)?zoom\\\\.us$' holds '$', '(', ')', '+', '?', '\\\\', '^', "
     "which no host name has"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(DomainError) as caught:
        parse_domain(text)
    assert str(caught.value) == reason


@pytest.mark.parametrize("text", ["＊.example.com", "．example.com", "＝example.com", "bücher／.example"])
def test_signs_in_full_width_are_no_grammar(text: str) -> None:
    with pytest.raises(DomainError):
        parse_domain(text)


@pytest.mark.parametrize(("length", "fits"), [(62, True), (63, True), (64, False)])
def test_the_limit_of_a_label(length: int, fits: bool) -> None:
    label = "a" * length
    for entry in (
        f"{label}.example.com",
        f"={label}.example.com",
        f"*.{label}.example.com",
        f"*{label[1:]}.example.com",
    ):
        assert accepted(entry) is fits


@pytest.mark.parametrize(("length", "fits"), [(MAX_NAME - 1, True), (MAX_NAME, True), (MAX_NAME + 1, False)])
def test_the_limit_of_a_name(length: int, fits: bool) -> None:
    for entry, first in (("", "a"), ("=", "a"), ("*.", "a"), ("", "*")):
        name = ".".join([first + "a" * (length - 205), *["b" * 49] * 4, "com"])
        assert len(name) == length
        assert accepted(entry + name) is fits


def accepted(entry: str) -> bool:
    try:
        parse_domain(entry)
    except DomainError:
        return False
    return True


MATCHES = [
    ("example.com", ["example.com", "a.example.com", "b.a.example.com"],
     ["notexample.com", "example.com.evil.net", "com", "xexample.com"]),
    ("*.example.com", ["a.example.com", "b.a.example.com"], ["example.com", "notexample.com"]),
    ("=example.com", ["example.com"], ["a.example.com", "example.co", "com"]),
    ("api-*.example.com", ["api-1.example.com", "api-.example.com", "api--x_y.example.com"],
     ["api.example.com", "api-a.b.example.com", "x.api-1.example.com", "example.com", "xapi-1.example.com"]),
    ("*.api-*.example.com", ["x.api-1.example.com", "y.x.api-1.example.com"],
     ["api-1.example.com", "api-1.x.example.com"]),
    ("www.*.example.com", ["www.a.example.com", "www.-.example.com"],
     ["a.example.com", "www.example.com", "xwww.a.example.com", "www.a.b.example.com"]),
    ("*-eu.*.example.com", ["a-eu.x.example.com", "-eu.x.example.com"], ["a-eu.example.com", "z.a-eu.x.example.com"]),
    ("a*b*c.example.com", ["abc.example.com", "axxbxxc.example.com", "abbcc.example.com"],
     ["ac.example.com", "ab.c.example.com", "abcd.example.com", "acb.example.com"]),
]  # fmt: skip


@pytest.mark.parametrize(("entry", "yes", "no"), MATCHES, ids=[entry for entry, _, _ in MATCHES])
def test_matches(entry: str, yes: list[str], no: list[str]) -> None:
    domain = parse_domain(entry)
    assert [name for name in (*yes, *no) if domain.matches(name)] == yes


labels = st.text(alphabet="ab-*", min_size=1, max_size=5)
names = st.lists(st.text(alphabet="ab-", min_size=1, max_size=5), min_size=1, max_size=4).map(".".join)


@given(st.sampled_from(["", "=", "*."]), st.lists(labels, max_size=3), st.lists(names, max_size=20))
def test_matches_as_its_twin_reads_it(prefix: str, left: list[str], hosts: list[str]) -> None:
    text = prefix + ".".join([*left, "example.com"])
    try:
        domain = parse_domain(text)
    except DomainError:
        return
    for name in (f"{host}.example.com" for host in hosts):
        assert domain.matches(name) == name_fits(str(domain), name)


@given(st.text(alphabet="ab*", min_size=1, max_size=8).filter(lambda g: "*" in g), st.text(alphabet="ab.", max_size=12))
def test_a_pattern_without_going_back_finds_what_one_with_it_finds(glob: str, label: str) -> None:
    plain = re.compile(re.escape(glob).replace(r"\*", "[^.]*"))
    assert bool(glob_pattern(glob).fullmatch(label)) == bool(plain.fullmatch(label))


def test_a_hostile_label_is_judged_without_going_back() -> None:
    domain = parse_domain("*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b.example.com")
    assert not domain.matches("a" * 63 + ".example.com")  # a plain pattern would be at it for hours


@given(st.text(max_size=30))
def test_whatever_is_written_is_parsed_or_refused(text: str) -> None:
    try:
        domain = parse_domain(text)
    except DomainError as exc:
        assert str(exc)
        return
    assert parse_domain(str(domain)) == domain


def test_a_pattern_is_compiled_once() -> None:
    domain = parse_domain("only-here-*.example.com")
    domain.matches("only-here-1.example.com")
    assert calls(lambda: domain.matches("only-here-2.example.com"))["compile"] == 0


def parsed(parse: Callable[[str], Domain], text: str) -> Domain | str:
    try:
        return parse(text)
    except DomainError as exc:
        return str(exc)


LABEL = "a" * 63
NEARLY_PLAIN = [
    *("a.b", "a", "a.b.", " a.b", "a.b\n", "A.b", "a.B", "a..b", ".a.b", "=a.b", "*.a.b", "a.*.b.c", "a/b.c", ""),
    *("-a.b", "a-.b", "a.-b", "a.b-", "_a.b", "a_.b", "a.b_", "a.1", "a.0x1", "a.0xg", "a.b1", "1.b", "a.xn--p1ai"),
    *("bücher.example", "a.é", f"{LABEL}.b", f"{LABEL}a.b", f"a.{LABEL}", f"a.{LABEL}a"),
    *("a." * 126 + "b", "a." * 126 + "bc", "a." * 125 + "b"),
]


@pytest.mark.parametrize("text", NEARLY_PLAIN)
def test_the_short_way_leads_where_the_long_one_does(text: str) -> None:
    assert parsed(parse_domain, text) == parsed(parse_unusual, text)


@given(st.text(st.sampled_from("ab1-_.*=x0 é"), max_size=12))
def test_the_short_way_leads_where_the_long_one_does_for_any_text(text: str) -> None:
    assert parsed(parse_domain, text) == parsed(parse_unusual, text)
