"""``steering rules``: small changes that leave the rest of the file as it was."""

import json
import subprocess
from pathlib import Path

from tests.cli.runner import STEERING, a_copy, run
from tests.service import environment

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


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    path = a_copy(tmp_path)
    adding = [
        subprocess.Popen(
            [*STEERING, "rules", "add", f"r{i}", "--rules", path, "--domain", f"r{i}.example"],
            cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL,
        )
        for i in range(3)
    ]  # fmt: skip
    assert [process.wait(60) for process in adding] == [0, 0, 0]
    assert {rule["name"] for rule in json.loads(path.read_text())["rules"][-3:]} == {"r0", "r1", "r2"}


def test_a_link_stays_a_link_with_the_files_mode(tmp_path: Path) -> None:
    path = a_copy(tmp_path)
    path.chmod(0o640)
    link = tmp_path / "link.json"
    link.symlink_to(path.name)
    assert run("rules", "disable", ZOOM, "--rules", link).exit_code == 0
    assert (link.is_symlink(), path.stat().st_mode & 0o777) == (True, 0o640)
    assert json.loads(path.read_text())["rules"][13]["enabled"] is False


def test_a_rule_of_every_kind(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text('{"groups": {"g": {"networks": ["10.0.0.0/8"]}}, "rules": []}')
    arguments = {
        "--action": "block", "--source": "group:g", "--program": "linux:zoom", "--domain": "*.a.example",
        "--category": "legal", "--address": "192.0.2.0/24", "--not-before": "2026-01-01T00:00:00Z",
        "--expires-at": "2027-01-01T00:00:00Z", "--reason": "privacy", "--owner": "ann", "--ticket": "T1",
        "--note": "n",
    }  # fmt: skip
    given = [part for pair in arguments.items() for part in pair]
    assert run("rules", "add", "Mine", "--rules", path, *given).exit_code == 0
    assert json.loads(path.read_text())["rules"] == [
        {
            "name": "Mine",
            "enabled": True,
            "action": "block",
            "source": ["group:g"],
            "programs": ["linux:zoom"],
            "domains": ["*.a.example"],
            "categories": ["legal"],
            "addresses": ["192.0.2.0/24"],
            "not_before": "2026-01-01T00:00:00Z",
            "expires_at": "2027-01-01T00:00:00Z",
            "reason": "privacy",
            "owner": "ann",
            "ticket": "T1",
            "note": "n",
        }
    ]
    listed = "source group:g, program linux:zoom, domain *.a.example, category Legal, address 192.0.2.0/24"
    assert run("rules", "list", "--rules", path).output == f"enabled   block    Mine: {listed}\n"
    twice = run("rules", "add", "Mine", "--rules", path, "--domain", "b.example")
    assert (twice.exit_code, "nothing was written" in twice.stderr) == (2, True)


def test_diff_of_what_cannot_be_read(tmp_path: Path) -> None:
    good = a_copy(tmp_path)
    for bad in (tmp_path / "missing.json", tmp_path):
        for pair in ((good, bad), (bad, good)):
            assert run("rules", "diff", *pair).exit_code == 2
