"""Rules to whole plans: what a PAC holds, and what it says of every host."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.pac.chains import plan_chains
from steering.pac.plan import Mark, PacPlan, Pattern, plan
from steering.pac.view import ANONYMOUS, View, of_address, of_group
from steering.policy import Effect, Policy, ReservedSettings, effect, parse_host
from steering.policy.points import Point
from tests.pac.policies import NOW, ONE, plan_of, policy_of
from tests.policy.work import calls
from tests.policy.worlds import HOSTS, compiled_from, rule_lists

NOTHING, BYPASS, STRICTER, ALWAYS = Mark
RESERVED_TREES = dict.fromkeys(("home.arpa", "internal", "invalid", "local", "localhost", "onion", "test"), ALWAYS)


def v4(*networks: str) -> tuple[tuple[int, int], ...]:
    found = [ip_network(n) for n in networks]
    return tuple(sorted((int(n[0]), int(n[-1])) for n in found))


LOCAL_V4 = ("10.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16")
LOCAL_V6 = ("::1/128", *(f"::ffff:{n.partition('/')[0]}/{96 + int(n.partition('/')[2])}" for n in LOCAL_V4))
LOCAL_V6 += ("fc00::/7", "fe80::/10")
IN_SALES, IN_NONE = of_address(ip_address("10.1.2.3")), of_address(ip_address("10.9.9.9"))


def whole(policy: Policy, **differs: Any) -> PacPlan:
    """The plan that has nothing but what is reserved, and what ``differs``."""
    base: dict[str, Any] = {
        "revision": policy.revision,
        "exact": {},
        "patterns": (),
        "v4": v4(*LOCAL_V4),
        "v6": v4(*LOCAL_V6),
        "elsewhere": NOTHING,
        "numeric": NOTHING,
        "chains": ONE,
    }
    trees = RESERVED_TREES | differs.pop("trees", {})
    return PacPlan(**(base | differs | {"trees": trees}))


Rules = list[dict[str, Any]]
CASES: dict[str, tuple[Rules, View, dict[str, Any]]] = {
    "no rule": ([], ANONYMOUS, {}),
    "each form of a name": (
        [{"domains": ["tree.example", "*.below.example", "=exact.example"]}],
        ANONYMOUS,
        {
            "trees": {"tree.example": BYPASS, "below.example": BYPASS},
            "exact": {"below.example": NOTHING, "exact.example": BYPASS},
        },
    ),
    "a category": (
        [{"categories": ["legal"]}],
        ANONYMOUS,
        {"trees": {"law.example": BYPASS, "b.example": BYPASS}},
    ),
    "covered entries": (
        [{"domains": ["a.example", "b.a.example", "=c.a.example"]}],
        ANONYMOUS,
        {"trees": {"a.example": BYPASS}},
    ),
    "inspected below a bypass": (
        [{"domains": ["a.example"]}, {"action": "inspect", "domains": ["b.a.example", "=c.a.example"]}],
        ANONYMOUS,
        {"trees": {"a.example": BYPASS, "b.a.example": STRICTER}, "exact": {"c.a.example": STRICTER}},
    ),
    "bypassed below what is inspected": (
        [{"action": "inspect", "domains": ["a.example"]}, {"domains": ["b.a.example", "c.example"]}],
        ANONYMOUS,
        {"trees": {"c.example": BYPASS}},
    ),
    "blocked names take no space": ([{"action": "block", "domains": ["a.example", "=b.example"]}], ANONYMOUS, {}),
    "a pattern": (
        [{"domains": ["api-*.a.example", "*.x*y.b.example"]}],
        ANONYMOUS,
        {
            "patterns": (
                Pattern("a.example", ("api-*",), below=False, mark=BYPASS),
                Pattern("b.example", ("x*y",), below=True, mark=BYPASS),
            )
        },
    ),
    "a pattern of bare stars is not what stands at its name": (
        [{"domains": ["*.*.a.example", "**.b.example"]}],
        ANONYMOUS,
        {
            "patterns": (
                Pattern("a.example", ("*",), below=True, mark=BYPASS),
                Pattern("b.example", ("**",), below=False, mark=BYPASS),
            )
        },
    ),
    "blocked names under a pattern that would bypass them": (
        [{"domains": ["api-*.a.example"]}, {"action": "block", "domains": ["x.a.example", "other.example"]}],
        ANONYMOUS,
        {
            "trees": {"x.a.example": STRICTER},
            "patterns": (Pattern("a.example", ("api-*",), below=False, mark=BYPASS),),
        },
    ),
    "a pattern that inspects": (
        [{"domains": ["a.example"]}, {"action": "inspect", "domains": ["api-*.a.example"]}],
        ANONYMOUS,
        {"trees": {"a.example": BYPASS}, "patterns": (Pattern("a.example", ("api-*",), below=False, mark=STRICTER),)},
    ),
    "an address": (
        [{"addresses": ["203.0.113.0/24", "203.0.114.0/24", "2001:db8::7"]}],
        ANONYMOUS,
        {
            "v4": tuple(sorted((*v4(*LOCAL_V4), (int(IPv4Address("203.0.113.0")), int(IPv4Address("203.0.114.255")))))),
            "v6": tuple(
                sorted(
                    (
                        *v4(*LOCAL_V6),
                        (int(IPv6Address("::ffff:203.0.113.0")), int(IPv6Address("::ffff:203.0.114.255"))),
                        (int(IPv6Address("2001:db8::7")),) * 2,
                    )
                )
            ),
        },
    ),
    "disabled, expired, ending and coming bypasses": (
        [
            {"domains": ["a.example"], "enabled": False},
            {"domains": ["b.example"], "expires_at": "2020-01-01T00:00:00Z"},
            {"domains": ["c.example"], "expires_at": "2100-01-01T00:00:00Z"},
            {"domains": ["d.example"], "not_before": "2100-01-01T00:00:00Z"},
            {"domains": ["e.example"], "not_before": "2020-01-01T00:00:00Z"},
        ],
        ANONYMOUS,
        {"trees": {"e.example": BYPASS}},
    ),
    "a scheduled inspection": (
        [
            {"domains": ["a.example"]},
            {"action": "inspect", "domains": ["b.a.example"], "not_before": "2100-01-01T00:00:00Z"},
            {"action": "inspect", "domains": ["c.a.example"], "expires_at": "2020-01-01T00:00:00Z"},
        ],
        ANONYMOUS,
        {"trees": {"a.example": BYPASS, "b.a.example": STRICTER}},
    ),
    "a bypass by program": ([{"domains": ["a.example"], "programs": ["zoom"]}], ANONYMOUS, {}),
    "an inspection by program withdraws": (
        [{"domains": ["a.example"]}, {"action": "inspect", "domains": ["b.a.example"], "programs": ["zoom"]}],
        ANONYMOUS,
        {"trees": {"a.example": BYPASS, "b.a.example": STRICTER}},
    ),
    "a bypass by source, not known": ([{"domains": ["a.example"], "source": ["10.1.0.0/16"]}], ANONYMOUS, {}),
    "a bypass by source, from there": (
        [{"domains": ["a.example"], "source": ["10.1.0.0/16"]}],
        IN_SALES,
        {"trees": {"a.example": BYPASS}},
    ),
    "a bypass by source, from elsewhere": ([{"domains": ["a.example"], "source": ["10.1.0.0/16"]}], IN_NONE, {}),
    "a bypass by group, claimed": (
        [{"domains": ["a.example"], "source": ["group:sales"]}],
        of_group("sales"),
        {"trees": {"a.example": BYPASS}},
    ),
    "a bypass by group, another claimed": (
        [{"domains": ["a.example"], "source": ["group:sales"]}],
        of_group("none"),
        {},
    ),
    "an inspection by source, not known": (
        [{"domains": ["a.example"]}, {"action": "inspect", "source": ["10.1.0.0/16"]}],
        ANONYMOUS,
        {"elsewhere": STRICTER, "numeric": STRICTER},
    ),
    "everything of a source bypassed": (
        [{"source": ["10.1.0.0/16"]}, {"action": "inspect", "domains": ["a.example"]}],
        IN_SALES,
        {
            "trees": {"a.example": STRICTER}
            | dict.fromkeys(
                (
                    "in-addr.arpa", "ip6.arpa", "mask-h2.icloud.com", "mask.icloud.com", "resolver.arpa",
                    "use-application-dns.net",
                ),
                STRICTER,
            ),
            "exact": dict.fromkeys(
                (
                    "captive.apple.com", "connectivity-check.ubuntu.com", "connectivitycheck.android.com",
                    "connectivitycheck.gstatic.com", "detectportal.firefox.com", "dns.msftncsi.com",
                    "ipv6.msftconnecttest.com", "network-test.debian.org", "nmcheck.gnome.org",
                    "www.msftconnecttest.com", "www.msftncsi.com",
                ),
                STRICTER,
            ),
            "v4": ((0, (1 << 32) - 1),),
            "v6": ((0, (1 << 128) - 1),),
            "elsewhere": BYPASS,
            "numeric": BYPASS,
        },
    ),
    "reserved below a bypass": (
        [{"domains": ["icloud.com", "apple.com"]}],
        ANONYMOUS,
        {
            "trees": {
                "icloud.com": BYPASS, "apple.com": BYPASS, "mask.icloud.com": STRICTER, "mask-h2.icloud.com": STRICTER,
            },
            "exact": {"captive.apple.com": STRICTER},
        },
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_whole_plan(name: str) -> None:
    rules, view, differs = CASES[name]
    policy = policy_of(*rules)
    assert plan(policy, view, NOW, ONE) == whole(policy, **differs)


def test_internal_zones_and_own_names_go_direct() -> None:
    zones = ReservedSettings(internal_zones=("corp.example",), own_names=("proxy.example",), internal_networks=())
    policy = policy_of({"action": "inspect", "domains": ["corp.example", "proxy.example"]}, settings=zones)
    made = plan(policy, ANONYMOUS, NOW, ONE)
    assert made.trees == RESERVED_TREES | {"corp.example": ALWAYS}
    assert made.exact == {"proxy.example": ALWAYS}
    assert made.v4 == v4("127.0.0.0/8", "169.254.0.0/16")


VIEWS = (ANONYMOUS, IN_SALES, IN_NONE, of_group("sales"), of_address(ip_address("2001:db8::9")))
INSPECTED = "PROXY 192.0.2.1:3128"
RETURNS = [
    ("zoom.us", "DIRECT"),
    ("US.Zoom.US.", "DIRECT"),
    ("notzoom.us", INSPECTED),
    ("zoom.us.evil.example", INSPECTED),
    ("below.example", INSPECTED),
    ("a.below.example", "DIRECT"),
    ("=exact.example", INSPECTED),
    ("exact.example", "DIRECT"),
    ("a.exact.example", INSPECTED),
    ("api-1.duo.example", "DIRECT"),
    ("api-.duo.example", "DIRECT"),
    ("a.api-1.duo.example", INSPECTED),
    ("api-1.x.duo.example", INSPECTED),
    ("strict.zoom.us", INSPECTED),
    ("printer", "DIRECT"),
    ("constructor", "DIRECT"),
    ("x.local", "DIRECT"),
    ("10.1.2.3", "DIRECT"),
    ("203.0.113.9", "DIRECT"),
    ("203.0.113.10", INSPECTED),
    ("[2001:db8::9]", "DIRECT"),
    ("::ffff:203.0.113.9", "DIRECT"),
    ("2001:db8::a", INSPECTED),
    ("127.1", INSPECTED),
    ("0x7f.1", INSPECTED),
    ("010.1.2.3", INSPECTED),
    ("", INSPECTED),
    (".", INSPECTED),
    ("a..zoom.us", INSPECTED),
    ("a b.zoom.us", INSPECTED),
    ("fe80::1%eth0", INSPECTED),
    ("a." * 124 + "zoom.us", INSPECTED),
    ("a." * 123 + "zoom.us", "DIRECT"),  # 253 characters
    ("x" * 63 + ".zoom.us", "DIRECT"),
    ("x" * 64 + ".zoom.us", INSPECTED),
]
RETURNS_RULES: Rules = [
    {
        "domains": ["zoom.us", "*.below.example", "=exact.example", "api-*.duo.example"],
        "addresses": ["203.0.113.9", "2001:db8::9"],
    },
    {"action": "inspect", "domains": ["strict.zoom.us"]},
]


@pytest.mark.parametrize(("host", "answer"), RETURNS)
def test_returns(host: str, answer: str) -> None:
    assert plan_of(*RETURNS_RULES).returns(host) == answer


def test_a_host_that_is_none_gets_some_chain() -> None:
    several = plan_of(chains=plan_chains(["a.example:1", "b.example:1"]))
    assert all(several.returns(host).startswith("PROXY ") for host in ("[x]", "a b", "..", "x" * 2000, "Ⅷ.."))


@settings(max_examples=100, deadline=None)
@given(
    rule_lists,
    st.sampled_from([ANONYMOUS, IN_SALES, IN_NONE, of_group("sales"), of_address(ip_address("2001:db8::9"))]),
)
def test_a_plan_answers_as_the_engine(documents: list[dict[str, object]], view: View) -> None:
    policy = Policy(compiled_from(documents))
    made = plan(policy, view, NOW, ONE)
    lasting = policy.lasting(NOW)
    for text in HOSTS:
        host = parse_host(text)
        direct = effect(Point.PAC, lasting.decide(view.flow(host), NOW)) is Effect.PAC_DIRECT
        assert made.returns(text) == ("DIRECT" if direct else INSPECTED), text


def asked(count: int) -> int:
    """How often the engine is asked for a plan of so many names, of three rules and one above the other."""
    rules: list[dict[str, object]] = [
        {"domains": [f"a{i}.example" for i in range(count)], "source": ["10.0.0.0/8"]},
        {"domains": [f"a{i}.example" for i in range(0, count, 3)], "action": "inspect"},
        {"domains": [f"www.a{i}.example" for i in range(0, count, 2)]},
    ]
    policy = policy_of(*rules)
    return calls(lambda: plan(policy, ANONYMOUS, NOW, ONE))["Policy.decide"]


def test_the_engine_is_asked_of_names_of_each_kind_and_not_of_each_name() -> None:
    assert asked(600) == asked(60)
