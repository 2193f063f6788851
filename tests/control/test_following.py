"""What the control service publishes is in force at who follows it, and nothing else ever is."""

import asyncio
import shutil
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from steering.control.errors import PolicyUnusable
from steering.control.following import SUMMARY, Following
from steering.control.joining import FollowPlan
from steering.control.policystore import Enforced, enforceable_policy
from steering.control.status import Status
from steering.endpoint.bundle.content import Bundle
from steering.pac.publish import PacSettings
from tests.control.helpers import CA_PEM, HelpersRig, helpers_rig
from tests.control.rigs import enforced_of
from tests.kit import eventually, free_port
from tests.service import RULES

MORE = [*RULES, {"name": "more", "domains": ["more.example"]}]
PAC = PacSettings(inspectors=("proxy.example:3128",))


@dataclass
class Follower:
    """published: the revisions put in force after the first.  broken: raised in place of making."""

    plan: FollowPlan
    status: Status = field(default_factory=Status)
    published: list[str] = field(default_factory=list)
    broken: Exception | None = None

    def __post_init__(self) -> None:
        self.following = Following(self.plan, self.status, self.make, self.publish, self.counters)

    def make(self, bundle: Bundle) -> Enforced:
        if self.broken:
            raise self.broken
        return enforceable_policy(bundle.policy, b"", shown=self.plan.url, pac=PAC, at=time.time())

    async def publish(self, enforced: Enforced) -> None:
        self.published.append(enforced.policy.revision)

    def counters(self) -> Mapping[str, int]:
        return {"dns:queries": 7}

    @property
    def revision(self) -> str:
        return self.following.enforced.policy.revision


async def follower_of(rig: HelpersRig, folder: Path) -> Follower:
    token = await rig.token()
    return Follower(FollowPlan(url=rig.url, folder=folder / "follow", token=token, name="box (dns)"))


@asynccontextmanager
async def serving(follower: Follower) -> AsyncIterator[Follower]:
    await follower.following.begin()
    follower.following.first()
    follower.status.state = "ok"
    task = asyncio.create_task(follower.following.serve())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def report(rig: HelpersRig) -> dict[str, Any]:
    (device,) = rig.endpoints.listed()["devices"]
    return dict(device["report"] or {})


async def test_what_is_published_is_in_force_and_reported(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "control") as rig:
        first = enforced_of(RULES).policy.revision
        async with serving(await follower_of(rig, tmp_path)) as made:
            assert (made.revision, made.published, made.following.ca_pem) == (first, [], CA_PEM)
            assert (made.status.revision, made.status.rules_file) == (first, rig.url)
            await eventually(lambda: report(rig).get("revision") == first, what="the first report")
            await eventually(lambda: len(rig.endpoints.listed()["devices"]) == 1)
            second = await rig.publish(MORE)
            await eventually(lambda: made.published == [second], what="the change is in force")
            await eventually(lambda: report(rig)["revision"] == second, what="it is reported")
            assert (report(rig)["error"], report(rig)["counters"]) == ("", {"dns:queries": 7})
            assert (made.status.state, made.status.reloads, made.following.warnings) == ("ok", 1, [])


async def test_it_waits_for_the_first_policy(tmp_path: Path) -> None:
    port = free_port()
    plan = FollowPlan(
        url=f"https://127.0.0.1:{port}", folder=tmp_path / "follow", token_file=tmp_path / "token", name="box"
    )
    follower = Follower(plan)
    begun = asyncio.create_task(follower.following.begin())
    async with helpers_rig(tmp_path / "control", port=port) as rig:
        assert not begun.done()
        plan.token_file.write_text(await rig.token()) if plan.token_file else None
        await asyncio.wait_for(begun, 20)
    follower.following.first()
    assert follower.revision == enforced_of(RULES).policy.revision


async def test_the_last_good_policy_needs_nobody(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "control") as rig:
        first = await follower_of(rig, tmp_path)
        async with serving(first):
            second = await rig.publish(MORE)
            await eventually(lambda: first.published == [second])
            kept = tmp_path / "follow/bundle/last-good.json"
            await eventually(lambda: "more.example" in kept.read_text("utf-8"))
    again = Follower(first.plan)
    async with serving(again):
        assert again.revision == second
        asked = "the control service cannot be asked: "  # who tells it what is enforced may find out first
        await eventually(lambda: any(warning.startswith(asked) for warning in again.following.warnings), what=asked)
        assert (await again.following.reload())["state"] == "ok", "enforced, if perhaps not the newest"
        assert again.published == []


async def test_an_older_state_of_the_service_changes_nothing(tmp_path: Path) -> None:
    """A replay, or a backup that was restored on a machine whose clock is behind: signed, and refused all the same."""
    port, now = free_port(), time.time()
    async with helpers_rig(tmp_path / "control", port=port) as rig:
        follower = await follower_of(rig, tmp_path)
        await follower.following.begin()
    shutil.copytree(tmp_path / "control", tmp_path / "old")
    async with helpers_rig(tmp_path / "control", port=port, clock=lambda: now + 3600) as rig:
        newer = await rig.publish(MORE)
        async with serving(follower):
            await eventually(lambda: follower.published == [newer])
    again = Follower(follower.plan)
    async with helpers_rig(tmp_path / "old", port=port, clock=lambda: now + 60) as rig:
        await rig.publish([{"name": "everything", "domains": ["example.com"]}])
        async with serving(again):
            await eventually(lambda: again.status.state == "degraded", what="it is refused")
            assert "not to be believed" in str(again.status.error) and again.status.summary == SUMMARY
            assert (again.revision, again.published) == (newer, [])
            await eventually(lambda: "not to be believed" in report(rig).get("error", ""), what="and reported")


async def test_what_cannot_be_put_in_force_leaves_the_old_rules(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "control") as rig, serving(await follower_of(rig, tmp_path)) as made:
        for number, fault in enumerate((PolicyUnusable("a gate", "s"), RuntimeError("a fault"))):
            made.broken = fault
            before = made.revision
            await rig.publish([*MORE, {"name": "n", "domains": [f"n{number}.example"]}])
            await eventually(lambda fault=fault: str(fault) in str(made.status.error), what=str(fault))
            assert (made.status.state, made.revision, made.published) == ("degraded", before, [])
        made.broken = None
        last = await rig.publish(MORE)
        await eventually(lambda: made.published == [last])
        await eventually(lambda: (made.status.state, made.status.error) == ("ok", None))


async def test_a_start_that_failed_by_what_is_kept_is_mended_by_the_next_bundle(tmp_path: Path) -> None:
    port = free_port()
    async with helpers_rig(tmp_path / "control", port=port) as rig:
        follower = await follower_of(rig, tmp_path)
        kept = await rig.publish(RULES)
        follower.broken = PolicyUnusable("a gate", "s")
        await follower.following.begin()
        with pytest.raises(PolicyUnusable):
            follower.following.first()
    unreached = Follower(follower.plan)  # what is kept is tried again: settings may have been mended meanwhile
    unreached.broken = follower.broken
    await unreached.following.begin()
    with pytest.raises(PolicyUnusable):
        unreached.following.first()
    async with helpers_rig(tmp_path / "control", port=port) as rig:
        mended = await rig.publish(MORE)
        again = Follower(follower.plan)
        await again.following.begin()
        again.following.first()
        assert again.revision == mended != kept
        assert list((tmp_path / "follow").glob("unusable")) == []


async def test_who_is_revoked_goes_on_and_says_so(tmp_path: Path) -> None:
    """An inspector that stopped would be worse than one whose rules are of yesterday."""
    async with helpers_rig(tmp_path / "control") as rig, serving(await follower_of(rig, tmp_path)) as made:
        await eventually(lambda: report(rig) != {})
        await rig.endpoints.revoke("box (dns)", rig.workers)
        await rig.publish(MORE)
        await made.following.reload()
        assert made.published == []
        assert made.following.warnings != []
