"""The bundle in force is the newest good one, whatever happens to the service, the network or the disk."""

import json
import time
from pathlib import Path

import pytest

from steering.endpoint.bundle import keeper as module
from steering.endpoint.bundle import store
from steering.endpoint.bundle.content import CA_TARGET, POLICY_TARGET
from steering.endpoint.bundle.keeper import BundleKeeper
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.errors import ServiceUnreachable
from tests.endpoint.bundle.repository import CA_PEM, Pair, bundle_of, pair, policy_of

REVISIONS = {name: policy_of(name)[0].revision for name in ("a.example", "b.example", "c.example")}


def keeper(made: Pair, clock: float | None = None) -> BundleKeeper:
    """A new one, as after a start."""
    now = time.time() if clock is None else clock
    return BundleKeeper(made.folder, LiveBundle(), made.client, clock=lambda: now)


async def test_the_newest_comes_into_force(tmp_path: Path) -> None:
    made = pair(tmp_path)
    kept = keeper(made)
    assert (kept.revision, kept.load()) == ("", False)
    assert await kept.update()
    assert (kept.revision, kept.ca_pem, kept.error) == (REVISIONS["a.example"], CA_PEM, "")
    assert not await kept.update()
    made.publish("b.example")
    assert await kept.update()
    assert kept.revision == REVISIONS["b.example"]


async def test_with_the_service_away_the_last_good_one_is_in_force_after_a_restart(tmp_path: Path) -> None:
    made = pair(tmp_path)
    await keeper(made).update()
    made.fetcher.is_away = True
    for _ in range(2):
        again = keeper(made)
        assert again.load()
        assert (again.revision, again.ca_pem, again.error) == (REVISIONS["a.example"], CA_PEM, "")
        with pytest.raises(ServiceUnreachable):
            await again.update()
        assert again.revision == REVISIONS["a.example"] and "cannot be reached" in again.unreachable
    made.fetcher.is_away = False
    made.publish("b.example")
    assert await again.update() and again.unreachable == ""


async def test_rules_that_nobody_vouches_for_any_more_stay_in_force_and_are_said_to_be_stale(tmp_path: Path) -> None:
    made = pair(tmp_path)
    assert keeper(made).is_stale, "nothing was ever vouched for"
    kept = keeper(made)
    await kept.update()
    assert not kept.is_stale
    late = keeper(made, time.time() + 2 * 86400)
    assert late.load() and late.is_stale and late.revision == REVISIONS["a.example"]


async def test_a_replayed_service_changes_nothing_and_is_reported(tmp_path: Path) -> None:
    made = pair(tmp_path)
    old = dict(made.repository.files)
    made.publish("b.example")
    kept = keeper(made)
    await kept.update()
    made.fetcher.files = lambda: old
    assert not await kept.update()
    assert kept.revision == REVISIONS["b.example"] and "not to be believed" in kept.error
    made.fetcher.files = lambda: made.repository.files
    assert not await kept.update()
    assert kept.error == "", "it is over"


def published(made: Pair, policy: bytes) -> None:
    made.repository.publish({POLICY_TARGET: policy, CA_TARGET: CA_PEM}, time.time())


BAD = {
    "no policy": (b"{}", "cannot be read"),
    "of the future": (json.dumps(json.loads(bundle_of("b.example")) | {"format": 2}).encode(), "update the helper"),
    "another revision": (json.dumps(json.loads(bundle_of("b.example")) | {"revision": "r"}).encode(), "differently"),
}


@pytest.mark.parametrize("case", BAD)
async def test_a_bad_bundle_is_refused_once_and_reported(tmp_path: Path, case: str) -> None:
    """Its signatures are good: the service itself made it."""
    content, why = BAD[case]
    made = pair(tmp_path)
    kept = keeper(made)
    await kept.update()
    published(made, content)
    made.fetcher.asked.clear()
    for _ in range(3):
        assert not await kept.update()
        assert why in kept.error and kept.revision == REVISIONS["a.example"]
    assert sum(path.endswith("policy.json") for path in made.fetcher.asked) == 1, "it is not fetched again"
    again = keeper(made)
    assert again.load() and again.revision == REVISIONS["a.example"]
    # The service takes it back, or makes a better one.
    made.publish("a.example")
    assert not await kept.update() and kept.error == ""
    published(made, content)
    assert not await kept.update() and why in kept.error
    made.publish("c.example")
    assert await kept.update()
    assert (kept.revision, kept.error) == (REVISIONS["c.example"], "")


async def test_a_damaged_store_is_no_policy_and_the_service_mends_it(tmp_path: Path) -> None:
    made = pair(tmp_path)
    await keeper(made).update()
    (made.folder / store.FILE).write_bytes(b"{")
    kept = keeper(made)
    assert not kept.load() and "damaged" in kept.error and kept.revision == ""
    assert await kept.update() and kept.error == ""
    assert keeper(made).load()


async def test_a_full_disk_takes_nothing_out_of_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = pair(tmp_path)
    kept = keeper(made)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_whole", full)
    assert await kept.update()
    assert kept.revision == REVISIONS["a.example"] and "cannot be kept" in kept.error


async def test_keys_that_were_rotated_while_it_was_off(tmp_path: Path) -> None:
    made = pair(tmp_path)
    await keeper(made).update()
    for _ in range(2):
        made.repository.rotate_keys(time.time())
    made.publish("b.example")
    kept = keeper(made)
    assert kept.load() and kept.revision == REVISIONS["a.example"]
    assert await kept.update() and kept.revision == REVISIONS["b.example"]


async def test_a_fault_of_ours_is_as_harmless_as_one_of_the_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pair(tmp_path)
    kept = keeper(made)
    await kept.update()
    made.publish("b.example")
    monkeypatch.setattr(module, "parse_bundle", lambda _: 1 / 0)
    assert not await kept.update()
    assert kept.revision == REVISIONS["a.example"] and "internal error: ZeroDivisionError" in kept.error
