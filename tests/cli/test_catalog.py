"""``steering catalog``: list, show, and a rule in the file."""

import json
from pathlib import Path

from tests.cli.runner import a_copy, run


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
