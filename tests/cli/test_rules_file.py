"""Which rules file a command takes, and what keeps it from being changed."""

import json
from pathlib import Path

import pytest
import typer

from steering.cli.rules_file import add_rule, change, find_rules, load_rules_file
from tests.cli.runner import a_copy, nowhere

RULE: dict[str, object] = {"name": "mine", "domains": ["mine.example"]}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere(tmp_path, monkeypatch)


def test_the_file_named_else_the_configured_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``steering serve`` takes it: a relative path starts from the configuration's folder."""
    (tmp_path / "var").mkdir()
    for name in ("rules.json", "var/rules.json", "var/other.json"):
        (tmp_path / name).write_text('{"rules": []}')
    assert find_rules(Path("any.json")) == Path("any.json")
    assert find_rules(None) == Path("rules.json")
    (tmp_path / "var" / "steering.toml").write_text("")
    assert find_rules(None) == Path("var/rules.json")
    (tmp_path / "mine.toml").write_text('[policy]\nrules = "var/other.json"')
    assert find_rules(None, Path("mine.toml")) == Path("var/other.json")
    monkeypatch.setenv("STEERING_POLICY_RULES", "other.json")
    assert find_rules(None) == Path("var/other.json")


def test_elsewhere_it_is_named_in_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = a_copy(tmp_path)
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    (tmp_path / "steering.toml").write_text("")
    assert find_rules(None, Path("../steering.toml")).samefile(path)


def says(capsys: pytest.CaptureFixture[str], code: int, caught: pytest.ExceptionInfo[typer.Exit]) -> str:
    assert caught.value.exit_code == code
    return capsys.readouterr().err


def test_without_any_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        find_rules(None)
    assert says(capsys, 2, caught).startswith("there is no rules file at rules.json: name one")


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "r.json:1:1 error: the file ends where a value is expected"),
        (b"\x00\xff\xfe" * 100, "r.json:1:2 error: the byte 0xff is not UTF-8"),
        (b'{"rules": [{"name": "a"}]}', "r.json:1:12 error: 'a' has no condition at all"),
        (b"[" * 100_000, "r.json:1:"),
    ],
    ids=["empty", "binary", "wrong", "deep"],
)
def test_what_cannot_be_enforced_is_neither_loaded_nor_changed(
    content: bytes, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = Path("r.json")
    path.write_bytes(content)
    with pytest.raises(typer.Exit) as caught:
        load_rules_file(path)
    assert line in says(capsys, 2, caught)
    with pytest.raises(typer.Exit) as caught:
        add_rule(path, RULE)
    assert line in says(capsys, 2, caught)
    assert path.read_bytes() == content
    assert [p.name for p in tmp_path.iterdir()] == ["r.json"]


@pytest.mark.parametrize(
    ("path", "line"),
    [("missing.json", "missing.json: No such file or directory"), (".", ".: Is a directory")],
)
def test_what_cannot_be_opened(path: str, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as caught:
        load_rules_file(Path(path))
    assert says(capsys, 2, caught) == line + "\n"
    with pytest.raises(typer.Exit) as caught:
        add_rule(Path(path), RULE)
    assert says(capsys, 2, caught) == line + "; nothing was written\n"


def test_a_change_leaves_the_rest_to_the_byte(tmp_path: Path) -> None:
    path = a_copy(tmp_path)
    before = path.read_text("utf-8")
    add_rule(path, RULE)
    after = path.read_text("utf-8")
    start, end = before.rstrip()[:-1].rstrip()[:-1].rstrip(), before[before.rindex("]") :]
    assert after.startswith(start + ",\n")
    assert after.endswith(end)
    assert json.loads(after)["rules"][-1] == RULE


def test_a_disk_that_is_full_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = a_copy(tmp_path)
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(typer.Exit) as caught:
        change(path, lambda text: text)
    assert "No space left on device; nothing was written" in says(capsys, 2, caught).replace("\n", " ")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["rules.json"]


@pytest.mark.parametrize(
    ("rule", "remark"),
    [
        ({"name": "a", "domains": ["mine.example.com"]}, ""),
        ({"name": "a", "domains": ["a.zoom.us"]}, "'zoom.us' in rule 'Bypass Zoom - Pre-configured' covers it"),
        ({"name": "a", "domains": ["mine.example.com"], "expires_at": "2020-01-01T00:00:00Z"}, "'a' has expired"),
        ({"name": "a", "programs": ["python"]}, "'python' runs other people's programs"),
    ],
    ids=["nothing", "covered", "expired", "interpreter"],
)
def test_what_is_to_be_remarked_about_a_new_rule_is_said(
    rule: dict[str, object], remark: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    add_rule(a_copy(tmp_path), rule)
    said = capsys.readouterr().err
    assert remark in said
    assert "akadns.net" not in said  # what was there before is for steering check
    assert bool(said) == bool(remark)
