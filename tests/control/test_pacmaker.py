"""What the process that makes PACs answers to a job: the PACs that would have been made here, or why there are none."""

import pickle
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given, settings

from steering.control.channel import Kind
from steering.control.pacmaker import answer, job_of, perform
from steering.pac.publish import PacSet, PacSettings
from steering.policy import CategoryTable, PolicyError, ReservedSettings, RulesModel, compile_policy, rule_set
from tests.pac.policies import NOW, policy_of
from tests.policy.worlds import compiled_from, rule_lists

SETTINGS = PacSettings(inspectors=("a.example:1", "b.example:2"))


@settings(max_examples=25, deadline=None)  # two sets of PACs are made in each
@given(rule_lists)
def test_rules_survive_the_way(documents: list[dict[str, object]]) -> None:
    policy = compile_policy(compiled_from(documents), ReservedSettings(internal_zones=("corp.example",)))
    there = perform(pickle.loads(pickle.dumps(job_of(policy, NOW, SETTINGS))))  # made in this line
    here = PacSet(policy, NOW, SETTINGS)
    assert there.revision == policy.revision
    assert there.anonymous == here.anonymous
    assert there.variants == here.variants


def test_the_pacs_of_every_requester_come_back() -> None:
    rules: list[dict[str, object]] = [{"domains": ["zoom.us"], "source": ["10.1.0.0/16"]}, {"domains": ["one.example"]}]
    policy = policy_of(*rules)
    kind, body = answer(pickle.dumps(job_of(policy, NOW, SETTINGS)))
    assert kind is Kind.PACS
    there, here = pickle.loads(body), PacSet(policy, NOW, SETTINGS)  # from ourselves
    for address in ("10.1.2.3", "10.2.0.1", "::1"):
        assert there.for_address(ip_address(address)) == here.for_address(ip_address(address))
    assert there.for_group("sales") == here.for_group("sales") is not None


def test_categories_go_along() -> None:
    table = CategoryTable("7", {"Legal": frozenset({"law.example"})})
    model = RulesModel.model_validate({"rules": [{"name": "legal", "categories": ["Legal"]}]})
    made = perform(job_of(compile_policy(rule_set(model, table)), NOW, SETTINGS))
    assert b"law.example" in made.anonymous.body


def test_what_arrives_is_what_was_sent_or_nothing_is_made() -> None:
    job = replace(job_of(policy_of({"domains": ["zoom.us"]}), NOW, SETTINGS), revision="another")
    with pytest.raises(PolicyError, match="did not survive"):
        perform(job)
    assert answer(pickle.dumps(job))[0] is Kind.NO_PACS


# template -> what is said of it
UNFIT = {
    "function FindProxyForURL(url, host) {\n": "the PAC does not load",
    "{{ nothing_like_it }}": "a PAC template printed Undefined",
    "{{ [].pop() }}": "the PAC template failed: IndexError",
}


@pytest.mark.parametrize("template", UNFIT)
def test_why_there_are_none(template: str, tmp_path: Path) -> None:
    (tmp_path / "decide.js.j2").write_text(template)
    kind, body = answer(pickle.dumps(job_of(policy_of(), NOW, replace(SETTINGS, templates=tmp_path))))
    assert (kind, body.decode().startswith(UNFIT[template])) == (Kind.NO_PACS, True), body


def test_no_job_at_all() -> None:
    assert answer(b"nonsense")[0] is Kind.NO_PACS
