"""A bundle read back is the policy that was written, or an error that says why not."""

import json
from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

import pytest

from steering.endpoint.bundle.content import MAX_INSTANT, Modes, parse_bundle, write_bundle
from steering.endpoint.errors import BundleError
from steering.policy import CategoryTable, Policy, ReservedSettings, compile_policy
from steering.policy.document import load_document

TABLE = CategoryTable("7", {"Banks": frozenset({"bank.example", "b.example"}), "Empty": frozenset()})
RULES = json.dumps(
    {
        "groups": {"office": {"networks": ["10.0.0.0/8"], "users": ["Alice"]}},
        "rules": [
            {"name": "a", "domains": ["pin.example"], "programs": ["slack"], "source": ["group:office"]},
            {"name": "b", "categories": ["banks"]},
        ],
    }
)
SETTINGS = ReservedSettings(internal_zones=("corp.example",), own_names=("steering.example",))
POLICY: Policy = compile_policy(load_document(RULES, TABLE), SETTINGS)


def written(**changed: Any) -> bytes:
    content = write_bundle(
        source=RULES,
        policy=POLICY,
        issued_at=1_800_000_000.0,
        inspectors=["proxy.example:3130", "192.0.2.1:3130"],
        inspector_addresses=[ip_address("192.0.2.1"), ip_address("2001:db8::1")],
        modes={"inspector_unreachable": "open"},
    )
    return json.dumps(json.loads(content) | changed).encode() if changed else content


def test_it_is_the_policy_that_was_written() -> None:
    bundle = parse_bundle(written())
    assert bundle.revision == POLICY.revision
    assert bundle.policy.rules == POLICY.rules
    assert bundle.policy.settings == SETTINGS
    assert bundle.issued_at == 1_800_000_000.0
    assert bundle.inspectors == ("proxy.example:3130", "192.0.2.1:3130")
    assert bundle.inspector_addresses == {ip_address("192.0.2.1"), ip_address("2001:db8::1")}
    assert bundle.modes == Modes(inspector_unreachable="open", helper_dead="closed", unknown_process="inspect")


def test_what_a_newer_service_says_more_is_passed_over() -> None:
    assert parse_bundle(written(later={"x": 1})).revision == POLICY.revision


def _without(key: str) -> Callable[[], bytes]:
    return lambda: json.dumps({k: v for k, v in json.loads(written()).items() if k != key}).encode()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda: b"", "cannot be read"),
        (lambda: b"\xff\xfe", "cannot be read"),
        (lambda: b"[]", "cannot be read"),
        (lambda: written()[:-40], "cannot be read"),
        (_without("rules"), "rules"),
        (_without("modes"), "modes"),
        (lambda: written(format=2), "format 2, this helper reads 1"),
        (lambda: written(revision="0" * 16), "read rules differently"),
        (lambda: written(rules='{"rules": [{"name": "all"}]}'), "its rules: 1:12 error: 'all' has no condition at all"),
        (lambda: written(rules=json.dumps({"rules": []})), "read rules differently"),
        (lambda: written(inspector_addresses=["nowhere"]), "nowhere"),
        (lambda: written(inspectors=["nowhere"]), "is empty"),
        (lambda: written(inspectors=["i.example:0"]), "'i.example:0' is no inspector: one is HOST:PORT"),
        (lambda: written(inspectors=["i.example:65536"]), "'i.example:65536' is no inspector"),
        (lambda: written(inspectors=["i.example:"]), "'i.example:' is no inspector"),
        (lambda: written(inspectors=["a..b:1"]), "a..b"),
        (lambda: written(issued_at=-1), "issued_at"),
        (lambda: written(issued_at=float("nan")), "issued_at"),
        (lambda: written(issued_at=MAX_INSTANT + 1), "issued_at"),
        (lambda: written(modes={"inspector_unreachable": "ajar"}), "inspector_unreachable"),
        (lambda: written(reserved={"internal_zones": ["a..b"], "internal_networks": [], "own_names": []}), "a..b"),
    ],
)
def test_what_is_wrong_is_said(content: Callable[[], bytes], why: str) -> None:
    with pytest.raises(BundleError) as caught:
        parse_bundle(content())
    assert why in str(caught.value)


def test_what_is_just_right() -> None:
    inspectors = ["i.example:1", "192.0.2.1:65535", "[2001:db8::1]:3130"]
    found = parse_bundle(written(inspectors=inspectors, issued_at=MAX_INSTANT))
    assert (found.inspectors, found.issued_at) == (tuple(inspectors), MAX_INSTANT)
