"""A following service enrols once, as a device of the service that it follows, and needs nobody afterwards."""

import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from steering.control.config import load_config
from steering.control.errors import ConfigError
from steering.control.joining import FollowPlan, follow_plan, join
from steering.endpoint.errors import EndpointError
from tests.control.helpers import HelpersRig, helpers_rig

URL = "https://control.example:8444"
DAY_S = 86400.0


def test_what_is_planned(tmp_path: Path) -> None:
    base = {"STEERING_STATE_DIR": str(tmp_path)}
    assert follow_plan(load_config(None, base), ["dns"]) is None
    following = base | {"STEERING_FOLLOW_URL": URL}
    with pytest.raises(ConfigError, match="give an enrolment token of that service too"):
        follow_plan(load_config(None, following), ["dns"])
    loaded = load_config(None, following | {"STEERING_FOLLOW_TOKEN_FILE": "/run/token"})
    assert follow_plan(loaded, ["dns", "inspector"]) == FollowPlan(
        url=URL,
        folder=tmp_path / "follow",
        token_file=Path("/run/token"),
        name=f"{socket.gethostname()} (dns, inspector)",
    )


def plan_in(folder: Path, rig: HelpersRig, token: str = "") -> FollowPlan:
    return FollowPlan(url=rig.url, folder=folder / "follow", token=token, name="box (dns)")


async def test_it_enrols_once(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "control") as rig:
        plan = plan_in(tmp_path, rig, await rig.token())
        made = await join(plan)
        assert made.service_url == rig.url
        (device,) = rig.endpoints.listed()["devices"]
        assert (device["device_id"], device["name"], device["system"]) == (
            made.device_id,
            "box (dns)",
            "Steering service",
        )
    # Nobody is there, and the token is gone: what was made is enough.
    assert (await join(replace(plan, token=""))).device_id == made.device_id


async def test_a_token_in_a_file_may_come_later(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "control") as rig:
        file = tmp_path / "token"
        plan = replace(plan_in(tmp_path, rig), token_file=file)
        with pytest.raises(EndpointError, match="token cannot be read yet: No such file"):
            await join(plan)
        file.write_bytes(b"\xff")
        with pytest.raises(EndpointError, match="the enrolment token for"):
            await join(plan)
        file.write_text(f"{await rig.token()}\n")
        assert (await join(plan)).service_url == rig.url


async def test_a_token_of_another_service_is_not_spent(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "control") as rig:
        plan = replace(plan_in(tmp_path, rig, await rig.token()), url=URL)
        with pytest.raises(EndpointError, match=f"the enrolment token is of {rig.url}, and follow.url is {URL}"):
            await join(plan)
        assert rig.endpoints.listed()["devices"] == []


async def test_who_follows_another_service_enrols_there(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "a") as first, helpers_rig(tmp_path / "b") as second:
        await join(plan_in(tmp_path, first, await first.token()))
        assert (await join(plan_in(tmp_path, second, await second.token()))).service_url == second.url


async def test_an_expired_certificate_is_replaced_and_till_then_kept(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "control") as rig:
        plan = plan_in(tmp_path, rig, await rig.token())
        made = await join(plan)
        ends = made.certificate.not_valid_after_utc.timestamp()
        assert (await join(plan, lambda: ends - 1)).device_id == made.device_id
        assert (await join(plan, lambda: ends)).device_id == made.device_id, "the token is spent: the old one stays"
        fresh = await join(replace(plan, token=await rig.token()), lambda: ends)
        assert fresh.device_id != made.device_id and fresh.renew_at() > time.time()
