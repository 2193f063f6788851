"""Rules are put in force when the file or the time says so; whatever goes wrong, what is in force stays."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from steering.control.errors import PolicyUnusable
from steering.control.policystore import Enforced
from steering.control.reloading import Reloading
from steering.control.state import open_state
from steering.control.status import Status
from steering.pac.errors import PacError
from steering.pac.publish import PacSet, PacSettings
from steering.policy import Policy
from tests.control.rigs import enforced_of
from tests.kit import eventually
from tests.service import RULES, rules_text

WWW: dict[str, Any] = {"name": "www", "domains": ["www.example"]}


@dataclass
class Rig:
    """made: the texts that were made something of.  published: the revisions that were put in force.

    pacs: the PACs that are served.  broken: raised instead of making.  unpublished: raised instead of publishing.
    unfollowed: raised instead of making PACs.  held: what making PACs waits for.
    """

    folder: Path
    made: list[bytes] = field(default_factory=list)
    published: list[str] = field(default_factory=list)
    broken: Exception | None = None
    pacs: list[PacSet] = field(default_factory=list)
    unpublished: Exception | None = None
    unfollowed: Exception | None = None
    held: asyncio.Event | None = None
    status: Status = field(default_factory=lambda: Status(state="ok"))

    @property
    def rules(self) -> Path:
        return self.folder / "rules.json"

    def first(self, source: bytes, shown: str) -> Enforced:
        enforced = self.make(source, shown)
        return replace(enforced, pacs=self.pacs_of(enforced.policy))

    def pacs_of(self, policy: Policy) -> PacSet:
        return PacSet(policy, time.time(), PacSettings(inspectors=("proxy.example:3128",)))

    def make(self, source: bytes, shown: str) -> Enforced:
        self.made.append(source)
        if self.broken:
            raise self.broken
        try:
            return replace(enforced_of(json.loads(source)["rules"]), pacs=None)
        except ValueError as exc:
            raise PolicyUnusable(f"{shown}:1:1 {exc}", "rules.json:1:1") from exc

    async def publish(self, enforced: Enforced) -> None:
        await asyncio.sleep(0.01)
        if self.unpublished:
            raise self.unpublished
        self.published.append(enforced.policy.revision)

    async def follow(self, policy: Policy) -> PacSet:
        if self.held is not None:
            await self.held.wait()
        if self.unfollowed:
            raise self.unfollowed
        self.pacs.append(self.pacs_of(policy))
        return self.pacs[-1]

    def reloading(self) -> Reloading:
        return Reloading(
            self.rules,
            open_state(self.folder / "state"),
            self.status,
            first=self.first,
            make=self.make,
            publish=self.publish,
            follow=self.follow,
        )

    def write(self, rules: Sequence[dict[str, Any]]) -> None:
        self.rules.write_bytes(rules_text(rules))


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    made = Rig(tmp_path)
    made.write(RULES)
    return made


@contextlib.asynccontextmanager
async def serving(reloading: Reloading) -> AsyncIterator[None]:
    task = asyncio.create_task(reloading.serve())
    try:
        yield
        assert not task.done(), task.result()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_from_the_file(rig: Rig) -> None:
    reloading = rig.reloading()
    assert reloading.enforced.source == rules_text(RULES)
    assert (rig.status.state, rig.status.rules, rig.status.enabled, rig.status.names) == ("ok", 2, 2, 2)
    assert rig.status.revision == reloading.enforced.policy.revision


async def test_from_the_last_good_rules(rig: Rig) -> None:
    rig.reloading().save()
    rig.rules.write_bytes(b"{")
    reloading = rig.reloading()
    assert reloading.enforced.source == rules_text(RULES)
    assert (rig.status.state, rig.status.summary) == ("degraded", "rules.json:1:1")
    (rig.folder / "state" / "last-good-rules.json").write_bytes(b"[")
    with pytest.raises(PolicyUnusable):
        rig.reloading()


async def test_from_nothing(rig: Rig) -> None:
    rig.rules.unlink()
    with pytest.raises(PolicyUnusable, match="cannot be read"):
        rig.reloading()


async def test_a_reload(rig: Rig) -> None:
    reloading = rig.reloading()
    rig.write([*RULES, {**WWW, "enabled": False}])
    answer = await reloading.reload()
    assert (answer["status"], answer["error"], answer["reloads"]) == ("ok", None, 1)
    assert (answer["rules"], answer["enabled"]) == (3, 2)
    assert rig.published == [reloading.enforced.policy.revision] == [answer["revision"]]
    assert (rig.folder / "state" / "last-good-rules.json").read_bytes() == rig.rules.read_bytes()


FAULTS: dict[str, tuple[str, Exception, str]] = {
    "file": ("broken", PolicyUnusable("rules.json:2:1 no", "rules.json:2:1"), "rules.json:2:1"),
    "our making": ("broken", RecursionError("deep"), "internal error; the log says more"),
    "memory": ("broken", MemoryError(), "internal error; the log says more"),
    "publishing": ("unpublished", ConnectionError("gone"), "internal error; the log says more"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_what_goes_wrong_leaves_everything_in_force(rig: Rig, fault: str) -> None:
    where, error, summary = FAULTS[fault]
    reloading = rig.reloading()
    reloading.save()
    before = reloading.enforced
    setattr(rig, where, error)
    rig.write([WWW])
    answer = await reloading.reload()
    assert (answer["status"], answer["summary"], answer["revision"]) == ("degraded", summary, before.policy.revision)
    assert reloading.enforced is before and rig.published == [] and answer["reloads"] == 0
    assert (rig.folder / "state" / "last-good-rules.json").read_bytes() == rules_text(RULES)
    setattr(rig, where, None)
    answer = await reloading.reload()
    assert (answer["status"], answer["error"], answer["summary"]) == ("ok", None, None)


async def test_a_disk_that_is_full_keeps_no_rules_from_being_enforced(rig: Rig) -> None:
    reloading = rig.reloading()
    (rig.folder / "state").rename(rig.folder / "gone")
    rig.write([WWW])
    assert (await reloading.reload())["status"] == "ok"


async def test_who_asks_at_one_time_is_served_by_one_reading(rig: Rig) -> None:
    """And nobody by a reading that had begun before he asked."""
    reloading = rig.reloading()
    rig.made.clear()
    rig.write(RULES[:1])
    first = asyncio.create_task(reloading.reload())
    await eventually(lambda: rig.made, what="the first has read")
    rig.write([WWW])
    later = await asyncio.gather(*(reloading.reload() for _ in range(50)))
    await first
    assert rig.made == [rules_text(RULES[:1]), rules_text([WWW])]
    assert {answer["revision"] for answer in later} == {reloading.enforced.policy.revision}


async def test_what_is_in_force_is_not_made_again(rig: Rig) -> None:
    reloading = rig.reloading()
    rig.made.clear()
    rig.write(RULES)
    assert (await reloading.reload())["status"] == "ok"
    assert (rig.made, rig.published, rig.status.reloads) == ([], [], 0)


async def test_one_who_goes_away_stops_no_reload(rig: Rig) -> None:
    reloading = rig.reloading()
    rig.write([WWW])
    impatient = asyncio.create_task(reloading.reload())
    await asyncio.sleep(0)
    patient = asyncio.create_task(reloading.reload())
    await asyncio.sleep(0)
    impatient.cancel()
    assert (await patient)["rules"] == 1


async def test_the_file_is_followed(rig: Rig) -> None:
    reloading = rig.reloading()
    async with serving(reloading):
        rig.write([WWW])
        await eventually(lambda: rig.status.rules == 1, what="the new rules")
        rig.rules.write_bytes(b"{")
        await eventually(lambda: rig.status.state == "degraded", what="the bad file is seen")
        rig.write(RULES)
        await eventually(lambda: (rig.status.state, rig.status.rules) == ("ok", 2), what="recovery")


async def test_a_change_between_the_first_reading_and_the_watch_is_not_missed(rig: Rig) -> None:
    reloading = rig.reloading()
    rig.write([WWW])
    async with serving(reloading):
        await eventually(lambda: rig.status.rules == 1, what="the new rules")


def at(instant: float) -> str:
    return datetime.fromtimestamp(instant, UTC).isoformat()


async def test_a_time_condition_is_planned_anew_though_the_file_is_broken(rig: Rig) -> None:
    turn = time.time() + 1.0
    rig.write([{**WWW, "not_before": at(turn)}])
    reloading = rig.reloading()
    assert rig.status.next_change == pytest.approx(turn, abs=1e-3)
    async with serving(reloading):
        rig.rules.write_bytes(b"{")
        await eventually(lambda: rig.pacs and b"www.example" in rig.pacs[-1].anonymous.body, what="the PAC after")
        await eventually(lambda: rig.status.state == "degraded", what="the file is still bad")
    assert rig.status.next_change is None
    assert rig.made.count(rules_text([{**WWW, "not_before": at(turn)}])) == 1, "of the same rules"


async def test_a_reload_that_brings_an_earlier_change_is_not_slept_over(rig: Rig) -> None:
    reloading = rig.reloading()
    async with serving(reloading):
        await asyncio.sleep(0.05)  # it has gone to sleep for a minute
        rig.write([{**WWW, "not_before": at(time.time() + 1.0)}])
        await eventually(lambda: rig.pacs and b"www.example" in rig.pacs[-1].anonymous.body, what="the PAC after")


POINTS_THAT_ASK = ("dns", "inspector", "endpoint")


async def test_the_pacs_follow_without_being_waited_for(rig: Rig) -> None:
    reloading = rig.reloading()
    before, rig.held = rig.status.revision, asyncio.Event()
    assert rig.status.points == dict.fromkeys((*POINTS_THAT_ASK, "pac"), before)
    rig.write([WWW])
    asked = asyncio.create_task(reloading.reload())
    await eventually(lambda: rig.published, what="the rules are in force")
    await eventually(lambda: rig.status.points["dns"] != before, what="and said to be")
    [new] = rig.published
    assert rig.status.points == dict.fromkeys(POINTS_THAT_ASK, new) | {"pac": before}
    assert rig.status.revision == before, "of every point"
    assert not asked.done()
    rig.held.set()
    answer = await asked
    assert (answer["revision"], answer["points"]) == (new, dict.fromkeys((*POINTS_THAT_ASK, "pac"), new))


async def test_rules_need_not_wait_for_the_pacs_of_the_rules_before(rig: Rig) -> None:
    """And those never come: what was withdrawn meanwhile would be back for hours."""
    reloading = rig.reloading()
    async with serving(reloading):
        rig.held = asyncio.Event()
        rig.write([WWW])
        await eventually(lambda: len(rig.published) == 1, what="the first change")
        rig.write(RULES[:1])
        await eventually(lambda: len(rig.published) == 2, what="the second change, with the PACs of none made")
        assert rig.pacs == []
        rig.held.set()
        await eventually(lambda: rig.status.revision == rig.published[1], what="the PACs of the second")
    assert [pacs.revision for pacs in rig.pacs] == rig.published[1:]


PAC_FAULTS = {
    "gate": (PacError("too large"), "rules.json: these rules fail their checks; 'steering status' says which"),
    "ours": (RecursionError("deep"), "internal error; the log says more"),
}


@pytest.mark.parametrize("fault", PAC_FAULTS)
async def test_without_new_pacs_the_old_ones_stay_and_the_rules_are_in_force(rig: Rig, fault: str) -> None:
    rig.unfollowed, summary = PAC_FAULTS[fault]
    reloading = rig.reloading()
    reloading.save()
    before = rig.status.revision
    rig.write([WWW])
    answer = await reloading.reload()
    [new] = rig.published
    assert (answer["status"], answer["summary"], answer["revision"]) == ("degraded", summary, new)
    assert str(rig.unfollowed) in answer["error"]
    assert answer["points"] == dict.fromkeys(POINTS_THAT_ASK, new) | {"pac": before}
    assert (rig.folder / "state" / "last-good-rules.json").read_bytes() == rules_text(RULES), "a start needs PACs"
    rig.unfollowed = None
    answer = await reloading.reload()  # the file is the same: what failed is tried again
    assert (answer["status"], answer["error"], answer["points"]["pac"]) == ("ok", None, new)
    assert (rig.folder / "state" / "last-good-rules.json").read_bytes() == rules_text([WWW])
