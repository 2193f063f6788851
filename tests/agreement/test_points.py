"""One decision at four points: random rule sets and flows, no mismatch.

STEERING_AGREEMENT_FLOWS says how many flows (``make agreement``: a million), STEERING_AGREEMENT_SEED which ones.  A
mismatch prints what makes its world again.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from steering.formats.attestation import Claims, sign, verify
from steering.pac.view import View
from steering.policy import UNSEEN, Action, Decision, Effect, Flow, effect
from steering.policy.effects import EFFECTS, Stage
from steering.policy.hosts import Address
from steering.policy.points import Point
from steering.policy.reserved import LOOPBACK, SINGLE_LABEL
from steering_dns import wire
from tests.agreement.points import (
    CHAINS,
    Helper,
    Inspector,
    Pac,
    Resolver,
    client_of,
    expected_of_inspector,
    pac_of,
    seen,
    view_of,
    written,
)
from tests.agreement.worlds import SETTINGS, Kind, World, describe, make_world
from tests.pac.engines import ENGINES, ask
from tests.policy import twin

FLOWS = int(os.environ.get("STEERING_AGREEMENT_FLOWS", "100000"))
SEED = os.environ.get("STEERING_AGREEMENT_SEED", "steering")
PER_WORLD = 125
PER_PART = 25_000  # flows in memory at one time
KINDS = ((Kind.VISIBLE, False), (Kind.FULL, False), (Kind.VISIBLE, True), (Kind.FULL, True))
LATER_S = (0, 0.5, 1, 59, 60, 61, 3600, 12 * 3600)  # browsers keep a PAC for half a day

pytestmark = pytest.mark.needs(*ENGINES.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A flow, who fetched the PAC, and what was found.  pac: the answer of each JavaScript engine."""

    world: World
    flow: Flow
    pac: Pac
    text: str
    answers: dict[str, str]

    @property
    def view(self) -> View:
        return self.pac.view

    @property
    def client(self) -> Address:
        return client_of(self.flow)

    def full(self, at: float | None = None) -> Decision:
        """The decision with full knowledge; a group that was claimed by a token counts as a fact."""
        flow = replace(self.flow, groups=self.view.groups)
        return self.world.policy.decide(flow, self.world.at if at is None else at)

    def at_network(self, stage: Stage) -> Decision:
        return self.world.policy.decide(seen(self.flow, stage), self.world.at)

    def told(self, **found: Any) -> str:
        return describe(self.world, self.flow, {"host as written": self.text, "view": self.view, **found})


@pytest.fixture(scope="module", params=range(-(-FLOWS // PER_PART)))
def cases(request: pytest.FixtureRequest) -> list[Case]:
    """One part of the flows, run through every JavaScript engine."""
    flows = min(PER_PART, FLOWS - request.param * PER_PART)
    worlds = [
        make_world(f"{SEED}/{request.param}/{i}", *_of_kind(i, min(PER_WORLD, flows - i * PER_WORLD)))
        for i in range(-(-flows // PER_WORLD))
    ]
    asked = [group for i, world in enumerate(worlds) for group in _by_view(world, i)]
    found = ask(list(ENGINES), [pac.batch([text for _, text in flows]) for _, pac, flows in asked])
    return [
        Case(world=world, flow=flow, pac=pac, text=text, answers={e: found[e][i][j] for e in ENGINES})
        for i, (world, pac, flows_of) in enumerate(asked)
        for j, (flow, text) in enumerate(flows_of)
    ]


def _of_kind(index: int, flows: int) -> tuple[Kind, int, bool]:
    kind, timed = KINDS[index % len(KINDS)]
    return kind, flows, timed


def _by_view(world: World, index: int) -> Iterator[tuple[World, Pac, list[tuple[Flow, str]]]]:
    """The flows of a world, by the PAC that their client has."""
    random = Random(world.seed)
    views: dict[View, list[tuple[Flow, str]]] = {}
    for flow in world.flows:
        views.setdefault(view_of(random, client_of(flow)), []).append((flow, written(random, flow.host)))
    for view, flows in views.items():
        yield world, pac_of(world.policy, view, world.at, CHAINS[index % len(CHAINS)]), flows


def test_pac_returns_what_the_engine_says_in_every_javascript_engine(cases: list[Case]) -> None:
    for case in cases:
        expected = case.pac.expected(case.flow.host)
        if any(answer != expected for answer in case.answers.values()):
            pytest.fail(case.told(expected=expected, **case.answers))
        assert case.pac.plan.returns(case.text) == expected, case.told(expected=expected)


def test_engine_decides_as_its_slow_twin(cases: list[Case]) -> None:
    for case in cases:
        expected = twin.decide(case.world.policy.rule_set, case.flow, case.world.at, SETTINGS)
        found = case.world.policy.decide(case.flow, case.world.at)
        if (found.action, found.rule, found.pending) != expected:
            pytest.fail(case.told(engine=found, twin=expected))


def test_dns_answers_what_the_engine_says(cases: list[Case]) -> None:
    resolvers: dict[str, Resolver] = {}
    for case in cases:
        host, world = case.flow.host, case.world
        if host.address is not None:
            continue
        if world.seed not in resolvers:
            resolvers[world.seed] = Resolver(world.policy, world.at, SETTINGS.own_names)
        decision = case.at_network(Stage.DNS_QUERY)
        expected = effect(Point.DNS, decision)
        if decision.reserved is SINGLE_LABEL:
            expected = Effect.DNS_NXDOMAIN  # the real answer for what is no top-level domain, given without asking
        found = resolvers[world.seed].effect(host, case.client)
        if found is not expected:
            pytest.fail(case.told(expected=expected, dns=found))


def test_dns_decides_every_address_type_alike(cases: list[Case]) -> None:
    """No way round the inspector by IPv6, ECH or h3 hints."""
    for case in cases[::25]:
        if case.flow.host.address is not None:
            continue
        decision = case.at_network(Stage.DNS_QUERY)
        if decision.reserved is LOOPBACK:
            continue  # the one name that has addresses of both families
        resolver = Resolver(case.world.policy, case.world.at, ())
        by_a, *others = (
            resolver.effect(case.flow.host, case.client, qtype) for qtype in (wire.A, wire.AAAA, wire.HTTPS, wire.SVCB)
        )
        # Only IPv4 inspectors: the other types of a steered name are NODATA.
        expected = Effect.DNS_NODATA if by_a is Effect.DNS_INSPECTOR else by_a
        if any(found is not expected for found in others):
            pytest.fail(case.told(a=by_a, others=others))


def test_inspector_acts_as_the_engine_says(cases: list[Case]) -> None:
    for case in cases:
        host = case.flow.host
        inspector = Inspector(case.world.policy, case.world.at, case.client)
        expected = expected_of_inspector(case.at_network(Stage.INSPECTOR_CONNECTION), host)
        found = {"explicit": inspector.explicit(host), "plain": inspector.plain(host)}
        if host.address is None:
            found["transparent"] = inspector.transparent(host)
        if any(taken is not expected for taken in found.values()):
            pytest.fail(case.told(expected=expected, **found))


def test_pac_direct_means_bypass_for_as_long_as_browsers_keep_it(cases: list[Case]) -> None:
    for case in cases:
        if "DIRECT" not in case.answers.values():
            continue
        for later in LATER_S if case.world.timed else (0,):
            full = case.full(case.world.at + later)
            if full.action is not Action.BYPASS:
                pytest.fail(case.told(full=full, later=later, **case.answers))


def test_dns_real_answer_means_bypass(cases: list[Case]) -> None:
    for case in cases:
        decision = case.at_network(Stage.DNS_QUERY)
        if decision.reserved is None and effect(Point.DNS, decision) is Effect.DNS_REAL:
            full = case.world.policy.decide(case.flow, case.world.at)
            assert full.action is Action.BYPASS, case.told(dns=decision, full=full)


def test_tunnel_means_bypass(cases: list[Case]) -> None:
    for case in cases:
        decision = case.at_network(Stage.INSPECTOR_CONNECTION)
        if effect(Point.INSPECTOR, decision) is Effect.TUNNEL:
            full = case.world.policy.decide(case.flow, case.world.at)
            assert full.action is Action.BYPASS, case.told(inspector=decision, full=full)


def test_helper_and_inspector_together_decide_with_full_knowledge(cases: list[Case]) -> None:
    """What is known at the helper's stages, what it does, and what the inspector does with its word."""
    for case in cases:
        host = case.flow.host
        full = case.world.policy.decide(case.flow, case.world.at)
        endpoint = case.at_network(Stage.ENDPOINT_IDENTIFIED)
        attested = case.at_network(Stage.INSPECTOR_ATTESTED)
        assert not full.pending and endpoint == full and attested == full, case.told(full=full)
        full, helper = case.full(), Helper(case.world.policy, case.world.at, case.flow, case.view.groups)
        if full.reserved is not None or not helper.knows_everything:
            continue
        bypass = full.action is Action.BYPASS
        inspector = helper.inspector()
        found = {"explicit": inspector.explicit(host), "plain": inspector.plain(host)}
        expected = Effect.REFUSE if host.numeric else EFFECTS[full.action][Point.INSPECTOR]
        taken = helper.course(host) is Effect.ENDPOINT_DIRECT
        if taken != bypass or any(effect is not expected for effect in found.values()):
            pytest.fail(case.told(full=full, direct=taken, **found))


def test_a_helper_that_does_not_know_is_never_laxer(cases: list[Case]) -> None:
    for case in cases:
        full, helper = case.full(), Helper(case.world.policy, case.world.at, case.flow, case.view.groups)
        if helper.knows_everything or full.reserved is not None:
            continue
        direct = helper.course(case.flow.host) is Effect.ENDPOINT_DIRECT
        tunnelled = helper.inspector().explicit(case.flow.host) is Effect.TUNNEL
        if (direct or tunnelled) and full.action is not Action.BYPASS:
            pytest.fail(case.told(full=full, direct=direct, tunnelled=tunnelled))


def test_what_a_helper_attests_arrives_as_it_was_known(cases: list[Case]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    for case in cases[::250]:
        made = Claims(
            device="d",
            authority=f"{case.flow.host.text}:443",
            nonce="n",
            revision=case.world.policy.revision,
            issued_at=case.world.at,
            user=case.flow.user if isinstance(case.flow.user, str) else None,
            program=case.flow.program or UNSEEN,
        )
        got = verify(
            sign(made, key), key.public_key(), device="d", authority=made.authority, nonce="n", now=case.world.at
        )
        assert got == made, case.told(got=got)


def test_all_four_agree_where_every_condition_is_visible(cases: list[Case]) -> None:
    """Rules without program, user and time conditions, requesters known by their address."""
    for case in cases:
        host, world = case.flow.host, case.world
        if world.kind is not Kind.VISIBLE or world.timed or case.view.groups or case.view.source != case.flow.source:
            continue
        full = case.full()
        if full.reserved is not None or host.numeric:
            continue
        inspector = Inspector(world.policy, world.at, case.client)
        found = {
            "pac": all(answer == "DIRECT" for answer in case.answers.values()),
            "inspector": inspector.explicit(host) is Effect.TUNNEL,
            "endpoint": Helper(world.policy, world.at, case.flow).course(host) is Effect.ENDPOINT_DIRECT,
        }
        if host.is_name:
            found["dns"] = effect(Point.DNS, case.at_network(Stage.DNS_QUERY)) is Effect.DNS_REAL
        if set(found.values()) != {full.action is Action.BYPASS}:
            pytest.fail(case.told(full=full, **found))


def test_worlds_are_worth_asking(cases: list[Case]) -> None:
    """Zero mismatches say nothing where everything is inspected by default."""
    cases = cases[::10]
    actions = Counter(case.full().action for case in cases)
    rules = Counter(case.full().rule is not None for case in cases)
    pending = sum(1 for case in cases if case.at_network(Stage.INSPECTOR_CONNECTION).pending)
    direct = sum(1 for case in cases if case.answers["v8"] == "DIRECT")
    few = len(cases) // 20
    assert all(actions[action] > few for action in Action), actions
    assert rules[True] > len(cases) // 4
    assert direct > few and len(cases) - direct > few
    assert pending > few // 4
