"""The last good bundle: read back as it was proved, or not at all."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steering.endpoint.bundle import store
from steering.endpoint.bundle.client import Fetched
from steering.endpoint.bundle.content import parse_bundle
from steering.endpoint.errors import BundleError
from tests.endpoint.bundle.repository import bundle_of, pair


def fetched(folder: Path, now: float | None = None) -> Fetched:
    found = pair(folder, now).client.refresh("")
    assert found is not None
    return found


def test_it_is_read_back(tmp_path: Path) -> None:
    assert store.load(tmp_path) is None
    bundle = fetched(tmp_path / "1")
    store.save(tmp_path, bundle)
    assert store.load(tmp_path) == bundle
    assert (tmp_path / store.FILE).stat().st_mode & 0o777 == 0o600
    without = Fetched(policy=bundle.policy, ca_pem=bundle.ca_pem, root=bundle.root, targets=bundle.targets)
    store.save(tmp_path, without)
    assert parse_bundle(store.load(tmp_path).policy).revision  # type: ignore[union-attr]  # it was just saved


def test_that_its_time_is_over_is_no_reason_against_it(tmp_path: Path) -> None:
    """Everything in it but the root expired long ago."""
    made = pair(tmp_path / "1", time.time() - 1000)
    kept = made.client.refresh("")
    assert kept is not None
    store.save(tmp_path, kept)
    parsed = json.loads(kept.targets)
    assert parsed["signed"]["expires"] > "2020"
    assert store.load(tmp_path) == kept


def changed(**parts: Callable[[str], str]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda content: content | {part: change(content[part]) for part, change in parts.items()}


DAMAGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "other rules": changed(policy=lambda text: text.replace("a.example", "b.example")),
    "shorter rules": changed(policy=lambda text: text[:-1]),
    "another CA": changed(ca_pem=lambda text: text + " "),
    "no CA": changed(ca_pem=lambda text: ""),
    "other hashes": changed(targets=lambda text: text.replace('"sha256":"', '"sha256":"0', 1)),
    "no signature": changed(targets=lambda text: text.replace('"sig":"', '"sig":"00', 1)),
    "no root": changed(root=lambda text: "{}"),
    "a number": lambda content: 3,
    "nothing": lambda content: {},
    "a list": lambda content: content | {"policy": []},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_said(tmp_path: Path, damage: str) -> None:
    store.save(tmp_path, fetched(tmp_path / "1"))
    file = tmp_path / store.FILE
    file.write_text(json.dumps(DAMAGES[damage](json.loads(file.read_text()))))
    with pytest.raises(BundleError, match="damaged"):
        store.load(tmp_path)


@pytest.mark.parametrize("cut", [0, 1, 100, -1])
def test_what_is_cut_is_said(tmp_path: Path, cut: int) -> None:
    store.save(tmp_path, fetched(tmp_path / "1"))
    file = tmp_path / store.FILE
    file.write_bytes(file.read_bytes()[:cut])
    with pytest.raises(BundleError, match="damaged"):
        store.load(tmp_path)


def test_keys_of_somebody_else_prove_nothing(tmp_path: Path) -> None:
    mine, other = fetched(tmp_path / "1"), fetched(tmp_path / "2")
    store.save(tmp_path, Fetched(policy=mine.policy, ca_pem=mine.ca_pem, root=other.root, targets=mine.targets))
    with pytest.raises(BundleError, match="damaged"):
        store.load(tmp_path)
    assert mine.policy == bundle_of("a.example")
