"""Group tokens: random, kept as hashes, revoked at once."""

import json
from pathlib import Path

import pytest

from steering.control import tokens
from steering.control.errors import StateError
from steering.control.tokens import Tokens


def test_a_token_is_shown_once_and_kept_as_a_hash(tmp_path: Path) -> None:
    known = Tokens.load(tmp_path / "t.json")
    token = known.add("sales")
    assert len(token) == 32 and known.group_of(token) == "sales"
    assert token not in (tmp_path / "t.json").read_text()
    assert (tmp_path / "t.json").stat().st_mode & 0o777 == 0o600
    assert Tokens.load(tmp_path / "t.json").group_of(token) == "sales"
    assert [row["group"] for row in known.listed()] == ["sales"] and token not in str(known.listed())


@pytest.mark.parametrize("wrong", ["", "x", "\x00", "\udce4", "a" * 100_000])
def test_what_is_no_token_claims_nothing(tmp_path: Path, wrong: str) -> None:
    known = Tokens.load(tmp_path / "t.json")
    known.add("sales")
    assert known.group_of(wrong) is None


def test_revoking_by_id_and_by_group(tmp_path: Path) -> None:
    known = Tokens.load(tmp_path / "t.json")
    first, second, other = known.add("a"), known.add("a"), known.add("b")
    by_id = known.listed()[0]["id"]
    assert known.revoke(by_id) == 1
    assert (known.group_of(first), known.group_of(second), known.group_of(other)) == (None, "a", "b")
    assert known.revoke("a") == 1
    assert known.revoke("a") == 0
    again = Tokens.load(tmp_path / "t.json")
    assert (again.group_of(second), again.group_of(other)) == (None, "b")


@pytest.mark.parametrize("text", ["", "[]", "{", '{"x": 1}', '{"x": ["a"]}', "\xff"])
def test_a_broken_file_is_no_empty_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "t.json").write_text(text, "latin-1")
    with pytest.raises(StateError, match=r"t\.json cannot be read"):
        Tokens.load(tmp_path / "t.json")


def test_a_full_disk_makes_no_token_and_still_revokes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = Tokens.load(tmp_path / "t.json")
    token = known.add("a")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tokens, "write_whole", full)
    with pytest.raises(StateError, match="No space left"):
        known.add("b")
    assert [row["group"] for row in known.listed()] == ["a"]
    with pytest.raises(StateError):
        known.revoke("a")
    assert known.group_of(token) is None
    assert json.loads((tmp_path / "t.json").read_text()), "the file could not be changed"


def test_the_number_of_tokens_ends_somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokens, "MAX_TOKENS", 2)
    known = Tokens.load(tmp_path / "t.json")
    known.add("a")
    known.add("a")
    with pytest.raises(StateError, match="revoke some"):
        known.add("a")
