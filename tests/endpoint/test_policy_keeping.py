"""Fetching a policy once, as after enrolment: whole and kept, or an error that says why not."""

from pathlib import Path

import pytest

from steering.endpoint.bundle import store
from steering.endpoint.bundle.client import FOLDER
from steering.endpoint.bundle.content import parse_bundle
from steering.endpoint.errors import BundleError, ServiceUnreachable
from steering.endpoint.policy_keeping import fetch_policy
from tests.control.helpers import helpers_rig


async def test_it_is_kept_for_the_next_start(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        revision = await rig.publish([{"name": "other", "domains": ["other.example"]}])
        assert await fetch_policy(tmp_path / "helper", credential) == revision
    kept = store.load(tmp_path / "helper" / FOLDER)
    assert kept is not None and parse_bundle(kept.policy).revision == revision


async def test_nobody_there(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
    with pytest.raises(ServiceUnreachable):
        await fetch_policy(tmp_path / "helper", credential)


async def test_a_policy_that_is_not_to_be_believed(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig, helpers_rig(tmp_path / "another") as another:
        credential = await rig.enrolled(tmp_path / "helper")
        foreign = await another.enrolled(tmp_path / "foreign")
        root = (tmp_path / "foreign" / FOLDER / "root.json").read_bytes()
        (tmp_path / "helper" / FOLDER / "root.json").write_bytes(root)
        with pytest.raises(BundleError, match="not to be believed"):
            await fetch_policy(tmp_path / "helper", credential)
        assert foreign.service_url != credential.service_url
