"""From what a configuration says to what files are made from."""

import ssl
from dataclasses import replace
from ipaddress import ip_address

import pytest

from steering.deploy.errors import DeployError
from steering.deploy.facts import Ca, Given, clean_url, facts_of
from tests.deploy.ground import CONTROLS, GIVEN, HOSTILE, ca, facts

DEFAULT = Given(
    base_url="http://127.0.0.1:8080",
    control=ip_address("127.0.0.1"),
    dns=ip_address("127.0.0.1"),
    dns_port=8053,
    proxies=["127.0.0.1:3128"],
)


def test_a_whole_service() -> None:
    got = facts()
    assert (got.pac_url, got.zone, got.proxy, got.notes) == (
        "http://steering.corp.example/proxy.pac",
        "corp.example",
        "proxy.corp.example:3128",
        (),
    )
    assert [list(map(str, some)) for some in (got.v4, got.v6, got.resolvers4, got.resolvers6)] == [
        ["192.0.2.5"],
        ["2001:db8::5"],
        ["192.0.2.6", "192.0.2.7"],
        ["2001:db8::6"],
    ]
    assert got.no_proxy == "localhost,127.0.0.1,::1,.corp.example,.lab.example"
    assert got.proxy_url == "http://proxy.corp.example:3128"


def test_the_default_is_for_this_machine_and_says_so() -> None:
    got = facts_of(DEFAULT)
    assert (got.pac_url, got.zone, list(map(str, got.addresses)), got.resolvers) == (
        "http://127.0.0.1:8080/proxy.pac",
        "corp.example",
        ["127.0.0.1"],
        (),
    )
    assert got.notes == (
        "no other machine reaches a loopback address: set control.listen and control.public_url",
        "corp.example is a placeholder: say with --zone what the clients' search domain is",
        "the name wpad is asked for on port 80 alone: control.listen must be there for 'wpad-*'",
        "a resolver can be handed out on port 53 alone: set dns.listen, or give --resolver",
        "no other machine reaches an inspector on loopback: set inspector.listen and inspector.advertise",
    )


def test_a_certificate_as_text() -> None:
    assert Ca.of(ca().der) == ca()
    assert Ca.of(ca().der).pem == ssl.DER_cert_to_PEM_cert(ca().der)


ZONES = {
    "given": ({"zone": "Office.Example."}, "office.example"),
    "the first internal one": ({}, "corp.example"),
    "above the service's name": ({"internal_zones": ()}, "corp.example"),
    "none is known": ({"internal_zones": (), "base_url": "http://192.0.2.5"}, "corp.example"),
}


@pytest.mark.parametrize("case", ZONES)
def test_the_zone(case: str) -> None:
    change, expected = ZONES[case]
    assert facts_of(replace(GIVEN, **change)).zone == expected  # type: ignore[arg-type]  # a table of changes


ADDRESSES = {
    "given": ({}, ["192.0.2.5", "2001:db8::5"]),
    "in the URL": ({"addresses": (), "base_url": "http://198.51.100.1:80"}, ["198.51.100.1"]),
    "listened on": ({"addresses": ()}, ["192.0.2.5"]),
    "every one": ({"addresses": (), "control": None}, []),
}


@pytest.mark.parametrize("case", ADDRESSES)
def test_the_addresses(case: str) -> None:
    change, expected = ADDRESSES[case]
    assert list(map(str, facts_of(replace(GIVEN, **change)).addresses)) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(("port", "expected"), [(52, []), (53, ["192.0.2.6"]), (54, []), (0, [])])
def test_a_resolver_is_handed_out_on_port_53_alone(port: int, expected: list[str]) -> None:
    assert list(map(str, facts_of(replace(GIVEN, resolvers=(), dns_port=port)).resolvers)) == expected


@pytest.mark.parametrize(("port", "noted"), [(79, True), (80, False), (81, True)])
def test_wpad_needs_port_80(port: int, noted: bool) -> None:
    notes = facts_of(replace(GIVEN, base_url=f"http://steering.corp.example:{port}")).notes
    assert any("port 80" in note for note in notes) == noted


def test_a_token_goes_into_the_address() -> None:
    assert facts_of(replace(GIVEN, token="aB-_9")).pac_url == "http://steering.corp.example/p/aB-_9/proxy.pac"


@pytest.mark.parametrize("token", [*HOSTILE, *CONTROLS])
def test_a_hostile_token_stays_in_its_place(token: str) -> None:
    url = facts_of(replace(GIVEN, token=token)).pac_url
    assert url.isascii()
    assert url.startswith("http://steering.corp.example/p/")
    assert url.endswith("/proxy.pac")
    assert url.count("/") == 5
    assert not set(url) & set("'\"`$\\;,<> \n(){}#&")


URLS = {
    "http://A.example:8080/": "http://a.example:8080",
    "https://a.example/x y/'\"$,;`": "https://a.example/x%20y/%27%22%24%2C%3B%60",
    "http://[2001:DB8::1]:80": "http://[2001:db8::1]:80",
    "http://a.example/%41": "http://a.example/%41",
}


@pytest.mark.parametrize("url", URLS)
def test_an_address_is_cleaned(url: str) -> None:
    assert clean_url(url) == URLS[url]


@pytest.mark.parametrize(
    "url", ["", "ftp://a", "http://", "http://a b/", "http://u@a/", "http://a:x", "http://a;b", "//a"]
)
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(DeployError):
        clean_url(url)


WRONG = {
    "zone": {"zone": "a b"},
    "address": {"addresses": ("here",)},
    "resolver": {"resolvers": ("192.0.2.1:53",)},
    "proxy": {"proxies": ("a b:1",)},
    "organisation": {"organisation": "a\nb"},
}


@pytest.mark.parametrize("case", WRONG)
def test_what_no_file_could_hold(case: str) -> None:
    with pytest.raises(DeployError):
        facts_of(replace(GIVEN, **WRONG[case]))  # type: ignore[arg-type]


def test_identifiers_are_those_of_the_service() -> None:
    assert facts().uuid("ca") == facts().uuid("ca") != facts().uuid("proxy")
    assert facts().uuid("ca") != facts(replace(GIVEN, zone="lab.example")).uuid("ca")


def test_the_ca_as_windows_names_it() -> None:
    assert len(ca().thumbprint) == 40
    assert ca().oma_uri == f"./Vendor/MSFT/RootCATrustedCertificates/Root/{ca().thumbprint}/EncodedCertificate"


# Change of an installation -> what a unit does not see, the folder below /var/lib, what it may write besides.
PLACES = {
    "as packages do": ({}, (), "steering", ()),
    "with a log": ({"writes": ("/var/log/steering",)}, (), "steering", ("/var/log/steering",)),
    "state elsewhere": ({"state": "/srv/steering"}, (), "", ("/srv/steering",)),
    "a folder below": ({"state": "/var/lib/a/b"}, (), "a/b", ()),
    "a program at home": ({"program": "/root/x/steering"}, ("/root/x/steering",), "steering", ()),
    "much at home": (
        {"config": "/home/a/x.toml", "state": "/tmp/var"},
        ("/home/a/x.toml", "/tmp/var"),
        "",
        ("/tmp/var",),
    ),
}


@pytest.mark.parametrize("case", PLACES)
def test_what_a_unit_sees(case: str) -> None:
    change, hidden, directory, writable = PLACES[case]
    assert GIVEN.installed is not None
    got = replace(GIVEN.installed, **change)  # type: ignore[arg-type]  # a table of changes
    assert (got.hidden, got.state_directory, got.writable) == (hidden, directory, writable)
