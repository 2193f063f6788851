"""Heartbeats say how the helper is, and bring back whether it is still wanted."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import pytest

from steering.endpoint.errors import ServiceRefused, ServiceUnreachable
from steering.endpoint.heartbeat import MAX_ERROR, Heartbeat
from steering.endpoint.service_link import ServiceLink
from tests.control.helpers import helpers_rig, link_of
from tests.kit import eventually


async def test_what_is_reported_is_listed(tmp_path: Path) -> None:
    report = {"revision": "r1", "version": "0.1.0", "self_test": "ok", "drift": {"ca": "missing"}, "counters": {"a": 1}}
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.enrolled(tmp_path / "helper")
        async with link_of(tmp_path / "helper") as link:
            heartbeat = Heartbeat(link, lambda: report)
            await heartbeat.beat()
            assert (heartbeat.is_revoked, heartbeat.address, heartbeat.error) == (False, "127.0.0.1", "")
            (row,) = rig.endpoints.listed()["devices"]
            assert row["report"] == report | {"error": "", "address": "127.0.0.1"}


async def test_it_beats_until_cancelled(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.enrolled(tmp_path / "helper")
        async with link_of(tmp_path / "helper") as link:
            task = asyncio.create_task(Heartbeat(link, dict, every_s=0.01).serve())
            await eventually(lambda: rig.endpoints.counters().get("endpoint:heartbeats", 0) > 3)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_long_error_is_cut(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.enrolled(tmp_path / "helper")
        async with link_of(tmp_path / "helper") as link:
            heartbeat = Heartbeat(link, lambda: {"error": "x" * (MAX_ERROR + 1)})
            await heartbeat.beat()
            (row,) = rig.endpoints.listed()["devices"]
            assert heartbeat.error == "" and row["report"]["error"] == "x" * MAX_ERROR


async def test_a_revoked_device_is_told(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        told: list[ServiceRefused] = []
        async with link_of(tmp_path / "helper") as link:
            heartbeat = Heartbeat(link, dict, on_refused=told.append)
            await heartbeat.beat()
            await rig.endpoints.revoke(credential.device_id, rig.workers)
            await heartbeat.beat()
            assert heartbeat.is_revoked and heartbeat.error == "this device has been revoked"
            assert [refusal.revoked for refusal in told] == [True]


async def test_nobody_there_is_an_error_and_nothing_more(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.enrolled(tmp_path / "helper")
    async with link_of(tmp_path / "helper") as link:
        heartbeat = Heartbeat(link, dict)
        await heartbeat.beat()
        assert "cannot be reached" in heartbeat.error and not heartbeat.is_revoked


class _Flaky:
    """Leads nowhere for so many times, then answers."""

    def __init__(self, fails: int) -> None:
        self.fails = fails
        self.asked = 0

    async def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        self.asked += 1
        if self.asked <= self.fails:
            raise ServiceUnreachable("away")
        return {"revoked": False, "address": "192.0.2.1"}


@pytest.mark.parametrize(("fails", "asked", "error"), [(0, 1, ""), (1, 2, ""), (2, 2, "away")])
async def test_a_kept_connection_that_leads_nowhere_is_no_error(fails: int, asked: int, error: str) -> None:
    link = _Flaky(fails)
    heartbeat = Heartbeat(cast(ServiceLink, link), dict)
    await heartbeat.beat()
    assert (link.asked, heartbeat.error) == (asked, error)
