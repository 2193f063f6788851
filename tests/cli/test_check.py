"""``steering check``: exit codes, places, the table and its JSON."""

import json
from pathlib import Path

import pytest

from tests.cli.runner import a_copy, nowhere, run


def test_the_starter_rules_have_warnings_alone(tmp_path: Path) -> None:
    path = a_copy(tmp_path)
    result = run("check", path)
    assert result.exit_code == 0
    assert f"{path} can be enforced: 16 rules, 15 enabled; 6 warnings" in result.output
    assert "Bypass Zoom - Pre-configured                      bypass  yes " in result.output


def test_json(tmp_path: Path) -> None:
    result = run("check", a_copy(tmp_path), "--json")
    answer = json.loads(result.output)
    assert (answer["ok"], answer["errors"], answer["warnings"], answer["notes"]) == (True, 0, 6, 0)
    assert answer["findings"][0] == {
        "severity": "warning",
        "code": "covered",
        "message": "disabling this changes nothing for 'settings-win.data.microsoft.com', because "
        "'data.microsoft.com' in rule 'Bypass OneDrive - Pre-configured' covers it",
        "advice": "",
        "pointer": "/rules/1/domains/1",
        "rule": "Bypass Microsoft updates - Pre-configured",
        "line": 32,
        "column": 9,
    }
    assert answer["coverage"][13] == {
        "rule": "Bypass Zoom - Pre-configured",
        "action": "bypass",
        "points": {"pac": "yes", "dns": "yes", "inspector": "yes", "endpoint": "yes"},
        "why": {},
    }


def test_errors_are_one(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"rules": [\n  {"name": "a", "domains": ["com"]},\n  {"name": "b",}\n]}')
    result = run("check", path)
    assert result.exit_code == 1
    assert f"{path}:2:29 error: 'com' would bypass names of unknown owners" in result.output
    assert f"{path}:3:15 error: a comma before '}}'" in result.output
    assert f"{path}:3:3 error: 'b' has no condition at all" in result.output
    assert f"{path} cannot be enforced: 3 errors" in result.output
    assert json.loads(run("check", path, "--json").output)["errors"] == 3


def test_what_cannot_be_read_is_wrong_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)
    for arguments in (["missing.json"], [tmp_path], []):
        assert run("check", *arguments).exit_code == 2


def test_which_file_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)
    a_copy(tmp_path)
    assert json.loads(run("check", "--json").output)["file"] == "rules.json"
    (tmp_path / "mine.json").write_text('{"rules": []}')
    (tmp_path / "steering.toml").write_text('[policy]\nrules = "mine.json"\n')
    assert json.loads(run("check", "--json").output)["file"] == "mine.json"
    monkeypatch.setenv("STEERING_POLICY_RULES", "rules.json")
    assert json.loads(run("check", "--json").output)["file"] == "rules.json"
    assert json.loads(run("check", "mine.json", "--json").output)["file"] == "mine.json"


def test_a_file_cannot_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"rules": [{"name": "a", "domains": ["\\u001b[2J.example", "[red]x"]}], "\\u001b]0;x": 1}')
    result = run("check", path)
    assert result.exit_code == 1
    assert "\x1b" not in result.output
    assert "[red]x" in result.output


def test_preconfigured_rules_may_be_disabled_not_edited(tmp_path: Path) -> None:
    path = a_copy(tmp_path)

    def edited() -> list[str]:
        answer = json.loads(run("check", path, "--json").output)
        return [f["message"] for f in answer["findings"] if f["code"] == "preconfigured"]

    zoom = "Bypass Zoom - Pre-configured"
    run("rules", "disable", zoom, "--rules", path)
    assert edited() == []
    document = json.loads(path.read_text())
    rule = next(rule for rule in document["rules"] if rule["name"] == zoom)
    for key, value in (
        ("domains", ["zoom.us", "zoom.com"]), ("domains", ["=zoom.us"]), ("action", "inspect"),
        ("source", ["10.0.0.0/8"]), ("expires_at", "2030-01-01T00:00:00Z"),
    ):  # fmt: skip
        was = rule.get(key)
        rule[key] = value
        path.write_text(json.dumps(document))
        assert edited() == [f"the preconfigured rule '{zoom}' was edited"], key
        rule[key] = was
        if was is None:
            del rule[key]
    rule["note"] = "ours"
    path.write_text(json.dumps(document))
    assert edited() == [], "notes are for people"
    rule["name"] = "Mine"
    path.write_text(json.dumps(document))
    assert edited() == ["'Mine' says that it is preconfigured, but no such rule comes with Steering"]


def test_the_configuration_says_what_never_comes_to_the_rules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)
    (tmp_path / "rules.json").write_text('{"rules": [{"name": "a", "domains": ["x.corp.example.com"]}]}')

    def codes(*more: str) -> list[str]:
        return [finding["code"] for finding in json.loads(run("check", "--json", *more).output)["findings"]]

    assert codes() == []
    (tmp_path / "steering.toml").write_text('[policy]\ninternal_zones = ["corp.example.com"]')
    assert codes() == ["reserved"]
    assert codes("rules.json", "--config", "steering.toml") == ["reserved"]


def test_more_than_a_screen_is_cut_but_counted(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    for number, more in ((500, 0), (501, 1)):
        path.write_text(json.dumps({"rules": [{"name": f"r{i}"} for i in range(number)]}))
        lines = run("check", path).output.splitlines()
        assert len(lines) == 501 + more
        assert lines[-1] == f"{path} cannot be enforced: {number} errors"
        assert ("... and 1 more (--json prints all)" in lines) is bool(more)
        assert len(json.loads(run("check", path, "--json").output)["findings"]) == number
