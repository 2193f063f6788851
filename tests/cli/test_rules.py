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


SQUID = """\
acl pinned ssl::server_name .a.example www.b.example
acl re ssl::server_name_regex x
ssl_bump splice pinned
ssl_bump splice re
ssl_bump bump all
"""
TAKEN = {"name": "Squid: pinned", "enabled": True, "action": "bypass", "domains": ["a.example", "=www.b.example"]}


def test_import_writes_only_when_told_to(tmp_path: Path) -> None:
    rules, conf = a_copy(tmp_path), tmp_path / "squid.conf"
    conf.write_text(SQUID)
    before = rules.read_text()
    shown = run("rules", "import", "squid", conf, "--rules", rules)
    assert (shown.exit_code, rules.read_text()) == (1, before)
    assert shown.stdout.splitlines() == [
        "dialect: '.example.com' is the name and its subdomains, 'example.com' that name alone",
        "+ Squid: pinned: bypass",
        "    domains: a.example",
        "    domains: =www.b.example",
        f"nothing was written; --write adds them to {rules}",
    ]
    assert [line.split(": ")[0] for line in shown.stderr.splitlines()] == [f"{conf}:2", f"{conf}:4"]
    for count in (1, 2):
        assert run("rules", "import", "squid", conf, "--rules", rules, "--write").exit_code == 1
        assert len(json.loads(rules.read_text())["rules"]) == len(json.loads(before)["rules"]) + count
    written = json.loads(rules.read_text())["rules"][-2:]
    assert written == [TAKEN, TAKEN | {"name": "Squid: pinned (2)"}]
    assert run("check", rules).exit_code == 0


def test_import_as_json(tmp_path: Path) -> None:
    rules, conf = a_copy(tmp_path), tmp_path / "squid.conf"
    conf.write_text("acl a dstdomain .a.example\nssl_bump terminate a\n")
    result = run("rules", "import", "squid", conf, "--rules", rules, "--json", "--write")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {
        "format": "squid",
        "dialect": "'.example.com' is the name and its subdomains, 'example.com' that name alone",
        "rules": [{"name": "Squid: a", "enabled": True, "action": "block", "domains": ["a.example"]}],
        "problems": [],
    }


def test_import_of_what_cannot_be_read_is_wrong_use(tmp_path: Path) -> None:
    rules, bad = a_copy(tmp_path), tmp_path / "bad.txt"
    bad.write_bytes(b"a.example\n\xff\n")
    assert run("rules", "import", "nothing", bad, "--rules", rules).exit_code == 2
    assert run("rules", "import", "domains", tmp_path / "none", "--rules", rules).exit_code == 2
    result = run("rules", "import", "domains", bad, "--rules", rules)
    assert (result.exit_code, result.output.startswith(f"{bad}:2: this is not UTF-8")) == (2, True)
