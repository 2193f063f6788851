"""Which conditions a policy asks for."""

import json

import pytest

from steering.endpoint.identify.wanted import wanted_of
from steering.policy import Policy, System, compile_policy
from steering.policy.document import load_document

HASH = "ab" * 32


def policy(*programs: object, enabled: bool = True) -> Policy:
    rule = {"name": "r", "enabled": enabled, "domains": ["a.example"], "programs": list(programs)}
    return compile_policy(load_document(json.dumps({"rules": [rule, {"name": "d", "domains": ["b.example"]}]})))


@pytest.mark.parametrize(
    ("programs", "linux", "anywhere"),
    [
        (["slack"], set(), set()),
        ([{"name": "slack", "path": "/opt/**"}], {"path"}, {"path"}),
        ([{"name": "slack", "root_owned": True}], {"root_owned"}, {"root_owned"}),
        ([{"name": "slack", "root_owned": False}], {"root_owned"}, {"root_owned"}),
        ([{"name": "slack", "sha256": HASH}], {"sha256"}, {"sha256"}),
        (["slack", {"signer": "snap:slack"}], {"signer"}, {"signer"}),
        ([{"name": "windows:slack.exe", "signer": "Slack"}], set(), {"signer"}),
        (
            [{"name": "linux:slack", "root_owned": True}, {"name": "macos:x.y", "sha256": HASH}],
            {"root_owned"},
            {"root_owned", "sha256"},
        ),
    ],
)
def test_wanted_of(programs: list[object], linux: set[str], anywhere: set[str]) -> None:
    assert wanted_of(policy(*programs), System.LINUX) == linux
    assert wanted_of(policy(*programs)) == anywhere


def test_disabled_rules_ask_for_nothing() -> None:
    assert wanted_of(policy({"name": "slack", "sha256": HASH}, enabled=False)) == frozenset()
