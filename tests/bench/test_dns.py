"""One short run in earnest beside real resolvers, and what is asked."""

import pytest

from bench.dns import MISSES, STEERED, bypassed_names, measure, million_queries, rules, steered_names
from bench.rounds import CPU
from steering.policy import Action, Flow, RulesModel, compile_policy, parse_host, rule_set


@pytest.mark.needs("linux", "gcc", "dnsmasq", "unbound-checkconf")
def test_a_round() -> None:
    cases, found, notes = measure(True, MISSES)
    assert ([case.name for case in cases], notes) == ([MISSES], [])
    assert list(found[MISSES]) == ["steering", "dnsmasq", "unbound"]
    for server, samples in found[MISSES].items():
        # A machine that stands still for a second loses some; that nothing is answered is an error already.
        assert all(sample and sample[CPU] > 0 for sample in samples), (server, samples)


@pytest.mark.parametrize("domains", [100, 2500])
def test_names_are_steered_and_bypassed_as_they_say(domains: int) -> None:
    made = rules(domains)
    assert sum(len(rule["domains"]) for rule in made) == domains
    policy = compile_policy(rule_set(RulesModel.model_validate({"rules": made})))

    def actions(names: list[str]) -> set[Action]:
        return {policy.decide(Flow(host=parse_host(name)), 0.0).action for name in names}

    assert actions(bypassed_names()) == {Action.BYPASS}
    assert actions([*steered_names(), STEERED]) == {Action.INSPECT}


def test_another_revision_has_other_domains() -> None:
    first, second = ({name for rule in rules(1000, number) for name in rule["domains"]} for number in (0, 1))
    assert len(first & second) == 100


def test_a_million_names_are_many() -> None:
    assert len(set(million_queries(10_000))) == 8000 + len(bypassed_names()) // 5
