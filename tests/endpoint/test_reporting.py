"""What a helper says of itself: the heartbeat's content whole, and drift told when it begins."""

import json
import logging
import platform
from collections.abc import Sequence
from pathlib import Path

import pytest

from steering.endpoint import doctor
from steering.endpoint.bundle.fetch import ServiceFetcher
from steering.endpoint.bundle.keeper import BundleKeeper
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.device import client_context
from steering.endpoint.errors import EndpointError
from steering.endpoint.identify import UnknownIdentifier, selftest
from steering.endpoint.identify.identity import Identifier, Identity, Method
from steering.endpoint.policy_keeping import keeper_of
from steering.endpoint.reporting import MAX_COUNTERS, Reporting, own_version
from steering.endpoint.settings import EndpointSettings
from steering.endpoint.trial import TriedIdentifier
from steering.policy import System
from tests.control.helpers import helpers_rig

GOOD = (selftest.Tested("IPv4", Identity(system=System.LINUX, names=("python3",), method=Method.MAP), ""),)


async def keeper_with_policy(folder: Path) -> BundleKeeper:
    async with helpers_rig(folder / "service") as rig:
        credential = await rig.enrolled(folder / "helper")
        context = client_context(folder / "helper", credential)
        keeper = keeper_of(folder / "helper", credential, LiveBundle(), ServiceFetcher(lambda: context))
        assert await keeper.update()
    return keeper


async def reporting(folder: Path, problems: Sequence[str] = (), counters: dict[str, int] | None = None) -> Reporting:
    async def passes(identifier: Identifier) -> Sequence[selftest.Tested]:
        return GOOD

    identifier = TriedIdentifier(UnknownIdentifier(System.LINUX, "constructed"), System.LINUX, passes)
    await identifier.try_now()
    return Reporting(
        folder=folder / "helper",
        settings=EndpointSettings(),
        keeper=await keeper_with_policy(folder),
        identifier=identifier,
        counters=lambda: counters or {"direct": 2, "connections": 1},
        problems=lambda: list(problems),
    )


async def test_the_whole_report(tmp_path: Path) -> None:
    it = await reporting(tmp_path, ["", "no inspector"])
    it.drift = {"capture": "off", "proxy_setting": "ok", "ca_present": "it is not there"}
    found = it.report()
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "revision": it.keeper.revision,
        "error": "no inspector",
        "self_test": "passed: IPv4: by socket map",
        "drift": {"proxy_setting": "ok", "ca_present": "it is not there"},
        "counters": {"connections": 1, "direct": 2},
        "version": own_version(),
        "system": f"{platform.system()} {platform.release()}",
        "name": platform.node(),
    }
    assert it.keeper.revision


async def test_errors_are_told_together(tmp_path: Path) -> None:
    it = await reporting(tmp_path, ["no inspector"])
    it.keeper.error = "the new policy is broken"
    assert it.report()["error"] == "the new policy is broken; no inspector"


@pytest.mark.parametrize("count", [MAX_COUNTERS - 1, MAX_COUNTERS, MAX_COUNTERS + 1])
async def test_counters_are_bounded(tmp_path: Path, count: int) -> None:
    it = await reporting(tmp_path, counters={f"reason:{number:04}": number for number in range(count)})
    counters = it.report()["counters"]
    assert isinstance(counters, dict) and len(counters) == min(count, MAX_COUNTERS)


async def test_drift_is_looked_for_and_told_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    it = await reporting(tmp_path)
    found = {"self_test": "ok", "capture": "off", "proxy_setting": "not installed"}
    told: list[dict[str, str]] = []
    monkeypatch.setattr(doctor, "drift", lambda *_, **__: dict(found))
    monkeypatch.setattr("steering.endpoint.reporting.log.warning", lambda _, **what: told.append(what), raising=False)
    with caplog.at_level(logging.WARNING):
        await it.look()
        assert (it.drift, told) == (found, [])
        found["proxy_setting"] = "GNOME is not as it was set"
        await it.look()
        await it.look()
    assert it.drift == found and told == [found]


async def test_looking_that_fails_is_told_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> dict[str, str]:
        raise EndpointError("no such desktop")

    it = await reporting(tmp_path)
    monkeypatch.setattr(doctor, "drift", fail)
    await it.look()
    assert it.drift == {"looking": "failed: no such desktop"}


async def test_looking_for_real(tmp_path: Path) -> None:
    it = await reporting(tmp_path)
    await it.look()
    assert it.drift is not None and it.drift["self_test"] == "ok" and it.drift["capture"] == "off"
