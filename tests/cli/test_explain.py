"""``steering explain``: the JSON contract, bad input, and the live service."""

import json
from pathlib import Path

import pytest

from steering.cli import explain as explain_command
from tests.cli.runner import a_copy, run


def test_json_holds_the_whole_contract(tmp_path: Path) -> None:
    answer = json.loads(run("explain", "https://US02web.Zoom.us/j/1?a=b", "--rules", a_copy(tmp_path), "--json").output)
    assert len(answer.pop("revision")) == 16
    assert answer == {
        "host": "us02web.zoom.us",
        "action": "bypass",
        "rule": "Bypass Zoom - Pre-configured",
        "why": "rule 'Bypass Zoom - Pre-configured': zoom.us",
        "pending": [],
        "reserved": None,
        "matches": [{"rule": "Bypass Zoom - Pre-configured", "action": "bypass", "matched": "yes", "on": "zoom.us"}],
        "points": {"pac": "DIRECT", "dns": "real", "inspector": "tunnel", "endpoint": "direct"},
    }


def test_words(tmp_path: Path) -> None:
    result = run("explain", "example.com", "--rules", a_copy(tmp_path), "--inspector", "a:1", "--inspector", "b:2")
    assert result.exit_code == 0
    assert result.output.splitlines()[:-1] == [
        "example.com: inspect",
        "  no rule matches: inspected by default",
        "points",
        "  PAC file         PROXY a:1; PROXY b:2",
        "  DNS resolver     inspector",
        "  inspector        open",
        "  endpoint helper  proxy",
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["http://"], ["a b"], ["x.example:port"], ["x.example", "--source", "10.1.0.0/16"],
        ["x.example", "--at", "2026-01-01"], ["x.example", "--at", "soon"], ["x.example", "--program", "com.*"],
        ["x.example", "--program", "/usr/bin/"], ["x.example", "--live"], [],
    ],
    ids=" ".join,
)  # fmt: skip
def test_bad_input_is_wrong_use(arguments: list[str], tmp_path: Path) -> None:
    result = run("explain", *arguments, "--rules", a_copy(tmp_path))
    assert result.exit_code == 2
    assert result.exception is None or isinstance(result.exception, SystemExit)


def test_rules_that_cannot_be_enforced_are_wrong_use(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"rules": [{"name": "a"}]}')
    assert run("explain", "x.example", "--rules", path).exit_code == 2


def test_live_asks_the_running_service(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, str]] = []

    def ask(question: dict[str, str]) -> dict[str, object]:
        asked.append(question)
        return {"host": "from.service"}

    monkeypatch.setattr(explain_command, "ask_live", ask)
    result = run("explain", "x.example", "--live", "--user", "ann", "--json")
    assert json.loads(result.output) == {"host": "from.service"}
    assert asked == [{"target": "x.example", "user": "ann"}]
