"""Who answers, without sockets; the answers themselves are in test_server.py."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from steering.policy import Host
from steering_dns import parse_upstream, wire
from steering_dns.plan import Planner, host_of
from steering_dns.settings import Discovery, DnsSettings
from steering_dns.views import Views
from tests.dns.world import RULES, policy_of, settings_for

POLICY = policy_of(RULES)
SETTINGS = settings_for((parse_upstream("udp://127.0.0.1:1"),))


def plan(
    name: str,
    rtype: int = wire.A,
    *,
    client: str = "127.0.0.1",
    rclass: int = wire.IN,
    settings: DnsSettings = SETTINGS,
) -> tuple[str, str]:
    planner = Planner(settings, POLICY, {})
    asked = wire.to_wire(name)
    query = wire.Query(b"\0\0", 1, asked, rtype, rclass, b"", None)
    found = planner.plan(query, Views(SETTINGS, POLICY).of(client), 1_800_000_000.0)
    return found.tally.doing, found.tally.why


@pytest.mark.parametrize(
    ("name", "rtype", "expected"),
    [
        ("steered.example", wire.A, ("inspector", "default")),
        ("steered.example", wire.MX, ("real", "type")),
        ("bad.pinned.example", wire.A, ("block", "blocked")),
        ("pinned.example", wire.HTTPS, ("real", "pinned")),
        ("x.corp.example", wire.A, ("zone", "zone")),
        ("com", 43, ("real", "single-label")),
        ("printer", 43, ("nxdomain", "single-label")),
        ("", wire.NS, ("real", "type")),
        ("pinned.example", 252, ("refused", "type")),
        ("pinned.example", wire.OPT, ("formerr", "type")),
        ("3.0.0.10.in-addr.arpa", wire.PTR, ("zone", "reverse")),
        ("8.8.8.8.in-addr.arpa", wire.PTR, ("real", "reverse")),
        ("xn--mnchen-3ya.local", wire.A, ("nxdomain", "local-names")),
        ("0123456789abcdef.steering-loop-probe.example", wire.A, ("inspector", "default")),
    ],
)
def test_plans(name: str, rtype: int, expected: tuple[str, str]) -> None:
    assert plan(name, rtype) == expected


def test_classes_and_strangers() -> None:
    assert plan("version.bind", wire.TXT, rclass=wire.CHAOS) == ("own", "version")
    assert plan("version.bind", wire.TXT, rclass=wire.CHAOS, client="10.0.0.1") == ("refused", "class")
    assert plan("pinned.example", rclass=255) == ("refused", "class")
    assert plan("pinned.example", client="203.0.113.1") == ("refused", "client")


def test_a_name_of_our_own_without_addresses_is_asked_for() -> None:
    assert plan("steering.example") == ("own", "own-name")
    without = settings_for((parse_upstream("udp://127.0.0.1:1"),), own_names={"steering.example": ()})
    assert plan("steering.example", settings=without) == ("real", "own-name")


def test_hosts_of_wire_names() -> None:
    assert host_of(b"\1a\7example\0") == (Host("a.example"), "a.example")
    assert host_of(b"\2a.\7example\0")[0].is_name is False
    assert host_of(b"\2 a\5local\0")[1] == "local"
    assert host_of(b"\0")[1] == ""


def test_the_cache_key_tells_zones_do_and_filtering_apart() -> None:
    planner = Planner(SETTINGS, POLICY, {})
    tally = planner.tally("real", "x")
    keys = [
        prefix
        for zone in ("", "corp.example")
        for filtered in (False, True)
        for prefix in planner.route(zone, tally, None, filtered=filtered, bypass=False).prefixes
    ]
    assert len(set(keys)) == len(keys) == 16


@pytest.mark.parametrize(
    ("name", "rtype", "told", "expected"),
    [
        ("_dns.resolver.arpa", wire.SVCB, True, ("own", "resolver")),
        ("_dns.resolver.arpa", wire.SVCB, False, ("nodata", "resolver")),
        ("_dns.resolver.arpa", wire.A, True, ("nodata", "resolver")),
        ("_dns.resolver.arpa", wire.ANY, True, ("nodata", "resolver")),
        ("resolver.arpa", wire.SVCB, True, ("nodata", "resolver")),
        ("x._dns.resolver.arpa", wire.SVCB, True, ("nodata", "resolver")),
    ],
)
def test_designated_resolvers(name: str, rtype: int, told: bool, expected: tuple[str, str]) -> None:
    """Ours where there is one, and never those of an upstream."""
    found = Discovery(name="dns.example", addresses=(ip_address("192.0.2.1"),), tls_port=853, https_port=0)
    settings = replace(SETTINGS, discovery=found if told else None)
    assert plan(name, rtype, settings=settings) == expected
