"""The Windows service, as a plan: constructed, not run on Windows."""

from pathlib import Path

from steering.endpoint.install import service_windows
from steering.endpoint.install.actions import Command
from tests.endpoint.install.ground import Ground, ground


def words(here: Ground) -> list[tuple[str, ...]]:
    (step,) = service_windows.steps(here.machine)
    return [action.do for action in step.actions if isinstance(action, Command)]


def test_for_everybody_a_service(tmp_path: Path) -> None:
    here = ground(tmp_path / "a root", system="windows")
    command = f'/usr/bin/python3 -m steering.endpoint.install.windows_scm --state "{here.machine.state}"'
    assert words(here) == [
        (
            *("sc.exe", "create", "SteeringEndpoint", "binPath=", command, "start=", "auto", "obj=", "LocalSystem"),
            *("DisplayName=", "Steering endpoint helper"),
        ),
        (
            *("sc.exe", "failure", "SteeringEndpoint", "reset=", "60"),
            *("actions=", "restart/1000/restart/1000/restart/5000"),
        ),
        ("sc.exe", "failureflag", "SteeringEndpoint", "1"),
        ("sc.exe", "start", "SteeringEndpoint"),
    ]


def test_for_one_user_a_task(tmp_path: Path) -> None:
    here = ground(tmp_path / "root", system="windows", everybody=False)
    command = f"/usr/bin/python3 -m steering endpoint run --state {here.machine.state}"
    assert words(here) == [
        ("schtasks.exe", "/Create", "/F", "/SC", "ONLOGON", "/TN", "SteeringEndpoint", "/TR", command),
        ("schtasks.exe", "/Run", "/TN", "SteeringEndpoint"),
    ]
