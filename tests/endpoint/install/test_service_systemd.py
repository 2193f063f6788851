"""The unit, judged by systemd's own checkers, and the commands around it; it was not started by a real systemd."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from steering.endpoint.install import service_systemd
from steering.endpoint.install.actions import Command
from steering.endpoint.install.service_systemd import UNIT, unit
from tests.endpoint.install.ground import Ground, ground

COMMAND = (sys.executable, "-m", "steering", "endpoint", "run", "--state", "/var/lib/steering-endpoint")


def analyze(*arguments: str, runtime: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **({"XDG_RUNTIME_DIR": str(runtime)} if runtime else {})}
    return subprocess.run(("systemd-analyze", *arguments), capture_output=True, text=True, env=environment)


@pytest.mark.needs("systemd-analyze")
@pytest.mark.parametrize("everybody", [True, False], ids=["system", "user"])
def test_systemd_takes_it(tmp_path: Path, everybody: bool) -> None:
    path = tmp_path / UNIT
    path.write_text(unit(COMMAND, everybody=everybody))
    ended = analyze("verify", *(() if everybody else ("--user",)), str(path), runtime=tmp_path)
    said = [line for line in ended.stderr.splitlines() if UNIT in line]
    assert (ended.returncode, said) == (0, [])


@pytest.mark.needs("systemd-analyze")
def test_it_is_as_closed_as_its_work_allows(tmp_path: Path) -> None:
    path = tmp_path / UNIT
    path.write_text(unit(COMMAND, everybody=True))
    ended = analyze("security", "--offline=true", "--json=short", str(path))
    found = {item["name"]: item for item in json.loads(ended.stdout)}
    open_ = {name for name, item in found.items() if item["set"] is False and item["exposure"] not in (None, "0.0")}
    worst = sorted(name for name in open_ if float(found[name]["exposure"]) >= 0.3)
    # Internet sockets, reading processes of others, the machine's network: what it is for.
    assert worst == [
        "CapabilityBoundingSet=~CAP_SYS_PTRACE",
        "PrivateNetwork=",
        "RestrictAddressFamilies=~AF_(INET|INET6)",
    ]
    overall = analyze("security", "--offline=true", "--threshold=25", str(path))  # tenths: 2.5
    assert overall.returncode == 0, overall.stdout.splitlines()[-1]


def test_four_capabilities_and_no_more() -> None:
    lines = unit(COMMAND, everybody=True).splitlines()
    four = "CAP_NET_ADMIN CAP_BPF CAP_SYS_PTRACE CAP_DAC_READ_SEARCH"
    assert [line for line in lines if "CAP_" in line] == [
        f"AmbientCapabilities={four}",
        f"CapabilityBoundingSet={four}",
    ]
    assert "CAP_" not in unit(COMMAND, everybody=False)


def test_words_reach_the_program_as_they_are() -> None:
    text = unit(("/a b/python", "-m", "50%", "$HOME"), everybody=False)
    assert 'ExecStart="/a b/python" -m 50%% "$$HOME"\n' in text


def commands(here: Ground) -> list[tuple[str, ...]]:
    return [
        action.do
        for step in service_systemd.steps(here.machine)
        for action in step.actions
        if isinstance(action, Command)
    ]


def test_commands_for_everybody(tmp_path: Path) -> None:
    here = ground(tmp_path / "root")
    state = str(here.machine.state)
    assert commands(here) == [
        (
            *("useradd", "--system", "--user-group", "--no-create-home", "--shell", "/usr/sbin/nologin"),
            *("--home-dir", state, "steering-endpoint"),
        ),
        ("chown", "-R", "-h", "steering-endpoint:steering-endpoint", state),
        ("runuser", "-u", "steering-endpoint", "--", "/usr/bin/python3", "-P", "-c", "import steering"),
        ("systemctl", "daemon-reload"),
        ("systemctl", "enable", "--now", UNIT),
    ]


def test_commands_for_one_user(tmp_path: Path) -> None:
    here = ground(tmp_path / "root", everybody=False)
    assert commands(here) == [
        ("systemctl", "--user", "daemon-reload"),
        ("systemctl", "--user", "enable", "--now", UNIT),
    ]


@pytest.mark.needs("root")
def test_the_owner_is_asked_for_truly(tmp_path: Path) -> None:
    """The words with which find tells whose files those are."""
    (tmp_path / "a").touch()
    mine, theirs = (
        ("find", str(tmp_path), "!", "-user", user, "-exec", "false", "{}", "+") for user in ("root", "nobody")
    )
    assert (subprocess.run(mine).returncode, subprocess.run(theirs).returncode) == (0, 1)
