"""Capture follows the policy while the helper runs, and ends with it the way that the policy says.

The packet filter itself is tried in tests/endpoint/capture and tests/wire; here what is asked of it is written down.
"""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from steering.endpoint.bundle.content import Bundle, Modes
from steering.endpoint.capture import linux_nft
from steering.endpoint.capture.rules import OWN_MARK, CapturePlan
from steering.endpoint.capturing import Capturing, let_go, plan_of
from steering.endpoint.errors import EndpointError
from steering.policy import ReservedSettings, compile_policy
from steering.policy.document import load_document

UID, PORT = 4242, 15001


def bundle(dead: str) -> Bundle:
    return Bundle(
        policy=compile_policy(load_document('{"rules": []}'), ReservedSettings()),
        issued_at=0.0,
        inspectors=("192.0.2.1:3130",),
        inspector_addresses=frozenset({ip_address("192.0.2.1")}),
        modes=Modes(helper_dead=dead),
    )


class Filter:
    """Stands for the packet filter.  done: what was asked of it.  failing: what it says to ``apply``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.failing = ""
        self.kept: list[str] = []
        monkeypatch.setattr(linux_nft, "apply", self.apply)
        monkeypatch.setattr(linux_nft, "undo", self.undo)
        monkeypatch.setattr(linux_nft, "keep", self.keep)

    def apply(self, plan: CapturePlan, folder: Path) -> None:
        if self.failing:
            raise EndpointError(self.failing)
        self.done.append(f"apply {plan.dead}")

    def undo(self, folder: Path) -> None:
        self.done.append("undo")
        (folder / linux_nft.RECORD).unlink(missing_ok=True)

    async def keep(self, plan: CapturePlan, folder: Path, tell: Callable[[str], None]) -> None:
        self.kept.append(plan.dead)
        try:
            await asyncio.Event().wait()
        finally:
            self.kept.remove(plan.dead)


@pytest.fixture
def nft(monkeypatch: pytest.MonkeyPatch) -> Filter:
    return Filter(monkeypatch)


def capturing(folder: Path, told: list[str], uid: int = UID) -> Capturing:
    return Capturing(folder, PORT, told.append, uid)


def test_the_plan_exempts_the_helpers_own_user_alone() -> None:
    assert plan_of(bundle("closed"), PORT, UID) == CapturePlan(port=PORT, own_uid=UID, own_mark=0, dead="closed")
    assert plan_of(bundle("open"), PORT, UID).dead == "open"


def test_with_a_mark_the_helper_may_be_root() -> None:
    plan = CapturePlan(port=PORT, own_uid=UID, own_mark=OWN_MARK, dead="closed")
    assert plan_of(bundle("closed"), PORT, UID, OWN_MARK) == plan
    assert plan_of(bundle("closed"), PORT, 0, OWN_MARK) == replace(plan, own_uid=None)


def test_root_without_a_mark_is_refused() -> None:
    with pytest.raises(EndpointError, match="a service with a user of its own"):
        plan_of(bundle("closed"), PORT, 0)


async def settled() -> None:
    """A task that was just made has begun."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)


async def test_it_follows_the_policy(nft: Filter, tmp_path: Path) -> None:
    told: list[str] = []
    capture = capturing(tmp_path, told)
    await capture.follow(bundle("closed"))
    await capture.follow(bundle("closed"))  # another policy, and the same for capture
    await settled()
    assert (nft.done, nft.kept) == (["apply closed"], ["closed"])
    await capture.follow(bundle("open"))
    await settled()
    assert (nft.done, nft.kept) == (["apply closed", "apply open"], ["open"])
    assert (capture.error, told) == ("", [])
    await capture.end()
    assert (nft.done, nft.kept) == (["apply closed", "apply open", "undo"], [])


async def test_what_fails_closed_stays_when_the_helper_ends(nft: Filter, tmp_path: Path) -> None:
    capture = capturing(tmp_path, [])
    await capture.follow(bundle("closed"))
    await capture.end()
    assert (nft.done, nft.kept) == (["apply closed"], [])


async def test_trouble_is_said_and_tried_again_with_the_next_policy(nft: Filter, tmp_path: Path) -> None:
    told: list[str] = []
    capture = capturing(tmp_path, told)
    nft.failing = "no nft"
    await capture.follow(bundle("closed"))
    assert (capture.error, told) == ("no nft", ["capture is not in force: no nft"])
    nft.failing = ""
    await capture.follow(bundle("closed"))
    assert (capture.error, nft.done) == ("", ["apply closed"])
    await capture.end()


async def test_as_root_it_says_so_and_captures_nothing(nft: Filter, tmp_path: Path) -> None:
    told: list[str] = []
    capture = capturing(tmp_path, told, uid=0)
    await capture.follow(bundle("closed"))
    await capture.end()
    assert nft.done == [] and "a user of its own" in told[0] and "a user of its own" in capture.error


def test_what_an_older_run_left_is_let_go(nft: Filter, tmp_path: Path) -> None:
    assert not let_go(tmp_path)
    (tmp_path / linux_nft.RECORD).write_text("{}")
    assert let_go(tmp_path)
    assert not let_go(tmp_path)
    assert nft.done == ["undo"]
