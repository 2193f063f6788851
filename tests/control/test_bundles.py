"""The repository that helpers fetch from: signed afresh in time, versions that only grow, also after a loss."""

import gzip
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

import pytest
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp

from steering.control import bundles as module
from steering.control.bundles import KEPT_PUBLICATIONS, BundleRepository
from steering.control.errors import StateError

NOW = 1_800_000_000.0
HOUR_S, DAY_S = 3600.0, 86400.0
FIRST, SECOND = {"policy.json": b"one", "ca.pem": b"ca"}, {"policy.json": b"two", "ca.pem": b"ca"}
Versions = tuple[int, int, int, int]
_Signed = TypeVar("_Signed", Root, Targets, Snapshot, Timestamp)


def newest(made: BundleRepository, kind: type[_Signed]) -> _Signed:
    ending = "timestamp.json" if kind is Timestamp else f".{kind.type}.json"
    found = [Metadata[_Signed].from_bytes(f.body).signed for name, f in made.files.items() if name.endswith(ending)]
    return max(found, key=lambda signed: signed.version)


def versions(made: BundleRepository) -> Versions:
    """Of root, targets, snapshot and timestamp, the last three counted from the first publication."""
    return (
        newest(made, Root).version,
        newest(made, Targets).version - int(NOW),
        newest(made, Snapshot).version - int(NOW),
        newest(made, Timestamp).version - int(NOW),
    )


def expiries(made: BundleRepository) -> tuple[datetime, ...]:
    return (
        newest(made, Root).expires,
        newest(made, Targets).expires,
        newest(made, Snapshot).expires,
        newest(made, Timestamp).expires,
    )


def moment(days: float) -> datetime:
    return datetime.fromtimestamp(NOW + days * DAY_S, UTC)


@pytest.fixture
def made(tmp_path: Path) -> BundleRepository:
    repository = BundleRepository(tmp_path, NOW)
    assert repository.publish(FIRST, NOW)
    return repository


def test_a_first_publication(made: BundleRepository) -> None:
    assert expiries(made) == (moment(365), moment(30), moment(7), moment(1))
    assert versions(made) == (1, 0, 0, 0)
    assert newest(made, Root).consistent_snapshot
    assert sorted(name.rpartition(".")[2] for name in made.files) == ["json"] * 5 + ["pem"]


def test_the_same_again_changes_nothing(made: BundleRepository) -> None:
    before = made.files
    assert not made.publish(FIRST, NOW + 60)
    assert made.files is before


def test_another_content_is_another_version_of_all_but_root(made: BundleRepository) -> None:
    assert made.publish(SECOND, NOW)
    assert versions(made) == (1, 1, 1, 1)
    assert made.content("policy.json") == b"two" and made.content("none") == b""


# Seconds since the first publication -> versions after a refresh.  Later versions are those of the clock.
DUE: dict[float, tuple[bool, bool, bool, bool]] = {
    HOUR_S - 1: (False, False, False, False),
    HOUR_S: (False, False, False, True),
    3.5 * DAY_S - 1: (False, False, False, True),
    3.5 * DAY_S: (False, False, True, True),
    15 * DAY_S - 1: (False, False, True, True),
    15 * DAY_S: (False, True, True, True),
    182.5 * DAY_S - 1: (False, True, True, True),
    182.5 * DAY_S: (True, True, True, True),
}


@pytest.mark.parametrize("after_s", DUE)
def test_what_is_due_is_signed_again(made: BundleRepository, after_s: float) -> None:
    before = versions(made)
    made.refresh(NOW + after_s)
    assert tuple(new > old for new, old in zip(versions(made), before, strict=True)) == DUE[after_s]


@pytest.mark.parametrize("restart_s", [0.0, -5000.0, 60.0])
def test_a_restart_goes_on(tmp_path: Path, made: BundleRepository, restart_s: float) -> None:
    """Also with a clock that was set back.  The content need not be fetched again."""
    made.publish(SECOND, NOW)
    before = made.files
    again = BundleRepository(tmp_path, NOW + restart_s)
    assert again.content("policy.json") == b"two"
    assert not again.publish(SECOND, NOW + restart_s)
    root, targets, snapshot, timestamp = versions(again)
    assert (root, targets, snapshot) == (1, 1, 1) and timestamp > 1
    same = {name for name in again.files if name != "metadata/timestamp.json"}
    assert all(again.files[name].body == before[name].body for name in same)


@pytest.mark.parametrize("lost", ["bundle/metadata/timestamp.json", "bundle/metadata", "bundle/targets", "bundle"])
def test_what_is_lost_is_made_anew_with_higher_versions(tmp_path: Path, made: BundleRepository, lost: str) -> None:
    before = versions(made)
    path = tmp_path / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    again = BundleRepository(tmp_path, NOW + 60)
    again.publish(FIRST, NOW + 60)
    assert versions(again)[3] > before[3]
    assert all(new >= old for new, old in zip(versions(again), before, strict=True))


@pytest.mark.parametrize("damage", [b"", b"{", b"[]"])
def test_a_damaged_root_stops_and_other_damage_does_not(tmp_path: Path, made: BundleRepository, damage: bytes) -> None:
    for path in (tmp_path / "bundle").glob("*/*"):
        if not path.name.endswith("root.json"):
            path.write_bytes(damage)
    assert BundleRepository(tmp_path, NOW + 9).publish(FIRST, NOW + 9)
    (tmp_path / "bundle/metadata/1.root.json").write_bytes(damage)
    with pytest.raises(StateError, match="damaged"):
        BundleRepository(tmp_path, NOW)


def test_old_files_go_after_some_publications(tmp_path: Path, made: BundleRepository) -> None:
    names = set()
    for number in range(KEPT_PUBLICATIONS + 2):
        made.publish({"policy.json": f"p{number}".encode()}, NOW + number)
        names |= set(made.files)
        on_disk = {path.relative_to(tmp_path / "bundle").as_posix() for path in (tmp_path / "bundle").glob("*/*")}
        assert on_disk == set(made.files)
    assert sum(name.endswith("policy.json") for name in made.files) == KEPT_PUBLICATIONS
    assert len(names) > len(made.files)


def test_rotating_keys(tmp_path: Path, made: BundleRepository) -> None:
    old = newest(made, Root)
    made.rotate_keys(NOW + 5)
    new = newest(made, Root)
    assert (new.version, old.roles[Root.type].keyids != new.roles[Root.type].keyids) == (2, True)
    signed = Metadata[Root].from_bytes(made.files["metadata/2.root.json"].body)
    assert set(signed.signatures) == {*old.roles[Root.type].keyids, *new.roles[Root.type].keyids}
    old.verify_delegate(Root.type, signed.signed_bytes, signed.signatures)
    assert versions(made)[3] > 0
    again = BundleRepository(tmp_path, NOW + 6)
    again.publish(FIRST, NOW + 6)
    timestamp = Metadata[Timestamp].from_bytes(again.files["metadata/timestamp.json"].body)
    new.verify_delegate(Timestamp.type, timestamp.signed_bytes, timestamp.signatures)


def test_what_is_large_is_served_packed_too(made: BundleRepository) -> None:
    made.publish({"policy.json": b"rule " * 1000, "ca.pem": b"x" * 100}, NOW)
    by_name = {name.partition(".")[2]: file for name, file in made.files.items() if name.startswith("targets/")}
    assert gzip.decompress(by_name["policy.json"].gzip) == b"rule " * 1000
    assert by_name["ca.pem"].gzip == b""


def test_on_a_full_disk_it_is_served_and_said(
    tmp_path: Path, made: BundleRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(module, "write_whole", full)
        assert made.publish(SECOND, NOW + 1)
        assert "cannot be kept" in made.problem and versions(made)[1] == 1
        patched.setattr("steering.control.bundle_keys.write_whole", full)
        with pytest.raises(OSError, match="No space"):
            made.rotate_keys(NOW + 2)
        assert newest(made, Root).version == 1
    made.publish(FIRST, NOW + 3)
    assert made.problem == ""
    assert BundleRepository(tmp_path, NOW + 4).content("policy.json") == b"one"
