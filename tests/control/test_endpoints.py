"""What the service does for helpers as a whole: plan, bundle, certificates in time, revocation, keys."""

import asyncio
import json
import ssl
import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509

from steering.control import endpoints as module
from steering.control.config import load_config
from steering.control.endpoint_tls import EndpointTls
from steering.control.endpoints import NO_INSPECTOR, EndpointPlan, Endpoints, endpoint_plan
from steering.control.errors import StateError
from steering.control.state import open_state
from steering.endpoint.bundle.content import parse_bundle
from tests.control.helpers import MODES, helpers_rig, plan_of
from tests.control.rigs import enforced_of
from tests.kit import eventually
from tests.service import RULES

# Settings, where it listens -> url, hosts, inspector's hosts, inspectors.
PLANS: list[tuple[dict[str, str], str, str, tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...]]]] = [
    (
        {},
        "127.0.0.1:8444",
        "127.0.0.1:3130",
        ("https://127.0.0.1:8444", ("127.0.0.1",), ("127.0.0.1",), ("127.0.0.1:3130",)),
    ),
    (
        {"CONTROL_PUBLIC_URL": "http://s.example:8080", "INSPECTOR_ENDPOINT_ADVERTISE": "p.example:1,[2001:db8::1]:2"},
        "0.0.0.0:8444",
        "[::]:3130",
        (
            "https://s.example:8444",
            ("s.example",),
            ("p.example", "2001:db8::1"),
            ("p.example:1", "[2001:db8::1]:2"),
        ),
    ),
    (
        {"CONTROL_ENDPOINT_URL": "https://h.example:443", "CONTROL_PUBLIC_URL": "http://s.example:8080"},
        "[::1]:8444",
        "192.0.2.1:3130",
        ("https://h.example:443", ("h.example", "s.example", "::1"), ("192.0.2.1",), ("192.0.2.1:3130",)),
    ),
    ({}, "", "192.0.2.1:3130", ("", ("127.0.0.1",), ("192.0.2.1",), ("192.0.2.1:3130",))),
]


@pytest.mark.parametrize(("settings", "control", "inspector", "expected"), PLANS)
def test_plans(settings: dict[str, str], control: str, inspector: str, expected: tuple[object, ...]) -> None:
    config = load_config(None, {f"STEERING_{key}": value for key, value in settings.items()}).config
    made = endpoint_plan(config, control, inspector)
    assert (made.url, made.hosts, made.inspector_hosts, made.inspectors) == expected
    assert made.modes == MODES and made.inspector_addresses == (ip_address("127.0.0.1"),)


async def test_a_token_says_what_it_is_good_for(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path) as rig:
        assert (await rig.endpoints.invite("", 1, 1.0))["note"] == ""
    split = replace(plan_of(rig.url), inspectors=())
    alone = Endpoints(open_state(tmp_path / "split"), split, None)
    made = await alone.invite("", 1, 1.0)
    assert made["note"] == NO_INSPECTOR
    await alone.withdraw(made["id"])
    assert alone.listed()["tokens"] == []


async def test_a_bundle_is_what_is_enforced(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path) as rig:
        enforced = enforced_of(RULES)
        await rig.publish(enforced, b"the CA")
        targets = {path.name.partition(".")[2]: path for path in (tmp_path / "bundle/targets").iterdir()}
        bundle = parse_bundle(targets["policy.json"].read_bytes())
        assert (bundle.revision, bundle.policy.rules) == (enforced.policy.revision, enforced.policy.rules)
        assert bundle.inspectors == ("proxy.example:3130",) and dict(bundle.modes) == MODES


async def test_the_same_policy_is_not_issued_twice(tmp_path: Path) -> None:
    clock = [1_800_000_000.0]

    async def published() -> tuple[str, float]:
        async with helpers_rig(tmp_path, clock=lambda: clock[0]) as rig:
            await rig.publish()
            newest = max((tmp_path / "bundle/targets").glob("*.policy.json"), key=lambda path: path.stat().st_mtime_ns)
            return newest.name, json.loads(newest.read_bytes())["issued_at"]

    first = await published()
    clock[0] += 3600
    assert await published() == first, "also not after a restart"


async def test_revoking_tells_workers_and_disk(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        one = await rig.enrolled(tmp_path / "1", "sales")
        two = await rig.enrolled(tmp_path / "2", "sales")
        await rig.token("sales")
        assert await rig.endpoints.revoke(one.device_id, rig.workers) == {"devices": 1, "tokens": 0}
        assert rig.told == [frozenset({one.device_id})]
        assert await rig.endpoints.revoke("sales", rig.workers) == {"devices": 1, "tokens": 3}
        assert rig.told[1:] == [frozenset({one.device_id, two.device_id})]
        assert await rig.endpoints.revoke("nobody", rig.workers) == {"devices": 0, "tokens": 0}
        assert len(rig.told) == 2
    async with helpers_rig(tmp_path / "service") as rig:
        assert rig.endpoints.revoked == {one.device_id, two.device_id}


async def test_a_full_disk_revokes_all_the_same_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "1")
        with monkeypatch.context() as patched:

            def full(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patched.setattr("steering.control.keeping.write_whole", full)
            with pytest.raises(StateError, match="No space left"):
                await rig.endpoints.revoke(credential.device_id, rig.workers)
        assert rig.endpoints.revoked == {credential.device_id} and rig.told == [frozenset({credential.device_id})]


async def test_certificates_are_renewed_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_S", 0.02)
    clock = [time.time()]
    async with helpers_rig(tmp_path, clock=lambda: clock[0]) as rig:
        first, shown = rig.endpoints.tls, await _shown(rig.url)
        serving = asyncio.create_task(rig.endpoints.serve(rig.workers))
        clock[0] += 60 * 86400 - 10
        timestamp = tmp_path / "bundle/metadata/timestamp.json"
        before = timestamp.read_bytes()
        await eventually(lambda: timestamp.read_bytes() != before, what="signatures are renewed")
        assert rig.told == [] and await _shown(rig.url) == shown
        clock[0] += 20
        await eventually(lambda: rig.told, what="the workers are told")
        (tls,) = rig.told
        assert isinstance(tls, EndpointTls) and tls.identity.chain_pem != first.identity.chain_pem
        assert tls.authority_pem == first.authority_pem
        assert await _shown(rig.url) != shown
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)


async def _shown(url: str) -> int:
    """The serial number of the certificate that the listener shows."""
    port = int(url.rpartition(":")[2])
    pem = await asyncio.to_thread(ssl.get_server_certificate, ("127.0.0.1", port), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


async def test_rotating_keys_makes_helpers_look(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path) as rig:
        await rig.endpoints.rotate_keys()
        assert (tmp_path / "bundle/metadata/2.root.json").exists()


async def test_a_bundle_that_cannot_be_kept_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with helpers_rig(tmp_path) as rig:
        assert rig.endpoints.warnings == []

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("steering.control.bundles.write_whole", full)
        await rig.publish(RULES[:1])
        (warning,) = rig.endpoints.warnings
        assert "cannot be kept" in warning


def test_a_state_folder_that_cannot_be_used_is_said(tmp_path: Path) -> None:
    state = open_state(tmp_path)
    state.devices.write_text("{")
    with pytest.raises(StateError, match=r"devices\.json cannot be read"):
        module.Endpoints(state, plan_of("https://127.0.0.1:1"), None)
    assert EndpointPlan.__doc__
