"""The shape of rules.json: what each field may hold, and what it is when it is left out."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydantic import ValidationError

from steering.policy.model import Action, RuleModel, RulesModel, instant, json_schema

RULE: dict[str, object] = {"name": "a"}


def test_what_is_left_out() -> None:
    assert RuleModel.model_validate(RULE).model_dump(mode="json") == {
        "name": "a", "enabled": True, "action": "bypass", "source": [], "programs": [], "domains": [],
        "categories": [], "addresses": [], "not_before": None, "expires_at": None, "preconfigured": False,
        "reason": None, "owner": "", "ticket": "", "source_url": "", "note": "",
    }  # fmt: skip
    assert RulesModel.model_validate({"rules": []}).model_dump() == {
        "schema_": None, "version": 1, "groups": {}, "rules": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "fits"),
    [
        ("name", "n" * 200, True),
        ("name", "n" * 201, False),
        ("name", "", False),
        ("name", "a\tb", False),
        ("name", "a\x7f", False),
        ("note", "n" * 1000, True),
        ("note", "n" * 1001, False),
        ("domains", ["d" * 600], True),
        ("domains", ["d" * 601], False),
        ("domains", [""], False),
        ("action", "block", True),
        ("action", "Block", False),
        ("reason", "mtls", True),
        ("reason", "because", False),
        ("programs", ["a", {"path": "/a"}], True),
        ("programs", [{"sha256": "A" * 64}], True),
        ("programs", [{"sha256": "a" * 63}], False),
        ("programs", [{"sha256": "a" * 65}], False),
        ("programs", [{"sha256": "g" * 64}], False),
        ("programs", [{"pid": 3}], False),
        ("expires_at", "2026-12-31T00:00:00+02:00", True),
        ("expires_at", "2026-12-31T00:00:00", False),  # whose midnight?
        ("colour", "red", False),
    ],
)
def test_fields(field: str, value: object, fits: bool) -> None:
    document = RULE | {field: value}
    if fits:
        RuleModel.model_validate(document)
    else:
        with pytest.raises(ValidationError):
            RuleModel.model_validate(document)


def test_a_rule_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        RuleModel.model_validate(RULE).enabled = False  # type: ignore[misc]  # what is tried here


def test_instants() -> None:
    assert instant(None) is None
    assert instant(datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC)) == 1.0
    assert instant(datetime(1970, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))) == 0.0


def test_the_schema_names_itself() -> None:
    schema = json_schema()
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$defs"]["Action"]["enum"] == [action.value for action in Action]
    assert sorted(schema["properties"]) == ["$schema", "groups", "rules", "version"]
