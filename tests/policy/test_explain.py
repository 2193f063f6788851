"""The whole answer to "why": whatever is asked, for every point, and as scripts read it."""

import json
from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy import (
    EFFECTS,
    UNSEEN,
    VISIBLE,
    Effect,
    Fact,
    Flow,
    Host,
    Point,
    PolicyError,
    Program,
    ReservedSettings,
    RulesModel,
    Stage,
    System,
    compile_policy,
    rule_set,
)
from steering.policy.effects import effect
from steering.policy.explain import Given, explain, host_of, program_named
from tests.policy import twin
from tests.policy.worlds import HOSTS, compiled_from, instants, rule_lists

NOW = 1_775_000_000.0  # 2026-03-31
RULES: list[dict[str, object]] = [
    {"name": "zoom", "domains": ["zoom.us"]},
    {"name": "zoom at the office", "domains": ["zoom.us"], "source": ["10.1.0.0/16"]},
    {"name": "client", "domains": ["app.example"], "programs": ["linux:zoom", "zoom.exe"]},
    {"name": "trial", "domains": ["trial.example"], "expires_at": "2026-04-01T00:00:00Z"},
    {"name": "exams", "domains": ["exam.example"]},
    {"name": "no exams yet", "action": "block", "domains": ["exam.example"], "not_before": "2026-04-01T00:00:00Z"},
    {"name": "eve", "action": "block", "source": ["user:eve"], "domains": ["shop.example"]},
    {"name": "shop", "domains": ["*.shop.example"]},
    {"name": "box", "action": "block", "addresses": ["203.0.113.0/24"]},
    {"name": "sales", "source": ["group:sales"], "domains": ["crm.example"]},
]
GROUPS = {"sales": {"networks": ["10.2.0.0/16"], "users": ["ann"]}}
POLICY = compile_policy(
    rule_set(RulesModel.model_validate({"rules": RULES, "groups": GROUPS})),
    ReservedSettings(internal_zones=("corp.example",)),
)


def answer(target: str, **facts: str) -> dict[str, object]:
    given_facts = Given(source=facts.get("source"), user=facts.get("user"), program=facts.get("program"))
    found = explain(POLICY, target, given_facts, at=NOW).as_json()
    assert json.loads(json.dumps(found)) == found
    return found


def points(pac: str, dns: str | None, inspector: str, endpoint: str) -> dict[str, str | None]:
    return {"pac": pac, "dns": dns, "inspector": inspector, "endpoint": endpoint}


BYPASSED = points("DIRECT", "real", "tunnel", "direct")
INSPECTED = points("PROXY", "inspector", "open", "proxy")


def test_the_whole_answer() -> None:
    assert answer("https://US.zoom.us./j/1?x#y", source="10.1.2.3") == {
        "host": "us.zoom.us",
        "action": "bypass",
        "rule": "zoom",
        "why": "rule 'zoom': zoom.us",
        "pending": [],
        "reserved": None,
        "matches": [
            {"rule": "zoom", "action": "bypass", "matched": "yes", "on": "zoom.us"},
            {"rule": "zoom at the office", "action": "bypass", "matched": "yes", "on": "zoom.us"},
        ],
        "points": BYPASSED,
        "revision": POLICY.revision,
    }


def test_what_is_not_given_is_unknown() -> None:
    found = answer("zoom.us")
    assert found["matches"] == [
        {"rule": "zoom", "action": "bypass", "matched": "yes", "on": "zoom.us"},
        {"rule": "zoom at the office", "action": "bypass", "matched": "unknown", "on": "zoom.us"},
    ]
    assert (found["action"], found["pending"]) == ("bypass", [])  # what could match changes nothing any more


# target, facts: action, rule, pending, points
CASES = [
    ("other.example", {}, "inspect", None, [], INSPECTED),
    ("app.example", {}, "inspect", None, ["program"], INSPECTED),
    ("app.example", {"program": "zoom"}, "bypass", "client", [], points("PROXY", "inspector", "open", "direct")),
    ("app.example", {"program": "ZOOM.exe"}, "bypass", "client", [], points("PROXY", "inspector", "open", "direct")),
    ("app.example", {"program": "windows:zoom"}, "inspect", None, [], INSPECTED),
    ("app.example", {"program": "/usr/bin/zoom"}, "bypass", "client", [],
     points("PROXY", "inspector", "open", "direct")),
    ("app.example", {"program": "curl"}, "inspect", None, [], INSPECTED),
    # A PAC is kept for hours: neither what ends, nor what something stricter will override.
    ("trial.example", {}, "bypass", "trial", [], points("PROXY", "real", "tunnel", "direct")),
    ("exam.example", {}, "bypass", "exams", [], points("PROXY", "real", "tunnel", "direct")),
    ("a.shop.example", {}, "bypass", "shop", ["user"], INSPECTED),
    ("a.shop.example", {"user": "ann"}, "bypass", "shop", [], points("PROXY", "inspector", "open", "direct")),
    ("a.shop.example", {"user": "EVE"}, "block", "eve", [], points("PROXY", "inspector", "open", "proxy")),
    ("203.0.113.5", {}, "block", "box", [], points("PROXY", None, "block", "proxy")),
    ("crm.example", {}, "inspect", None, ["source", "user"], INSPECTED),
    ("crm.example", {"source": "10.2.0.1"}, "bypass", "sales", [], BYPASSED),
    ("crm.example", {"source": "::ffff:10.2.0.1"}, "bypass", "sales", [], BYPASSED),
    ("crm.example", {"source": "10.3.0.1"}, "inspect", None, ["user"], INSPECTED),
    ("crm.example", {"source": "10.3.0.1", "user": "Ann"}, "bypass", "sales", [],
     points("PROXY", "inspector", "open", "direct")),
    ("127.1", {}, "inspect", None, [], points("PROXY", None, "open", "proxy")),
]  # fmt: skip


@pytest.mark.parametrize(("target", "facts", "action", "rule", "pending", "at_points"), CASES, ids=str)
def test_decisions(
    target: str, facts: dict[str, str], action: str, rule: str | None, pending: list[str], at_points: dict[str, object]
) -> None:
    found = answer(target, **facts)
    assert (found["action"], found["rule"], found["pending"], found["points"]) == (action, rule, pending, at_points)
    assert found["reserved"] is None


RESERVED = [
    ("localhost", "loopback", "bypass", points("DIRECT", "real", "refuse", "direct")),
    ("127.0.0.1", "loopback", "bypass", points("DIRECT", None, "refuse", "direct")),
    ("printer", "single-label", "bypass", points("DIRECT", "real", "refuse", "direct")),
    ("nas.local", "local-names", "bypass", points("DIRECT", "nxdomain", "refuse", "direct")),
    ("www.corp.example", "internal", "bypass", points("DIRECT", "real", "refuse", "direct")),
    ("10.0.0.1", "internal", "bypass", points("DIRECT", None, "refuse", "direct")),
    ("mask.icloud.com", "canary", "block", points("PROXY", "nxdomain", "refuse", "proxy")),
    ("resolver.arpa", "resolver", "inspect", points("PROXY", "nodata", "refuse", "proxy")),
    ("captive.apple.com", "probe", "inspect", points("PROXY", "real", "open", "proxy")),
]


@pytest.mark.parametrize(("target", "key", "action", "at_points"), RESERVED)
def test_reserved(target: str, key: str, action: str, at_points: dict[str, object]) -> None:
    found = answer(target)
    assert (found["reserved"], found["action"], found["points"]) == (key, action, at_points)
    assert (found["rule"], found["matches"], found["pending"]) == (None, [], [])


def test_the_pac_s_exact_string() -> None:
    def returned(host: Host, decided: Effect) -> str:
        return "DIRECT" if decided is Effect.PAC_DIRECT else f"PROXY inspector.example:3128 for {host}"

    for target, pac in (("zoom.us", "DIRECT"), ("A.example", "PROXY inspector.example:3128 for a.example")):
        assert explain(POLICY, target, Given(), at=NOW, pac_returns=returned).as_json()["points"]["pac"] == pac  # type: ignore[index]


STAGES = {
    Point.PAC: Stage.PAC_ADDRESS,
    Point.DNS: Stage.DNS_QUERY,
    Point.INSPECTOR: Stage.INSPECTOR_CONNECTION,
    Point.ENDPOINT: Stage.ENDPOINT_IDENTIFIED,
}
given_facts = st.builds(
    Given,
    source=st.sampled_from([None, "10.1.2.3", "192.0.2.7"]),
    user=st.sampled_from([None, "ann", "eve"]),
    program=st.sampled_from([None, "zoom.exe", "us.zoom.xos"]),
)


@given(rule_lists, st.sampled_from(HOSTS), given_facts, instants)
def test_no_point_bypasses_what_the_full_decision_does_not(
    documents: list[dict[str, object]], target: str, facts: Given, at: float
) -> None:
    found = explain(compile_policy(compiled_from(documents)), target, facts, at=at)
    if found.decision.reserved is not None:
        assert found.points == {
            point: None if point is Point.DNS and not found.host.is_name else found.decision.reserved.effect(point)
            for point in Point
        }
        return
    full = effect(Point.INSPECTOR, found.decision)
    bypass = {point: EFFECTS[found.decision.action.BYPASS][point] for point in Point}
    for point, done in found.points.items():
        if done is bypass[point]:
            assert full is Effect.TUNNEL
    if full is Effect.TUNNEL:
        assert found.points[Point.ENDPOINT] is Effect.ENDPOINT_DIRECT  # it sees whatever was given


@given(rule_lists, st.sampled_from(HOSTS), given_facts, instants)
def test_the_matches_are_all_that_match(
    documents: list[dict[str, object]], target: str, facts: Given, at: float
) -> None:
    rules = compiled_from(documents)
    found = explain(compile_policy(rules), target, facts, at=at)
    action, rule, pending = twin.decide(rules, _flow_of(found.host, facts), at)
    assert (found.decision.action, found.decision.rule, found.decision.pending) == (action, rule, pending)
    order = [document["name"] for document in documents]
    places = [order.index(match.rule) for match in found.decision.matches]
    assert places == sorted(set(places))  # each once, in the order of the file


def _flow_of(host: Host, facts: Given) -> Flow:
    return Flow(
        host=host,
        source=ip_address(facts.source) if facts.source else UNSEEN,
        user=facts.user if facts.user else UNSEEN,
        program=program_named(facts.program) if facts.program else UNSEEN,
    )


def test_what_the_points_are_said_to_see_is_what_they_see() -> None:
    assert {point: VISIBLE[stage] for point, stage in STAGES.items()} == {
        Point.PAC: {Fact.SOURCE},
        Point.DNS: {Fact.SOURCE},
        Point.INSPECTOR: {Fact.SOURCE},
        Point.ENDPOINT: set(Fact),
    }


TARGETS = [
    ("zoom.us", "zoom.us"),
    (" Zoom.US. ", "zoom.us"),
    ("zoom.us:443", "zoom.us"),
    ("zoom.us:", "zoom.us"),
    ("https://zoom.us", "zoom.us"),
    ("https://zoom.us:8443/a?b=c:d@e#f", "zoom.us"),
    ("wss://zoom.us?q=https://evil.example", "zoom.us"),
    ("https://ann:secret@zoom.us/", "zoom.us"),
    ("https://evil.example@zoom.us/", "zoom.us"),
    ("https://zoom.us\\@evil.example/", "zoom.us"),  # browsers take a backslash for a slash
    ("https://zoom.us#@evil.example", "zoom.us"),
    ("git+ssh://zoom.us/x", "zoom.us"),
    ("https://[2001:db8::1]:443/", "2001:db8::1"),
    ("[2001:db8::1]", "2001:db8::1"),
    ("2001:db8::1", "2001:db8::1"),
    ("bücher.example/ü", "xn--bcher-kva.example"),
    ("203.0.113.5:80", "203.0.113.5"),
]


@pytest.mark.parametrize(("target", "host"), TARGETS)
def test_the_host_of_a_target(target: str, host: str) -> None:
    assert host_of(target).text == host


@pytest.mark.parametrize(
    "target", ["", "https://", "/path", "://zoom.us", "a b://zoom.us", "zoom.us:https", "zoom.us:123456", "[::1",
               "[::1]x", "[::1]:x", "a..b", "zoom.us:٤٤٣", "https:///zoom.us", "[zoom.us]"],
)  # fmt: skip
def test_no_target(target: str) -> None:
    with pytest.raises(PolicyError):
        host_of(target)


PROGRAMS = [
    ("zoom", Program(system=None, names=("zoom",))),
    ("linux:zoom", Program(system=System.LINUX, names=("zoom",))),
    ("/usr/bin/zoom", Program(system=None, names=("zoom",), path="/usr/bin/zoom")),
    ("C:\\Zoom\\Zoom.exe", Program(system=None, names=("Zoom.exe",), path="C:\\Zoom\\Zoom.exe")),
    ("windows:C:\\Zoom.exe", Program(system=System.WINDOWS, names=("Zoom.exe",), path="C:\\Zoom.exe")),
    ("linux:/usr/bin/zoom", Program(system=System.LINUX, names=("zoom",), path="/usr/bin/zoom")),
]


@pytest.mark.parametrize(("text", "program"), PROGRAMS)
def test_programs(text: str, program: Program) -> None:
    assert program_named(text) == program


@pytest.mark.parametrize("text", ["", "/usr/bin/", "com.zoom.*", "zoom*", "android:zoom"])
def test_no_program(text: str) -> None:
    with pytest.raises(PolicyError):
        program_named(text)


@pytest.mark.parametrize("source", ["", "10.1.0.0/16", "somewhere"])
def test_no_source(source: str) -> None:
    with pytest.raises(PolicyError, match="is no IP address"):
        answer("zoom.us", source=source)


def test_a_group_that_a_device_claims_counts_at_the_endpoint_alone() -> None:
    found = explain(POLICY, "crm.example", Given(groups=frozenset({"sales"})), at=NOW).as_json()
    assert found["action"] == "bypass" and found["rule"] == "sales"
    assert found["points"] == points("PROXY", "inspector", "open", "direct")


@pytest.mark.parametrize(
    ("target", "allow", "effect"),
    [
        ("10.1.2.3", "10.1.2.0/24", Effect.OPEN),
        ("::ffff:10.1.2.3", "10.1.2.0/24", Effect.OPEN),
        ("10.1.3.3", "10.1.2.0/24", Effect.REFUSE),
        ("10.1.2.3", None, Effect.REFUSE),
        ("printer", "10.1.2.0/24", Effect.OPEN),
        ("printer", None, Effect.REFUSE),
        ("mask.icloud.com", "10.1.2.0/24", Effect.REFUSE),
    ],
)
def test_destinations_that_are_opened_up(target: str, allow: str | None, effect: Effect) -> None:
    networks = (ip_network(allow),) if allow else ()
    policy = compile_policy(rule_set(RulesModel(rules=[])))
    found = explain(policy, target, Given(), at=0.0, allow_destinations=networks)
    assert found.points[Point.INSPECTOR] is effect
