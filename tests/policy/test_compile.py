"""The engine decides as its slow twin does, and as the semantics promise."""

from dataclasses import replace
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy import (
    UNSEEN,
    Action,
    CategoryTable,
    Decision,
    Fact,
    Flow,
    Policy,
    ReservedSettings,
    RulesModel,
    compile_policy,
    parse_host,
    rule_set,
)
from steering.policy.compile import decision_of
from steering.policy.decision import STRENGTH
from steering.policy.errors import HostError
from tests.policy import twin
from tests.policy.work import calls
from tests.policy.worlds import compiled_from, flows, full_flows, instants, rule_lists, rules

NOW = 1_775_000_000.0


def policy_of(*documents: dict[str, object], settings: ReservedSettings | None = None) -> Policy:
    named = [{"name": f"r{i}", **document} for i, document in enumerate(documents)]
    return compile_policy(rule_set(RulesModel.model_validate({"rules": named})), settings)


def to(host: str, **facts: object) -> Flow:
    return Flow(host=parse_host(host), **facts)  # type: ignore[arg-type]


# research: the grammar's test vectors
VECTORS = [
    ("zoom.us", True),
    ("US02WEB.ZOOM.US.", True),
    ("notzoom.us", False),
    ("zoom.us.evil.com", False),
    ("www.google.com", True),
    ("maps.www.google.com", False),
    ("google.com", False),
    ("adobe.io", False),
    ("a.b.adobe.io", True),
    ("api-1a2b.duosecurity.com", True),
    ("api-a.b.duosecurity.com", False),
    ("x.api-1.duosecurity.com", False),
    ("1.2.3.4", False),
    ("bücher.example", True),
    ("xn--bcher-kva.example", True),
    ("faß.example", True),  # UTS 46 non-transitional: not fass.example
    ("fass.example", False),
]
GRAMMAR = ["zoom.us", "=www.google.com", "*.adobe.io", "api-*.duosecurity.com", "BÜCHER.example.", "faß.example"]


@pytest.mark.parametrize(("host", "bypassed"), VECTORS)
def test_vectors(host: str, bypassed: bool) -> None:
    decision = policy_of({"domains": GRAMMAR}).decide(to(host), NOW)
    assert (decision.action is Action.BYPASS) == bypassed


def test_an_empty_host_is_none() -> None:
    with pytest.raises(HostError):
        to("")


def summary(decision: Decision) -> tuple[Action, str | None, frozenset[Fact]]:
    return decision.action, decision.rule, decision.pending


SETTINGS = ReservedSettings(internal_zones=("a.example.com",), own_names=("example.com", "a.example.com"))


@given(rule_lists, flows, instants, st.sampled_from([None, SETTINGS]))
def test_decides_as_the_twin(
    documents: list[dict[str, object]], flow: Flow, at: float, settings: ReservedSettings | None
) -> None:
    parsed = compiled_from(documents)
    decided = compile_policy(parsed, settings).decide(flow, at)
    assert summary(decided) == twin.decide(parsed, flow, at, settings)


@given(rule_lists, flows, instants, st.sampled_from([None, SETTINGS]))
def test_a_decision_follows_from_its_matches(
    documents: list[dict[str, object]], flow: Flow, at: float, settings: ReservedSettings | None
) -> None:
    """Also where it was known beforehand, and never went through ``decision_of``."""
    decided = compile_policy(compiled_from(documents), settings).decide(flow, at)
    if decided.reserved is None:
        assert decided == decision_of(decided.matches)


# rules -> what the decision on www.one.example says; each stops short of, or goes beyond, what is known beforehand
BEFOREHAND: dict[str, tuple[list[dict[str, object]], tuple[Action, str | None, str]]] = {
    "the name": ([{"domains": ["www.one.example"]}], (Action.BYPASS, "r0", "rule 'r0': www.one.example")),
    "above it": ([{"domains": ["one.example"]}], (Action.BYPASS, "r0", "rule 'r0': one.example")),
    "below it": ([{"domains": ["a.www.one.example"]}], (Action.INSPECT, None, "no rule matches: inspected by default")),
    "blocked": ([{"domains": ["example"], "action": "block"}], (Action.BLOCK, "r0", "rule 'r0': example")),
    "a braced name": (
        [{"name": "{0} %s", "domains": ["one.example"]}],
        (Action.BYPASS, "{0} %s", "rule '{0} %s': one.example"),
    ),
    "two rules of one name": (
        [{"domains": ["one.example"]}, {"domains": ["one.example"], "action": "inspect"}],
        (Action.INSPECT, "r1", "rule 'r1': one.example"),
    ),
    "two names above": (
        [{"domains": ["one.example"], "action": "block"}, {"domains": ["example"], "action": "inspect"}],
        (Action.BLOCK, "r0", "rule 'r0': one.example"),
    ),
    "a rule for anywhere": (
        [{"domains": ["one.example"]}, {"action": "inspect"}],
        (Action.INSPECT, "r1", "rule 'r1': any destination"),
    ),
    "of its time": (
        [{"domains": ["one.example"], "expires_at": "2020-01-01T00:00:00Z"}],
        (Action.INSPECT, None, "no rule matches: inspected by default"),
    ),
    "of a source": (
        [{"domains": ["one.example"], "source": ["192.0.2.1"]}],
        (Action.INSPECT, None, "inspected by default; not known here: source"),
    ),
    "exactly": ([{"domains": ["=www.one.example"]}], (Action.BYPASS, "r0", "rule 'r0': www.one.example")),
    "subdomains": ([{"domains": ["*.one.example"]}], (Action.BYPASS, "r0", "rule 'r0': *.one.example")),
}


@pytest.mark.parametrize("case", BEFOREHAND)
def test_the_whole_decision(case: str) -> None:
    documents, expected = BEFOREHAND[case]
    decided = policy_of(*documents).decide(to("www.one.example"), NOW)
    assert (decided.action, decided.rule, decided.why) == expected
    assert decided == decision_of(decided.matches)


def test_a_category_is_named_with_the_name_that_was_found() -> None:
    categories = CategoryTable("1", {"Legal": frozenset({"one.example"})})
    model = RulesModel.model_validate({"rules": [{"name": "r", "categories": ["Legal"]}]})
    decided = compile_policy(rule_set(model, categories)).decide(to("www.one.example"), NOW)
    assert decided.why == "rule 'r': category Legal (one.example)"
    assert decided == decision_of(decided.matches)


def hidden(flow: Flow, facts: frozenset[Fact]) -> Flow:
    return replace(
        flow,
        source=UNSEEN if Fact.SOURCE in facts else flow.source,
        user=UNSEEN if Fact.USER in facts else flow.user,
        program=UNSEEN if Fact.PROGRAM in facts else flow.program,
    )


@given(rule_lists, full_flows, instants, st.frozensets(st.sampled_from(list(Fact))))
def test_a_settled_partial_view_agrees_with_the_full_one(
    documents: list[dict[str, object]], flow: Flow, at: float, facts: frozenset[Fact]
) -> None:
    policy = compile_policy(compiled_from(documents))
    partial, full = policy.decide(hidden(flow, facts), at), policy.decide(flow, at)
    assert partial.pending <= facts | full.pending  # a program's path may be unknown to the full view too
    if not partial.pending:
        assert partial.action is full.action
    if partial.bypasses:
        assert full.bypasses
    assert STRENGTH[partial.action] <= STRENGTH[full.action] or partial.rule is None


@given(rule_lists, flows, instants, st.randoms(use_true_random=False))
def test_order_never_changes_a_decision(
    documents: list[dict[str, object]], flow: Flow, at: float, random: object
) -> None:
    shuffled = list(documents)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    one, other = (compile_policy(compiled_from(d)).decide(flow, at) for d in (documents, shuffled))
    assert (one.action, one.pending) == (other.action, other.pending)
    assert {m.rule for m in one.matches} == {m.rule for m in other.matches}


@given(rule_lists, rules(), flows, instants)
def test_one_more_rule_moves_a_decision_towards_its_own_action(
    documents: list[dict[str, object]], extra: dict[str, object], flow: Flow, at: float
) -> None:
    before = compile_policy(compiled_from(documents)).decide(flow, at)
    after = compile_policy(compiled_from([*documents, extra])).decide(flow, at)
    if extra["action"] == "bypass":
        assert (after.action is before.action) or (before.rule is None and after.action is Action.BYPASS)
        assert not before.bypasses or after.bypasses  # never stricter
    elif after.bypasses:
        assert before.bypasses  # never looser


@given(rule_lists, full_flows, instants, st.floats(0, 12 * 3600))
def test_what_lasts_stays_a_bypass_for_as_long_as_a_pac_is_kept(
    documents: list[dict[str, object]], flow: Flow, at: float, kept_s: float
) -> None:
    policy = compile_policy(compiled_from(documents))
    lasting = policy.lasting(at).decide(flow, at)
    if lasting.bypasses:
        assert policy.decide(flow, at).bypasses
        assert policy.decide(flow, at + kept_s).bypasses


@pytest.mark.parametrize(
    ("offset_s", "action"), [(-1, Action.INSPECT), (0, Action.BYPASS), (3599, Action.BYPASS), (3600, Action.INSPECT)]
)
def test_time_is_half_open(offset_s: float, action: Action) -> None:
    policy = policy_of(
        {"domains": ["zoom.us"], "not_before": "2026-03-31T23:33:20Z", "expires_at": "2026-04-01T00:33:20Z"}
    )
    assert policy.decide(to("zoom.us"), NOW + offset_s).action is action


def test_next_change() -> None:
    policy = policy_of(
        {"domains": ["zoom.us"], "not_before": "2026-03-31T23:33:20Z", "expires_at": "2026-04-01T00:33:20Z"},
        {"domains": ["off.example"], "enabled": False, "expires_at": "2026-04-01T00:00:00Z"},
    )
    assert [policy.next_change(NOW + s) for s in (-1, 0, 3599, 3600)] == [NOW, NOW + 3600, NOW + 3600, None]


STRICT: list[dict[str, object]] = [
    {"domains": ["zoom.us"]},
    {"action": "inspect", "programs": ["curl"]},
    {"action": "block", "source": ["user:eve"]},
]


def test_a_stricter_rule_that_may_match_withdraws_the_bypass() -> None:
    decision = policy_of(*STRICT).decide(to("zoom.us"), NOW)
    assert (decision.action, decision.bypasses, decision.pending) == (
        Action.BYPASS,
        False,
        frozenset({Fact.USER, Fact.PROGRAM}),
    )
    assert decision.why == "rule 'r0': zoom.us; a stricter rule may still match, not known here: user, program"


def test_the_default_names_what_could_change_it() -> None:
    decision = policy_of(
        {"domains": ["zoom.us"], "programs": ["zoom"]}, {"domains": ["zoom.us"], "source": ["10.1.0.0/16"]}
    ).decide(to("zoom.us"), NOW)
    assert (decision.action, decision.rule) == (Action.INSPECT, None)
    assert decision.why == "inspected by default; not known here: source, program"


def test_an_inspect_rule_that_may_match_is_no_news_to_the_default() -> None:
    decision = policy_of({"action": "inspect", "programs": ["zoom"]}).decide(to("zoom.us"), NOW)
    assert (decision.pending, decision.why) == (frozenset(), "no rule matches: inspected by default")


def test_a_mapped_address_is_the_address_that_it_carries() -> None:
    policy = policy_of({"action": "block", "addresses": ["203.0.113.5"]})
    assert policy.decide(to("[::ffff:203.0.113.5]"), NOW).action is Action.BLOCK
    policy = policy_of({"action": "block", "addresses": ["::ffff:203.0.113.0/120"]})
    assert policy.decide(to("203.0.113.5"), NOW).action is Action.BLOCK
    policy = policy_of({"domains": ["zoom.us"], "source": ["::ffff:10.1.0.0/112"]})
    assert policy.decide(to("zoom.us", source=ip_address("10.1.2.3")), NOW).bypasses


def test_the_names_below_an_own_name_stay_what_they_were() -> None:
    settings = ReservedSettings(internal_zones=("corp.example",), own_names=("corp.example", "localhost"))
    policy = policy_of(settings=settings)
    keys = {host: policy.decide(to(host), NOW).reserved for host in ("corp.example", "x.corp.example", "x.localhost")}
    assert {host: entry.key if entry else None for host, entry in keys.items()} == {
        "corp.example": "own-name",
        "x.corp.example": "own-name",
        "x.localhost": "own-name",
    }


def test_revision_changes_with_what_decides() -> None:
    base = policy_of({"domains": ["zoom.us"]})
    assert base.revision == policy_of({"domains": ["zoom.us"]}).revision
    other = policy_of({"domains": ["zoom.us"]}, settings=ReservedSettings(own_names=("pac.example",)))
    assert len({base.revision, other.revision, policy_of({"domains": ["zoom.com"]}).revision}) == 3


def test_a_rule_that_matches_in_two_ways_is_named_once() -> None:
    decision = policy_of({"domains": ["example.com", "*.example.com", "=a.example.com"]}).decide(
        to("a.example.com"), NOW
    )
    assert [(m.rule, m.on) for m in decision.matches] == [("r0", "a.example.com")]


def test_an_empty_group_matches_nothing_whoever_claims_to_belong_to_it() -> None:
    rules = [{"name": "a", "domains": ["zoom.us"], "source": [f"group:{g}"]} for g in ("none",)]
    policy = compile_policy(rule_set(RulesModel.model_validate({"groups": {"none": {}}, "rules": rules})))
    assert policy.decide(to("zoom.us"), NOW).matches == ()
    assert policy.decide(to("zoom.us", groups=frozenset({"none"})), NOW).matches == ()


def test_a_claimed_group_is_seen_without_address_or_user() -> None:
    groups = {"sales": {"networks": ["10.1.0.0/16"]}, "other": {"users": ["ann"]}}
    rules = [{"name": "a", "domains": ["zoom.us"], "source": ["group:sales"]}]
    policy = compile_policy(rule_set(RulesModel.model_validate({"groups": groups, "rules": rules})))
    decided = {claimed: policy.decide(to("zoom.us", groups=frozenset({claimed})), NOW) for claimed in groups}
    assert {claimed: decision.bypasses for claimed, decision in decided.items()} == {"sales": True, "other": False}
    assert decided["other"].pending == {Fact.SOURCE}


@given(rule_lists, flows, instants)
def test_what_is_disabled_or_out_of_time_might_as_well_not_be_there(
    documents: list[dict[str, object]], flow: Flow, at: float
) -> None:
    parsed = compiled_from(documents)
    kept = [
        document for document, rule in zip(documents, parsed.rules, strict=True) if rule.enabled and rule.in_time(at)
    ]
    assert compile_policy(parsed).decide(flow, at) == compile_policy(compiled_from(kept)).decide(flow, at)


@given(rule_lists, flows, instants)
def test_nothing_changes_before_the_next_change(documents: list[dict[str, object]], flow: Flow, at: float) -> None:
    policy = compile_policy(compiled_from(documents))
    change = policy.next_change(at)
    last = at + 1e9 if change is None else change - 0.001
    assert policy.decide(flow, last) == policy.decide(flow, at)
    assert change is None or change > at


def large(count: int, *more: dict[str, object]) -> Policy:
    return policy_of({"domains": [f"h{i}.d{i % 97}.example{i % 13}.com" for i in range(count)]}, *more)


@pytest.mark.parametrize(
    ("host", "labels"),
    [("h1.d1.example1.com", 4), ("a.b.c.h1.d1.example1.com", 7), ("other.example", 2), ("a." * 100 + "example", 101)],
)
def test_a_decision_looks_up_each_label_once_however_many_domains_there_are(host: str, labels: int) -> None:
    flow = to(host)
    work = []
    for count in (2, 200, 20_000):
        policy = large(count)
        made = calls(lambda policy=policy: policy.decide(flow, NOW))  # type: ignore[misc]
        assert made["dict.get"] == labels
        work.append(made)
    assert work[0] == work[1] == work[2]  # and everything else that a decision does is the same too


def test_rules_that_do_not_hold_the_host_cost_nothing() -> None:
    flow = to("h1.d1.example1.com")
    others: list[dict[str, object]] = [{"domains": [f"o{i}.example"], "programs": ["zoom"]} for i in range(500)]
    alone, among = large(2), large(2, *others)
    assert calls(lambda: alone.decide(flow, NOW)) == calls(lambda: among.decide(flow, NOW))


def test_what_is_known_beforehand_costs_a_look_up_a_label_and_little_else() -> None:
    policy, flow = large(2), to("a.h1.d1.example1.com")
    made = calls(lambda: policy.decide(flow, NOW))
    ours = {"Policy.decide": 1, "_by": 1, "dict.get": 5, "str.partition": 5, "tuple.__new__": 2}
    assert {name: made[name] for name in ours} == ours
    assert sum(made.values()) <= sum(ours.values()) + 2  # the lambda, and what ends the counting


def test_a_name_of_which_nothing_is_listed_up_to_the_top_is_decided_like_any_other() -> None:
    policy = policy_of(
        {"domains": ["a.example", "=b.example", "*.c.example", "x-*.d.example"]},
        {"domains": ["a.example"], "source": ["10.0.0.1"], "action": "block"},
        {"source": ["10.0.0.2"], "action": "inspect"},
    )
    listed = [n for n in ("a.example", "b.example", "c.example", "d.example", "e.example", "local") if policy.lists(n)]
    assert listed == ["a.example", "b.example", "c.example", "d.example", "local"]
    assert not policy.lists("www.a.example")  # what is above it is
    for source in map(ip_address, ("10.0.0.1", "10.0.0.2", "10.0.0.3")):
        decisions = {policy.decide(to(name, source=source), NOW) for name in ("e.example", "x.y.z", "local.example")}
        assert len(decisions) == 1


def test_time_conditions_and_sources_are_known_beforehand() -> None:
    begin, end = "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"
    policy = policy_of(
        {"domains": ["a.example"], "not_before": begin, "expires_at": end, "source": ["10.0.0.0/8", "user:x"]},
        {"domains": ["b.example"], "expires_at": end, "source": ["192.0.2.1", "10.0.0.0/8"]},
    )
    first, last = policy.changes
    assert last - first == 86_400
    found = [policy.next_change(at) for at in (first - 1, first, last - 1, last)]
    assert found == [first, last, last, None]
    assert list(map(str, policy.source_networks)) == ["10.0.0.0/8", "192.0.2.1/32"]
