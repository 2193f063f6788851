"""The helper as a Windows service, by ``sc.exe``.  Not yet run on a real machine."""

import subprocess

from steering.endpoint.install.actions import Command, Step
from steering.endpoint.install.machine import Machine

SERVICE = "SteeringEndpoint"


def steps(machine: Machine) -> tuple[Step, ...]:
    """The program it starts has to speak to the service control manager: ``windows_scm`` does, around the helper."""
    if not machine.everybody:
        return (_task(machine),)
    python, *_ = machine.command
    words = (python, "-m", "steering.endpoint.install.windows_scm", "--state", str(machine.state))
    command = subprocess.list2cmdline(words)
    return (
        Step(
            name="service",
            why="the helper starts with the machine and again whenever it ends",
            actions=(
                Command(
                    name=f"service {SERVICE}",
                    do=(
                        *("sc.exe", "create", SERVICE, "binPath=", command, "start=", "auto", "obj=", "LocalSystem"),
                        *("DisplayName=", "Steering endpoint helper"),
                    ),
                    holds=("sc.exe", "qc", SERVICE),
                    undo=("sc.exe", "delete", SERVICE),
                ),
                Command(
                    name=f"service {SERVICE} is started again",
                    do=(
                        "sc.exe",
                        "failure",
                        SERVICE,
                        "reset=",
                        "60",
                        "actions=",
                        "restart/1000/restart/1000/restart/5000",
                    ),
                ),
                # Else it is started again only after a crash, not when it ends with an error.
                Command(name="... after an error too", do=("sc.exe", "failureflag", SERVICE, "1")),
                Command(
                    name=f"service {SERVICE} runs",
                    do=("sc.exe", "start", SERVICE),
                    holds=("cmd.exe", "/c", f'sc.exe query {SERVICE} | find "RUNNING"'),
                    undo=("sc.exe", "stop", SERVICE),
                ),
            ),
            required=True,
        ),
    )


def _task(machine: Machine) -> Step:
    """For one user a task at logon: services are the machine's."""
    command = subprocess.list2cmdline((*machine.command, "--state", str(machine.state)))
    return Step(
        name="service",
        why="the helper starts when you log on",
        actions=(
            Command(
                name=f"task {SERVICE}",
                do=("schtasks.exe", "/Create", "/F", "/SC", "ONLOGON", "/TN", SERVICE, "/TR", command),
                holds=("schtasks.exe", "/Query", "/TN", SERVICE),
                undo=("schtasks.exe", "/Delete", "/F", "/TN", SERVICE),
            ),
            Command(name=f"task {SERVICE} runs", do=("schtasks.exe", "/Run", "/TN", SERVICE)),
        ),
        required=True,
    )
