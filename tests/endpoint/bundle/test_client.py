"""The helper takes the service's newest bundle, and of everything that an attacker may show in its place, nothing.

Who can answer for the service, but has none of its keys, may replay, hold back, mix and cut; each is refused by name,
and what the helper knows afterwards is what it knew before.
"""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from steering.control.bundles import File
from steering.endpoint.bundle.client import BundleClient, BundleExpired
from steering.endpoint.bundle.content import CA_TARGET, POLICY_TARGET
from steering.endpoint.errors import BundleError, ServiceUnreachable
from tests.endpoint.bundle.repository import CA_PEM, Pair, bundle_of, pair

Files = dict[str, File]
DAY_S = 86400.0


def seen(made: Pair) -> tuple[bytes, bytes]:
    fetched = made.client.refresh("")
    assert fetched is not None
    return fetched.policy, fetched.ca_pem


def test_the_newest_is_fetched_and_nothing_twice(tmp_path: Path) -> None:
    made = pair(tmp_path)
    fetched = made.client.refresh("")
    assert fetched is not None
    assert (fetched.policy, fetched.ca_pem) == (bundle_of("a.example"), CA_PEM)
    made.fetcher.asked.clear()
    assert made.client.refresh(fetched.digest) is None
    assert made.fetcher.asked == ["metadata/2.root.json", "metadata/timestamp.json"]
    made.publish("b.example")
    assert seen(made) == (bundle_of("b.example"), CA_PEM)


def test_a_bundle_without_ca(tmp_path: Path) -> None:
    made = pair(tmp_path)
    made.repository.publish({POLICY_TARGET: bundle_of("a.example")}, time.time())
    fetched = made.client.refresh("")
    assert fetched is not None and fetched.ca_pem == b"" and fetched.digest.endswith(":")
    made.repository.publish({CA_TARGET: CA_PEM}, time.time())
    with pytest.raises(BundleError, match="shows no policy"):
        made.client.refresh("")


def test_how_long_it_is_vouched_for(tmp_path: Path) -> None:
    now = time.time()
    made = pair(tmp_path, now)
    assert made.client.fresh_until() == 0.0
    made.client.refresh("")
    assert made.client.fresh_until() == int(now) + DAY_S


def test_nobody_there(tmp_path: Path) -> None:
    made = pair(tmp_path)
    made.fetcher.is_away = True
    with pytest.raises(ServiceUnreachable):
        made.client.refresh("")


# Attacks.  old: the files of a time before; new: those of now -> what the attacker shows.


def rollback(old: Files, new: Files) -> Files:
    return old


def older_snapshot(old: Files, new: Files) -> Files:
    """The newest timestamp says which snapshot; another one under its name."""
    return new | {_only(new, "snapshot.json", old): _one(old, "snapshot.json")}


def older_targets(old: Files, new: Files) -> Files:
    return new | {_only(new, "targets.json", old): _one(old, "targets.json")}


def mixed(old: Files, new: Files) -> Files:
    """The new metadata with the old policy."""
    return new | {_only(new, "policy.json", old): _one(old, "policy.json")}


def truncated(old: Files, new: Files) -> Files:
    name = _only(new, "policy.json", old)
    return new | {name: File(new[name].body[:-1])}


def padded(old: Files, new: Files) -> Files:
    name = _only(new, "policy.json", old)
    return new | {name: File(new[name].body + b" ")}


def endless_timestamp(old: Files, new: Files) -> Files:
    return new | {"metadata/timestamp.json": File(b" " * 20_000)}


def truncated_timestamp(old: Files, new: Files) -> Files:
    return new | {"metadata/timestamp.json": File(new["metadata/timestamp.json"].body[:-10])}


def unsigned(old: Files, new: Files) -> Files:
    body = new["metadata/timestamp.json"].body
    start = body.index(b'"sig":"') + 7
    return new | {"metadata/timestamp.json": File(body[:start] + b"00" + body[start + 2 :])}


def missing(old: Files, new: Files) -> Files:
    return {name: file for name, file in new.items() if not name.endswith("snapshot.json")}


def _one(files: Files, ending: str) -> File:
    return next(file for name, file in files.items() if name.endswith(ending))


def _only(files: Files, ending: str, not_in: Files) -> str:
    (name,) = (name for name in files if name.endswith(ending) and name not in not_in)
    return name


ATTACKS: dict[Callable[[Files, Files], Files], str] = {
    rollback: "must be >=",
    older_snapshot: "snapshot version",
    older_targets: "Expected targets v",
    mixed: "not to be believed",
    truncated: "not to be believed",
    padded: "not to be believed",
    endless_timestamp: "not to be believed",
    truncated_timestamp: "not to be believed",
    unsigned: "not to be believed",
    missing: "not whole",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_attacks_are_refused_and_forgotten(tmp_path: Path, attack: Callable[[Files, Files], Files]) -> None:
    made = pair(tmp_path)
    old = dict(made.repository.files)
    if attack is rollback:
        made.publish("b.example")
    known = made.client.refresh("")
    assert known is not None
    if attack is not rollback:
        made.publish("b.example")
    new = dict(made.repository.files)
    made.fetcher.files = lambda: attack(old, new)
    for _ in range(2):
        with pytest.raises(BundleError, match=ATTACKS[attack]):
            made.client.refresh(known.digest)
    made.fetcher.files = lambda: new
    assert seen(made)[0] == bundle_of("b.example"), "the service itself is believed as before"


def test_a_service_with_other_keys(tmp_path: Path) -> None:
    made, other = pair(tmp_path / "1"), pair(tmp_path / "2")
    made.client.refresh("")
    other.publish("evil.example")
    made.fetcher.files = lambda: other.repository.files
    with pytest.raises(BundleError, match="not to be believed"):
        made.client.refresh("")
    fresh = pair(tmp_path / "3")
    fresh.fetcher.files = lambda: other.repository.files
    with pytest.raises(BundleError, match="not to be believed"):
        fresh.client.refresh("")


def test_frozen_in_time(tmp_path: Path) -> None:
    """What is replayed unchanged is believed until its signed time is over, and then no more."""
    now = time.time()
    made = pair(tmp_path, now - DAY_S + 3600)
    known = made.client.refresh("")
    assert known is not None and made.client.refresh(known.digest) is None
    late = pair(tmp_path / "late", now - DAY_S - 10)
    with pytest.raises(BundleExpired, match="clock is wrong"):
        late.client.refresh("")
    assert late.client.fresh_until() < now
    late.repository.refresh(now)
    assert late.client.refresh("") is not None, "the service signs again"


# Rotation


def test_new_keys_are_followed(tmp_path: Path) -> None:
    made = pair(tmp_path)
    known = made.client.refresh("")
    assert known is not None
    before = dict(made.repository.files)
    made.repository.rotate_keys(time.time())
    assert made.client.refresh(known.digest) is None, "other keys, the same bundle"
    made.publish("b.example")
    assert seen(made)[0] == bundle_of("b.example")
    # Who stole the old keys has nothing any more.
    made.fetcher.files = lambda: before
    with pytest.raises(BundleError, match="not to be believed"):
        made.client.refresh("")


def test_a_helper_that_slept_through_many_rotations(tmp_path: Path) -> None:
    made = pair(tmp_path)
    for _ in range(5):
        made.repository.rotate_keys(time.time())
    made.publish("b.example")
    assert seen(made)[0] == bundle_of("b.example")


def test_a_root_that_the_old_one_does_not_vouch_for(tmp_path: Path) -> None:
    made, other = pair(tmp_path / "1"), pair(tmp_path / "2")
    made.client.refresh("")
    other.repository.rotate_keys(time.time())
    made.fetcher.files = lambda: other.repository.files
    with pytest.raises(BundleError, match="not to be believed"):
        made.client.refresh("")


# The helper's disk


@pytest.mark.parametrize("damage", [b"", b"{", b"\xff" * 100])
@pytest.mark.parametrize("file", ["timestamp.json", "snapshot.json", "targets.json"])
def test_what_is_damaged_is_fetched_again(tmp_path: Path, file: str, damage: bytes) -> None:
    made = pair(tmp_path)
    made.client.refresh("")
    (made.folder / "metadata" / file).write_bytes(damage)
    assert seen(made)[0] == bundle_of("a.example")


def test_a_damaged_cached_policy_is_fetched_again(tmp_path: Path) -> None:
    made = pair(tmp_path)
    made.client.refresh("")
    for path in (made.folder / "targets").iterdir():
        path.write_bytes(b"x")
    assert seen(made) == (bundle_of("a.example"), CA_PEM)


def test_without_its_root_it_trusts_nobody(tmp_path: Path) -> None:
    made = pair(tmp_path)
    (made.folder / "root.json").unlink()
    with pytest.raises(OSError, match=r"root\.json"):
        made.client.refresh("")
    assert isinstance(made.client, BundleClient)
