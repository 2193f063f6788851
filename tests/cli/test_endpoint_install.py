"""``steering endpoint install``, ``uninstall`` and ``release``: what they ask for; the steps are tried elsewhere."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import pytest

from steering.cli import endpoint_install
from steering.endpoint import device
from steering.endpoint.capture import linux_nft
from steering.endpoint.errors import EndpointError
from steering.endpoint.install import ownership
from steering.endpoint.install.machine import Machine
from steering.endpoint.lock import locked
from steering.endpoint.policy_keeping import fetch_policy
from tests.cli.runner import run
from tests.control.helpers import helpers_rig
from tests.inspector.origin import inspector_ca, origin_ca


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A computer in a folder, of one user, on which no program is installed."""
    home = tmp_path / "home"
    home.mkdir()
    bundle = tmp_path / "root/etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    bundle.write_bytes(inspector_ca().file.read_bytes())
    made = Machine(
        system="linux",
        everybody=False,
        root=tmp_path / "root",
        home=home,
        user="ann",
        state=tmp_path / "helper",
        command=("steering", "endpoint", "run"),
        has=lambda program: False,
    )
    monkeypatch.setattr(endpoint_install, "_machine", lambda folder: made)
    return made


def enrol(folder: Path, ca_pem: bytes) -> None:
    asyncio.run(_fetched(folder, ca_pem))


async def _fetched(folder: Path, ca_pem: bytes) -> None:
    async with helpers_rig(folder / "service") as rig:
        credential = await rig.enrolled(folder / "helper")
        await rig.publish(ca_pem=ca_pem)
        await fetch_policy(folder / "helper", credential)


def install(*arguments: str | Path) -> tuple[int, str, str]:
    result = run("endpoint", *arguments)
    return result.exit_code, result.stdout, result.stderr


def test_shown_done_seen_and_undone(machine: Machine, tmp_path: Path) -> None:
    enrol(tmp_path, origin_ca().file.read_bytes())
    state = ("--state", tmp_path / "helper")
    ca = machine.home / ".config/steering/inspection-ca.pem"
    code, out, err = install("install", *state, "--no-service", "--dry-run")
    assert (code, ca.exists()) == (0, False), err
    assert "inspection CA: " in out and "would be changed" in out and " 0 changed, 0 failed" in out
    code, out, err = install("install", *state, "--no-service", "--json")
    outcomes = json.loads(out)
    assert code == 0 and ca.read_bytes() == origin_ca().file.read_bytes(), err
    assert outcomes[0] == {"step": "inspection CA", "changed": True, "problem": ""}
    assert "inspection CA: " in err
    code, out, _ = install("install", *state, "--no-service")
    assert code == 0 and " 0 changed, 0 failed" in out
    code, out, _ = install("uninstall", *state, "--dry-run")
    assert code == 0 and ca.exists()
    code, out, err = install("uninstall", *state)
    assert (code, ca.exists()) == (0, False), err
    assert list(machine.home.rglob("*")) == []
    assert device.is_enrolled(tmp_path / "helper")
    code, _, _ = install("uninstall", *state, "--forget")
    assert code == 0 and not device.is_enrolled(tmp_path / "helper") and not (tmp_path / "helper/bundle").exists()


def test_without_a_policy_there_is_nothing_to_install(machine: Machine, tmp_path: Path) -> None:
    code, _, err = install("install", "--state", tmp_path / "helper")
    assert code == 2 and "there is no policy in" in err


def test_without_an_inspection_ca_there_is_nothing_to_install(machine: Machine, tmp_path: Path) -> None:
    enrol(tmp_path, b"")
    code, _, err = install("install", "--state", tmp_path / "helper")
    assert code == 2 and "the policy carries no inspection CA" in err


def test_a_service_for_everybody_runs_no_program_that_others_may_change(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever owns it would have the service's rights."""
    enrol(tmp_path, origin_ca().file.read_bytes())
    monkeypatch.setattr(endpoint_install, "_machine", lambda folder: replace(machine, everybody=True))
    monkeypatch.setattr(ownership, "changed_by_others", lambda places: Path("/home/ann/.venv"))
    code, _, err = install("install", "--state", tmp_path / "helper", "--dry-run")
    assert code == 2 and "others than root may change /home/ann/.venv" in err
    code, out, _ = install("install", "--state", tmp_path / "helper", "--dry-run", "--no-service")
    assert code == 0 and "service user" not in out


def test_what_cannot_be_let_go_is_a_finding(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: Path) -> None:
        raise EndpointError("nft refused")

    (tmp_path / "helper").mkdir()
    (tmp_path / "helper" / linux_nft.RECORD).write_text("{}")
    monkeypatch.setattr(linux_nft, "undo", refuse)
    code, out, err = install("uninstall", "--state", tmp_path / "helper")
    assert code == 1 and "1 failed" in out and "capture: nft refused" in err


def test_release(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    undone: list[Path] = []
    monkeypatch.setattr(linux_nft, "undo", undone.append)
    code, out, _ = install("release", "--state", tmp_path)
    assert (code, undone) == (0, [tmp_path]) and "nothing is captured now" in out
    with locked(tmp_path):
        code, _, err = install("release", "--state", tmp_path)
    assert (code, undone) == (2, [tmp_path]) and "another helper" in err
