"""The shipped JSON Schema is the model's, and says of files what the reader says."""

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]  # its stubs are a package of their own
import pytest

import steering.policy
from steering.policy.document import read_document
from steering.policy.schema import schema_text
from steering.resources import starter_rules
from tests.kit import ROOT

SHIPPED = Path(steering.policy.__file__).with_name("rules.schema.json")


def test_the_shipped_schema_is_the_models() -> None:
    assert SHIPPED.read_text() == schema_text()


def test_the_starter_rules_fit_the_schema() -> None:
    jsonschema.validate(json.loads(starter_rules().read_text()), json.loads(schema_text()))


def test_the_schema_that_the_starter_rules_name_is_there() -> None:
    """In a checkout by a link; ``steering init`` lays it beside the copy that it makes."""
    rules = ROOT / "rules.json"
    assert (rules.parent / json.loads(rules.read_text())["$schema"]).resolve() == SHIPPED.resolve()


RULE = {"name": "a", "domains": ["example.com"]}


@pytest.mark.parametrize(
    "document",
    [
        {"rules": [RULE | {"domain": []}]},
        {"rules": [RULE | {"enabled": 1}]},
        {"rules": [RULE | {"enabled": "yes"}]},
        {"rules": [RULE | {"action": "allow"}]},
        {"rules": [RULE | {"domains": "example.com"}]},
        {"rules": [RULE | {"programs": [3]}]},
        {"rules": [RULE | {"programs": [{"nam": "x"}]}]},
        {"rules": [RULE | {"expires_at": 1_700_000_000}]},
        {"rules": [RULE | {"name": ""}]},
        {"rules": [RULE], "version": 2},
        {"rules": [RULE], "version": True},
        {"rules": [RULE], "groups": {"g": {"members": []}}},
        {},
        [],
    ],
    ids=str,
)
def test_what_the_schema_refuses_the_reader_refuses(document: object) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, json.loads(schema_text()))
    assert read_document(json.dumps(document)).rule_set is None
