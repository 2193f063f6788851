"""``steering endpoint identify``, ``explain`` and ``doctor``."""

import asyncio
import json
import socket
from pathlib import Path

import pytest

from steering.cli import endpoint_look
from steering.endpoint.install import machine
from steering.endpoint.policy_keeping import fetch_policy
from tests.cli.runner import run
from tests.control.helpers import CA_PEM, helpers_rig
from tests.inspector.origin import origin_ca

RULES = [
    {"name": "Slack", "programs": ["slack"], "domains": ["tool.example"]},
    {"name": "Pinned", "domains": ["pin.example"]},
]


def folder_with_policy(folder: Path, ca_pem: bytes = CA_PEM) -> Path:
    """A helper's folder whose service has gone."""
    asyncio.run(_fetched(folder, ca_pem))
    return folder / "helper"


async def _fetched(folder: Path, ca_pem: bytes) -> None:
    async with helpers_rig(folder / "service") as rig:
        credential = await rig.enrolled(folder / "helper")
        await rig.publish(RULES, ca_pem)
        await fetch_policy(folder / "helper", credential)


@pytest.mark.needs("linux")
def test_identify_our_own_connection() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _ = listener.accept()
            with accepted:
                port = client.getsockname()[1]
                there = f"127.0.0.1:{listener.getsockname()[1]}"
                found = json.loads(run("endpoint", "identify", str(port), "--json").stdout)
                words = run("endpoint", "identify", str(port)).stdout
    (mine,) = [row for row in found if row["remote"] == there]
    assert mine["local"] == f"127.0.0.1:{port}" and mine["names"][0].startswith("python")
    assert f"127.0.0.1:{port} -> {there}" in words and "program  python" in words


@pytest.mark.needs("linux")
def test_identify_nothing() -> None:
    result = run("endpoint", "identify", "999999999")
    assert result.exit_code == 1 and "no connection of a process 999999999" in result.stderr
    assert run("endpoint", "identify", "0").exit_code == 2


def test_explain_from_what_is_kept(tmp_path: Path) -> None:
    folder = folder_with_policy(tmp_path)
    asked = ("explain", "https://tool.example/x", "--state", folder, "--json")
    answer = json.loads(run("endpoint", *asked, "--program", "slack").stdout)
    assert (answer["host"], answer["action"], answer["rule"]) == ("tool.example", "bypass", "Slack")
    assert answer["points"] == {
        "pac": "PROXY 127.0.0.1:3129",
        "dns": "inspector",
        "inspector": "open",
        "endpoint": "direct",
    }
    assert answer["issued_at"] > 0
    assert json.loads(run("endpoint", *asked, "--program", "other").stdout)["points"]["endpoint"] == "proxy"
    unknown = json.loads(run("endpoint", *asked).stdout)
    assert (unknown["pending"], unknown["points"]["endpoint"]) == (["program"], "proxy")
    words = run("endpoint", "explain", "pin.example", "--state", folder).stdout
    assert words.startswith("pin.example: bypass") and "endpoint helper  connects directly" in words
    assert "Not bypassed" not in words, "its own PAC leads to the helper, and holds nothing back"


def test_explain_what_cannot_be_asked(tmp_path: Path) -> None:
    assert run("endpoint", "explain", "x.example", "--state", tmp_path).exit_code == 2
    folder = folder_with_policy(tmp_path)
    result = run("endpoint", "explain", "not a host", "--state", folder)
    assert (result.exit_code, result.stdout) == (2, "") and result.stderr


def test_doctor_on_a_folder_whose_service_has_gone(tmp_path: Path) -> None:
    folder = folder_with_policy(tmp_path)
    result = run("endpoint", "doctor", "--state", folder, "--json")
    found = {row["subject"]: row["state"] for row in json.loads(result.stdout)}
    assert result.exit_code == 1
    assert (found["enrolment"], found["policy"], found["control service"]) == ("ok", "ok", "problem")
    result = run("endpoint", "doctor", "--state", folder)
    assert "problem control service: " in result.stdout and "look at network, firewall" in result.stdout


@pytest.mark.needs("linux")
def test_doctor_asked_by_an_ordinary_user_looks_at_what_was_installed_for_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, looked = folder_with_policy(tmp_path, origin_ca().file.read_bytes()), []

    def of_everybody(system: str, *, everybody: bool, home: Path) -> Path:
        return folder if everybody else home / "own"

    def detected(*, everybody: bool, state: Path) -> machine.Machine:
        looked.append((everybody, state))
        return detect(everybody=False, state=state)

    detect = machine.detect
    monkeypatch.setattr(machine, "state_folder", of_everybody)
    monkeypatch.setattr(machine, "detect", detected)
    monkeypatch.setattr(endpoint_look, "is_root", lambda: False)
    run("endpoint", "doctor", "--state", folder)
    assert looked == [(True, folder)]


def test_doctor_where_nothing_is_enrolled(tmp_path: Path) -> None:
    result = run("endpoint", "doctor", "--state", tmp_path)
    assert result.exit_code == 1
    assert result.stdout.startswith(f"problem enrolment: {tmp_path} is not enrolled")


def test_doctor_records(tmp_path: Path) -> None:
    result = run("endpoint", "doctor", "--record", tmp_path / "recorded")
    assert result.exit_code == 0 and "README.txt there says what they hold" in result.stdout
    assert "Recorded by 'steering endpoint doctor --record'" in (tmp_path / "recorded" / "README.txt").read_text()
    result = run("endpoint", "doctor", "--record", tmp_path / "recorded")
    assert result.exit_code == 2 and "is not empty" in result.stderr
