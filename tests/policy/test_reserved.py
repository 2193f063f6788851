"""The table of what comes before the rules, whole, with its effect at each point; and nothing else is exempt."""

import pickle
from ipaddress import ip_address, ip_network

import pytest

from steering.policy import (
    RESERVED,
    Effect,
    Flow,
    Point,
    Policy,
    ReservedSettings,
    RulesModel,
    compile_policy,
    parse_host,
    rule_set,
)
from steering.policy.reserved import INTERNAL, LOOPBACK, OWN, reserved_address, reserved_names

# key: action, then what PAC, DNS, inspector and endpoint do
TABLE = {
    "loopback": ("bypass", "DIRECT", "real", "refuse", "direct"),
    "link-local": ("bypass", "DIRECT", None, "refuse", "direct"),
    "single-label": ("bypass", "DIRECT", "real", "refuse", "direct"),
    "local-names": ("bypass", "DIRECT", "nxdomain", "refuse", "direct"),
    "internal": ("bypass", "DIRECT", "real", "refuse", "direct"),
    "own-name": ("bypass", "DIRECT", "real", "refuse", "direct"),
    "reverse": ("inspect", "PROXY", "nodata", "refuse", "proxy"),
    "resolver": ("inspect", "PROXY", "nodata", "refuse", "proxy"),
    "canary": ("block", "PROXY", "nxdomain", "refuse", "proxy"),
    "probe": ("inspect", "PROXY", "real", "open", "proxy"),
}


def test_the_table() -> None:
    def row(key: str) -> tuple[str | None, ...]:
        entry = next(entry for entry in RESERVED if entry.key == key)
        effects = [entry.effect(point) for point in Point]
        return entry.action.value, *(effect.value if effect else None for effect in effects)

    assert {entry.key: row(entry.key) for entry in RESERVED} == TABLE
    assert all(entry.why for entry in RESERVED)


def test_no_entry_lets_past_the_inspector_at_one_point_alone() -> None:
    for entry in RESERVED:
        bypasses = entry.action.value == "bypass"
        assert (entry.pac is Effect.PAC_DIRECT) is bypasses
        assert (entry.endpoint is Effect.ENDPOINT_DIRECT) is bypasses
        assert entry.inspector is not Effect.TUNNEL


SETTINGS = ReservedSettings(
    internal_zones=("corp.example", "lab.internal", "captive.apple.com"),
    internal_networks=(ip_network("198.51.100.0/24"), ip_network("2001:db8:1::/48")),
    own_names=("pac.corp.example", "steering.example", "localhost"),
)
NAMES = [
    ("localhost", "loopback"),
    ("a.localhost", "loopback"),
    ("notlocalhost", "single-label"),
    ("printer", "single-label"),
    ("com", "single-label"),
    ("local", "local-names"),
    ("printer.local", "local-names"),
    ("printer.local.example.com", None),
    ("printer.notlocal", None),
    ("x.internal", "local-names"),
    ("nas.home.arpa", "local-names"),
    ("home.arpa", "local-names"),
    ("arpa", "single-label"),
    ("x.arpa", None),
    ("x.onion", "local-names"),
    ("x.invalid", "local-names"),
    ("x.test", "local-names"),
    ("www.example", None),  # an ordinary name
    ("1.0.0.127.in-addr.arpa", "reverse"),
    ("1.ip6.arpa", "reverse"),
    ("_dns.resolver.arpa", "resolver"),
    ("resolver.arpa", "resolver"),
    ("use-application-dns.net", "canary"),
    ("x.use-application-dns.net", "canary"),
    ("mask.icloud.com", "canary"),
    ("mask-h2.icloud.com", "canary"),
    ("xmask.icloud.com", None),
    ("icloud.com", None),
    ("captive.apple.com", "probe"),
    ("x.captive.apple.com", None),  # exactly that name
    ("www.msftconnecttest.com", "probe"),
    ("msftconnecttest.com", None),
    ("127.1", None),  # neither a name nor an address
    ("127.0.0.1", "loopback"),
    ("127.255.255.255", "loopback"),
    ("128.0.0.0", None),
    ("126.255.255.255", None),
    ("[::1]", "loopback"),
    ("[::2]", None),
    ("[::ffff:127.0.0.1]", "loopback"),
    ("169.254.0.0", "link-local"),
    ("169.254.255.255", "link-local"),
    ("169.255.0.0", None),
    ("[fe80::1]", "link-local"),
    ("[febf:ffff::]", "link-local"),
    ("[fec0::]", None),
    ("10.0.0.0", "internal"),
    ("9.255.255.255", None),
    ("11.0.0.0", None),
    ("172.15.255.255", None),
    ("172.16.0.0", "internal"),
    ("172.31.255.255", "internal"),
    ("172.32.0.0", None),
    ("192.168.0.0", "internal"),
    ("192.169.0.0", None),
    ("[fc00::]", "internal"),
    ("[fdff:ffff::]", "internal"),
    ("[fe00::]", None),
    ("[::ffff:10.0.0.1]", "internal"),
    ("203.0.113.5", None),
    ("100.64.0.1", None),
    ("0.0.0.0", None),
]
CONFIGURED = [
    ("corp.example", "internal"),
    ("www.corp.example", "internal"),
    ("notcorp.example", None),
    ("pac.corp.example", "own-name"),
    ("x.pac.corp.example", "internal"),
    ("steering.example", "own-name"),
    ("x.steering.example", None),
    ("localhost", "own-name"),
    ("lab.internal", "internal"),  # the nearer name: forwarded to the zone's servers, where x.internal is not
    ("x.lab.internal", "internal"),
    ("x.internal", "local-names"),
    ("captive.apple.com", "internal"),
    ("198.51.100.0", "internal"),
    ("198.51.101.0", None),
    ("[2001:db8:1::5]", "internal"),
    ("[2001:db8:2::5]", None),
    ("10.0.0.1", None),  # the configuration's networks take the place of the default's
    ("127.0.0.1", "loopback"),
]


def policy_with(settings: ReservedSettings | None) -> Policy:
    rules = [{"name": "all", "action": "inspect"}]  # whatever comes to the rules, this one catches
    return compile_policy(rule_set(RulesModel.model_validate({"rules": rules})), settings)


def entry_for(policy: Policy, host: str) -> str | None:
    decision = policy.decide(Flow(host=parse_host(host)), 0.0)
    assert (decision.reserved is None) == (decision.rule == "all")
    return decision.reserved.key if decision.reserved else None


@pytest.mark.parametrize(("host", "key"), NAMES)
def test_by_default(host: str, key: str | None) -> None:
    assert entry_for(policy_with(None), host) == key


@pytest.mark.parametrize(("host", "key"), CONFIGURED)
def test_with_what_the_configuration_adds(host: str, key: str | None) -> None:
    assert entry_for(policy_with(SETTINGS), host) == key


def test_names_and_addresses_asked_alone() -> None:
    names = reserved_names(SETTINGS)
    assert names["localhost"] == (OWN, True)
    assert names["steering.example"] == (OWN, False)
    assert names["corp.example"] == (INTERNAL, True)
    assert reserved_address(ip_address("127.0.0.1"), SETTINGS) is LOOPBACK
    assert reserved_address(ip_address("203.0.113.5"), SETTINGS) is None


def test_an_entry_that_travels_stays_the_same_object() -> None:
    """The resolver tells entries apart by identity, in a worker that was sent its policy."""
    for reserved in RESERVED:
        assert pickle.loads(pickle.dumps(reserved)) is reserved
