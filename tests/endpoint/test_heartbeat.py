"""Heartbeats say how the helper is, and bring back whether it is still wanted."""

import asyncio
from pathlib import Path

from steering.endpoint.errors import ServiceRefused
from steering.endpoint.heartbeat import MAX_ERROR, Heartbeat
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
