"""``steering rules``: small changes that leave the rest of the file as it was."""

import json
from pathlib import Path

from tests.cli.runner import a_copy, run

ZOOM = "Bypass Zoom - Pre-configured"


def test_disable_changes_one_word(tmp_path: Path) -> None:
    path = a_copy(tmp_path)
    before = path.read_text()
    assert run("rules", "disable", ZOOM, "--rules", path).exit_code == 0
    changed = [(a, b) for a, b in zip(before.splitlines(), path.read_text().splitlines(), strict=True) if a != b]
    assert changed == [('      "enabled": true,', '      "enabled": false,')]
    assert run("rules", "enable", ZOOM, "--rules", path).exit_code == 0
    assert path.read_text() == before


def test_an_unknown_rule_is_wrong_use(tmp_path: Path) -> None:
    assert run("rules", "disable", "nothing", "--rules", a_copy(tmp_path)).exit_code == 2


def test_add_and_list(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"rules": []}')
    added = run("rules", "add", "Mine", "--rules", path, "--domain", "a.example", "--domain", "b.example",
                "--reason", "mtls", "--expires-at", "2027-01-01T00:00:00Z")  # fmt: skip
    assert added.exit_code == 0
    assert run("rules", "list", "--rules", path).output == "enabled   bypass   Mine: 2 domains\n"
    listed = json.loads(run("rules", "list", "--rules", path, "--json").output)
    assert listed == [
        {
            "enabled": True,
            "action": "bypass",
            "name": "Mine",
            "domains": ["a.example", "b.example"],
            "expires_at": "2027-01-01T00:00:00Z",
            "reason": "mtls",
        }
    ]


def test_what_could_not_be_enforced_is_not_written(tmp_path: Path) -> None:
    path = a_copy(tmp_path)
    before = path.read_bytes()
    for arguments in (["--domain", "com"], [], ["--expires-at", "soon", "--domain", "a.example"]):
        result = run("rules", "add", "Mine", "--rules", path, *arguments)
        assert result.exit_code == 2
        assert "nothing was written" in result.output
    assert path.read_bytes() == before


def test_diff(tmp_path: Path) -> None:
    old = a_copy(tmp_path)
    new = tmp_path / "new.json"
    new.write_bytes(old.read_bytes())
    assert (run("rules", "diff", old, new).exit_code, run("rules", "diff", old, new).output) == (0, "")
    run("rules", "disable", ZOOM, "--rules", new)
    run("rules", "add", "Mine", "--rules", new, "--domain", "a.example", "--source", "10.1.0.0/16")
    result = run("rules", "diff", old, new)
    assert (result.exit_code, result.output.splitlines()) == (
        1,
        ["- bypass zoom.us", "+ bypass a.example where source 10.1.0.0/16"],
    )
    assert json.loads(run("rules", "diff", old, new, "--json").output) == {
        "removed": [["bypass", "zoom.us", ""]],
        "added": [["bypass", "a.example", "source 10.1.0.0/16"]],
    }
