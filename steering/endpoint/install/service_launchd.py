"""The helper as a launchd service.  Not yet run on a real machine.

As root where it serves everybody: without it libproc tells nothing of other users' processes.
"""

import plistlib

from steering.endpoint.install.actions import Command, Edit, Step
from steering.endpoint.install.edits import Whole
from steering.endpoint.install.machine import Machine

LABEL = "steering.endpoint"


def plist(machine: Machine) -> str:
    content = {
        "Label": LABEL,
        "ProgramArguments": [*machine.command, "--state", str(machine.state)],
        "RunAtLoad": True,
        "KeepAlive": True,
        "ThrottleInterval": 1,
        "ProcessType": "Interactive",  # else its sockets are slowed down as background work
        "Umask": 0o077,
        "SoftResourceLimits": {"NumberOfFiles": 65536},
        "StandardErrorPath": str(machine.state / "endpoint.log"),
    }
    return plistlib.dumps(content).decode()


def steps(machine: Machine, uid: int) -> tuple[Step, ...]:
    """uid: of the user whose service it is, where it is not everybody's."""
    folder = machine.at("/Library/LaunchDaemons") if machine.everybody else machine.home / "Library/LaunchAgents"
    domain = "system" if machine.everybody else f"gui/{uid}"
    path = str(folder / f"{LABEL}.plist")
    return (
        Step(
            name="service",
            why="the helper starts with the machine and again whenever it ends",
            actions=(
                Edit(path=path, change=Whole(content=plist(machine))),
                Command(
                    name=f"{LABEL} runs",
                    do=("launchctl", "bootstrap", domain, path),
                    holds=("launchctl", "print", f"{domain}/{LABEL}"),
                    undo=("launchctl", "bootout", f"{domain}/{LABEL}"),
                ),
            ),
            required=True,
        ),
    )
