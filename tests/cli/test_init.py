"""``steering init``: made once, never overwritten, private where it must be."""

import json
from pathlib import Path

import pytest

from steering.control.config import load_config
from steering.policy.schema import schema_text
from steering.resources import starter_rules
from tests.cli.runner import nowhere, run


def test_a_folder_with_everything(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    result = run("init", folder)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"made {folder}/steering.toml",
        f"made {folder}/rules.json",
        f"made {folder}/ca/ca.pem",
        f"Next: look at {folder}/rules.json, then run 'steering serve --config {folder}/steering.toml'",
    ]
    assert (folder / "rules.json").read_bytes() == starter_rules().read_bytes()
    schema = json.loads((folder / "rules.json").read_bytes())["$schema"]
    assert (folder / schema).read_text("utf-8") == schema_text()
    loaded = load_config(folder / "steering.toml", {})
    assert (loaded.state, loaded.rules) == (folder, folder / "rules.json")
    modes = {p.name: p.stat().st_mode & 0o777 for p in (folder, *folder.glob("ca/*"), folder / "ca")}
    assert modes == {"b": 0o700, "ca": 0o700, "ca.key": 0o600, "ca.pem": 0o600}


def test_configuration_and_state_apart(tmp_path: Path) -> None:
    """As a system has them: the one to be read, the other private."""
    folder, state = tmp_path / "etc", tmp_path / 'a "state"'
    result = run("init", folder, "--state", state)
    assert result.exit_code == 0
    assert f"made {state}/ca/ca.pem" in result.output.splitlines()
    loaded = load_config(folder / "steering.toml", {})
    assert (loaded.state, loaded.rules) == (state, folder / "rules.json")
    modes = {p.name: p.stat().st_mode & 0o777 for p in (folder, *folder.iterdir(), state, state / "ca" / "ca.key")}
    assert modes == {
        "etc": 0o755,
        "steering.toml": 0o644,
        "rules.json": 0o644,
        "rules.schema.json": 0o644,
        'a "state"': 0o700,
        "ca.key": 0o600,
    }
    assert "kept" in run("init", folder, "--state", state).output


def test_what_is_there_stays(tmp_path: Path) -> None:
    run("init", tmp_path)
    (tmp_path / "rules.json").write_text('{"rules": []}')
    (tmp_path / "steering.toml").unlink()
    (tmp_path / "rules.schema.json").write_text("of an older version")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file() and p.name != "rules.schema.json"}
    result = run("init", tmp_path)
    assert [line.split()[0] for line in result.output.splitlines()] == ["made", "kept", "kept", "Next:"]
    assert {p: p.read_bytes() for p in before} == before
    assert (tmp_path / "rules.schema.json").read_text("utf-8") == schema_text()


def test_what_init_made_is_accepted_by_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)
    run("init", "var")
    result = run("check")
    assert (result.exit_code, "var/rules.json can be enforced" in result.output) == (0, True)


def test_what_is_no_folder_is_wrong_use(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for folder in (file, file / "below"):
        result = run("init", folder)
        assert (result.exit_code, result.stdout) == (2, "")
        assert len(result.stderr.splitlines()) == 1


def test_a_passphrase_encrypts_the_key_from_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STEERING_CA_PASSPHRASE", "correct horse")
    assert run("init", tmp_path).exit_code == 0
    assert b"ENCRYPTED" in (tmp_path / "ca" / "ca.key").read_bytes()
    assert run("ca", "show", "--state", tmp_path).exit_code == 0
    monkeypatch.delenv("STEERING_CA_PASSPHRASE")
    assert run("ca", "show", "--state", tmp_path).exit_code == 1
