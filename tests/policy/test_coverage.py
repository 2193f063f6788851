"""Which rule is enforceable where, and why not: whole rows, and no row that the engine does not bear out."""

from dataclasses import replace

import pytest
from hypothesis import given

from steering.policy import UNSEEN, VISIBLE, Action, Fact, Flow, Point, RulesModel, Stage, compile_policy, rule_set
from steering.policy.coverage import STAGES, Cover, blind_points, coverage, needs
from steering.policy.rules import Rule
from tests.policy.worlds import CATEGORIES, GROUPS, compiled_from, full_flows, instants, rule_lists

NOW = 1_775_000_000.0  # 2026-03-31
SOURCE, USER, PROGRAM = Fact.SOURCE, Fact.USER, Fact.PROGRAM


def one(document: dict[str, object]) -> Rule:
    model = RulesModel.model_validate({"groups": GROUPS, "rules": [{"name": "r"} | document]})
    return rule_set(model, CATEGORIES).rules[0]


def row(document: dict[str, object]) -> tuple[list[str], dict[str, str]]:
    model = RulesModel.model_validate({"groups": GROUPS, "rules": [{"name": "r"} | document]})
    (found,) = coverage(rule_set(model, CATEGORIES), NOW)
    shown = found.as_json()
    assert shown == {
        "rule": "r",
        "action": found.action.value,
        "points": {point.value: found.points[point].value for point in Point},
        "why": {point.value: why for point, why in found.why.items()},
    }
    return [found.points[point].value for point in Point], {point.value: why for point, why in found.why.items()}


D: dict[str, object] = {"domains": ["zoom.us"]}
KEPT = "browsers keep a PAC for hours, so a bypass with a time is left to the other points"


def sent(*facts: str) -> str:
    return f"the {' and '.join(facts)} is not visible there; it is sent to the inspector"


def withdrawn(*facts: str) -> str:
    return f"the {' and '.join(facts)} is not visible there; bypasses that it could withdraw go to the inspector"


# rule; PAC, DNS, inspector, endpoint; why
ROWS: list[tuple[dict[str, object], list[str], dict[str, str]]] = [
    (D, ["yes", "yes", "yes", "yes"], {}),
    ({"categories": ["Legal"]}, ["yes", "yes", "yes", "yes"], {}),
    (D | {"enabled": False}, ["off", "off", "off", "off"], {}),
    (D | {"source": ["10.1.0.0/16"]}, ["per source address", "yes", "yes", "yes"], {}),
    (D | {"source": ["group:none"]}, ["no", "no", "no", "no"],
     dict.fromkeys(["pac", "dns", "inspector", "endpoint"], "its groups are empty, so it matches nothing")),
    (D | {"source": ["user:ann"]}, ["no", "no", "if authenticated", "yes"], {"pac": sent("user"), "dns": sent("user")}),
    (D | {"source": ["user:ann"], "action": "block"}, ["no", "no", "if authenticated", "yes"],
     {"pac": withdrawn("user"), "dns": withdrawn("user")}),
    (D | {"source": ["group:people"]}, ["per group's link", "no", "if authenticated", "yes"], {"dns": sent("user")}),
    (D | {"source": ["10.1.0.0/16", "user:ann"]}, ["in part", "in part", "if authenticated", "yes"],
     {"pac": "the user is not visible there", "dns": "the user is not visible there"}),
    (D | {"source": ["group:sales"]}, ["in part", "in part", "if authenticated", "yes"],
     {"pac": "the user is not visible there", "dns": "the user is not visible there"}),
    (D | {"programs": ["zoom"]}, ["no", "no", "if attested", "yes"], {"pac": sent("program"), "dns": sent("program")}),
    (D | {"programs": ["zoom"], "action": "inspect"}, ["no", "no", "if attested", "yes"],
     {"pac": withdrawn("program"), "dns": withdrawn("program")}),
    (D | {"programs": ["zoom"], "source": ["user:ann"]}, ["no", "no", "if attested", "yes"],
     {"pac": sent("user", "program"), "dns": sent("user", "program")}),
    ({"addresses": ["203.0.113.5"]}, ["yes", "no", "yes", "yes"], {"dns": "nobody asks a resolver for an address"}),
    (D | {"addresses": ["203.0.113.5"]}, ["yes", "yes", "yes", "yes"], {}),
    (D | {"expires_at": "2027-01-01T00:00:00Z"}, ["no", "yes", "yes", "yes"], {"pac": KEPT}),
    (D | {"not_before": "2027-01-01T00:00:00Z"}, ["no", "yes", "yes", "yes"], {"pac": KEPT}),
    (D | {"not_before": "2026-01-01T00:00:00Z"}, ["yes", "yes", "yes", "yes"], {}),
    (D | {"action": "block", "expires_at": "2027-01-01T00:00:00Z"}, ["yes", "yes", "yes", "yes"], {}),
]  # fmt: skip


@pytest.mark.parametrize(("document", "points", "why"), ROWS, ids=str)
def test_rows(document: dict[str, object], points: list[str], why: dict[str, str]) -> None:
    assert row(document) == (points, why)


@pytest.mark.parametrize(
    ("document", "asked", "blind"),
    [
        (D, [set()], []),
        (D | {"source": ["10.1.0.0/16"]}, [{SOURCE}], []),
        (D | {"source": ["10.1.0.0/16", "user:ann"]}, [{SOURCE}, {USER}], [Point.PAC, Point.DNS, Point.INSPECTOR]),
        (D | {"source": ["group:none"]}, [], []),
        (D | {"source": ["group:sales"]}, [{SOURCE}, {USER}], [Point.PAC, Point.DNS, Point.INSPECTOR]),
        (D | {"programs": ["zoom"]}, [{PROGRAM}], [Point.PAC, Point.DNS, Point.INSPECTOR]),
        (D | {"programs": ["zoom"], "source": ["::1"]}, [{SOURCE, PROGRAM}], [Point.PAC, Point.DNS, Point.INSPECTOR]),
    ],
    ids=str,
)
def test_what_a_rule_asks_for(document: dict[str, object], asked: list[set[Fact]], blind: list[Point]) -> None:
    rule = one(document)
    assert list(map(set, needs(rule))) == asked
    assert list(blind_points(rule)) == blind


@given(rule_lists, full_flows, instants)
def test_a_point_said_to_enforce_a_bypass_needs_no_other(
    documents: list[dict[str, object]], flow: Flow, at: float
) -> None:
    """A rule alone, that a point enforces: there it decides of every flow as with full knowledge."""
    for document in documents:
        alone = compiled_from([document])
        policy = compile_policy(alone)
        (judged,) = coverage(alone, at)
        for point, cover in judged.points.items():
            if cover not in (Cover.YES, Cover.BY_ADDRESS) or (point is Point.DNS and not flow.host.is_name):
                continue
            stage = next(stage for stage, named in STAGES[point] if named is cover)
            seen = policy.lasting(at) if point is Point.PAC else policy
            decided = seen.decide(only_visible(flow, stage), at)
            if judged.action is Action.BYPASS:
                assert decided.bypasses == policy.decide(flow, at).bypasses


def only_visible(flow: Flow, stage: Stage) -> Flow:
    seen = VISIBLE[stage]
    return replace(
        flow,
        source=flow.source if SOURCE in seen else UNSEEN,
        user=flow.user if USER in seen else UNSEEN,
        program=flow.program if PROGRAM in seen else UNSEEN,
    )
