"""The launchd service, as a plan: constructed, not run on a Mac."""

import plistlib
from pathlib import Path

import pytest

from steering.endpoint.install import service_launchd
from steering.endpoint.install.actions import Command, Edit
from tests.endpoint.install.ground import ground


def test_plist(tmp_path: Path) -> None:
    machine = ground(tmp_path / "root", system="macos").machine
    assert plistlib.loads(service_launchd.plist(machine).encode()) == {
        "Label": "steering.endpoint",
        "ProgramArguments": ["/usr/bin/python3", "-m", "steering", "endpoint", "run", "--state", str(machine.state)],
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 1,
        "ProcessType": "Interactive",
        "Umask": 0o077,
        "SoftResourceLimits": {"NumberOfFiles": 65536},
        "StandardErrorPath": str(machine.state / "endpoint.log"),
    }


@pytest.mark.parametrize(
    ("everybody", "domain", "file"),
    [
        (True, "system", "Library/LaunchDaemons/steering.endpoint.plist"),
        (False, "gui/501", "home/alice/Library/LaunchAgents/steering.endpoint.plist"),
    ],
)
def test_commands(tmp_path: Path, everybody: bool, domain: str, file: str) -> None:
    machine = ground(tmp_path / "root", system="macos", everybody=everybody).machine
    (step,) = service_launchd.steps(machine, 501)
    edit, command = step.actions
    path = str(machine.root / file)
    assert isinstance(edit, Edit)
    assert edit.path == path
    assert command == Command(
        name="steering.endpoint runs",
        do=("launchctl", "bootstrap", domain, path),
        holds=("launchctl", "print", f"{domain}/steering.endpoint"),
        undo=("launchctl", "bootout", f"{domain}/steering.endpoint"),
    )
