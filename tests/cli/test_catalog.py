"""``steering catalog``: list, show, and a rule in the file."""

import json
from pathlib import Path

import pytest

from steering.catalog import load_apps
from tests.cli.runner import a_copy, nowhere, run


def test_list_and_show() -> None:
    assert "zoom                   pinned             Zoom" in run("catalog", "list").output
    assert len(json.loads(run("catalog", "list", "--json").output)) > 40
    shown = run("catalog", "show", "Webex").output
    assert "  windows    atmgr.exe  (unverified)" in shown
    assert json.loads(run("catalog", "show", "zoom", "--json").output)["kind"] == "pinned"


def test_an_unknown_application_is_wrong_use() -> None:
    result = run("catalog", "show", "zoo")
    assert result.exit_code == 2
    assert "did you mean zoom?" in result.output


def test_add_writes_a_rule(tmp_path: Path) -> None:
    path = a_copy(tmp_path)
    assert run("catalog", "add", "dropbox", "--rules", path, "--by", "both").exit_code == 0
    rule = json.loads(path.read_text())["rules"][-1]
    assert rule["programs"] == ["windows:dropbox.exe", "windows:dropboxupdate.exe", "macos:com.getdropbox.dropbox"]
    assert rule["domains"][0] == "dropbox.com"
    twice = run("catalog", "add", "dropbox", "--rules", path)
    assert twice.exit_code == 2
    assert "nothing was written" in twice.output


def test_print_changes_nothing() -> None:
    rule = json.loads(run("catalog", "add", "zoom", "--print").output)
    assert rule["domains"] == ["zoom.us"]
    everything = json.loads(run("catalog", "add", "zoom", "--print", "--unverified").output)
    assert everything["domains"] == ["zoom.us", "zoom.com"]
    assert run("catalog", "add", "duo", "--by", "programs").exit_code == 2


def test_what_speaks_against_the_bypass_is_said(tmp_path: Path) -> None:
    path = a_copy(tmp_path)
    fixable = run("catalog", "add", "google-drive", "--rules", path)
    assert fixable.stdout == f"added 'Bypass Google Drive' to {path}\n"
    assert fixable.stderr.startswith("Instead of a bypass: Google Drive for desktop reads further roots")
    wide = run("catalog", "add", "adobe", "--rules", path)
    assert "steering rules enable 'Bypass Adobe Suite (Acrobat Reader, Creative Cloud, updates)'" in wide.stderr
    assert [rule["enabled"] for rule in json.loads(path.read_text())["rules"][-2:]] == [True, False]


def test_the_configured_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)
    a_copy(tmp_path)
    assert run("catalog", "add", "signal").output == "added 'Bypass Signal' to rules.json\n"


def test_every_application_can_be_shown() -> None:
    for app in load_apps().values():
        shown = run("catalog", "show", app.id)
        assert shown.exit_code == 0
        assert all(entry in shown.output for entry in app.entries())
        assert shown.output.count("(unverified)") == len(app.unverified)
        assert (f"instead of a bypass: {app.fix}" in shown.output) is bool(app.fix)
