"""The keys of bundles: made once, private, replaced whole."""

import json
from pathlib import Path

import pytest

from steering.control.bundle_keys import FOLDER, KEYS, NEXT, ROLES, BundleKeys, KeyFolder, new_keys
from steering.control.errors import StateError


def ids(keys: BundleKeys) -> list[str]:
    return [keys.signers[role].public_key.keyid for role in ROLES]


def test_they_are_made_once_and_differ(tmp_path: Path) -> None:
    first = KeyFolder(tmp_path).load_or_make()
    assert len(set(ids(first))) == 4
    assert ids(KeyFolder(tmp_path).load_or_make(first.root_id)) == ids(first)
    assert (tmp_path / FOLDER / KEYS).stat().st_mode & 0o777 == 0o600
    assert (tmp_path / FOLDER).stat().st_mode & 0o777 == 0o700


def test_a_passphrase_encrypts_them(tmp_path: Path) -> None:
    first = KeyFolder(tmp_path, b"secret").load_or_make()
    assert "ENCRYPTED" in json.loads((tmp_path / FOLDER / KEYS).read_text())["root"]
    assert ids(KeyFolder(tmp_path, b"secret").load_or_make()) == ids(first)
    for wrong in (b"other", None):
        with pytest.raises(StateError, match="holds no keys"):
            KeyFolder(tmp_path, wrong).load_or_make()


def test_lost_keys_are_not_replaced_in_silence(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="enrolled again"):
        KeyFolder(tmp_path).load_or_make("the id of a root key that helpers trust")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"root": "x"}'])
def test_damaged_keys_are_said(tmp_path: Path, content: str) -> None:
    KeyFolder(tmp_path).load_or_make()
    (tmp_path / FOLDER / KEYS).write_text(content)
    with pytest.raises(StateError, match="holds no keys"):
        KeyFolder(tmp_path).load_or_make()


def test_keys_that_others_can_read_are_refused(tmp_path: Path) -> None:
    KeyFolder(tmp_path).load_or_make()
    (tmp_path / FOLDER / KEYS).chmod(0o640)
    with pytest.raises(StateError, match="chmod 600"):
        KeyFolder(tmp_path).load_or_make()


@pytest.mark.parametrize("is_out", [False, True])
def test_a_rotation_that_was_cut_short(tmp_path: Path, is_out: bool) -> None:
    """The root that is out decides which keys are in force."""
    folder = KeyFolder(tmp_path)
    old, coming = folder.load_or_make(), new_keys()
    folder.prepare(coming)
    trusted = coming if is_out else old
    assert ids(KeyFolder(tmp_path).load_or_make(trusted.root_id)) == ids(trusted)
    assert not (tmp_path / FOLDER / NEXT).exists()
    assert ids(KeyFolder(tmp_path).load_or_make(trusted.root_id)) == ids(trusted)
