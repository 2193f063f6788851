"""The certificate store of Windows.  Not yet run on a real machine."""

from pathlib import Path

from steering.endpoint.install.actions import Command, Step
from steering.endpoint.install.machine import Machine


def steps(machine: Machine, ca_path: Path, thumbprint: str) -> tuple[Step, ...]:
    """thumbprint: SHA-1 of the certificate, by which the store knows it."""
    if machine.system != "windows":
        return ()
    whose = () if machine.everybody else ("-user",)
    command = Command(
        name="CA in the Root store",
        do=("certutil.exe", *whose, "-f", "-addstore", "Root", str(ca_path)),
        holds=("certutil.exe", *whose, "-store", "Root", thumbprint),
        undo=("certutil.exe", *whose, "-delstore", "Root", thumbprint),
    )
    why = "Edge, Chrome and all that uses the system's CAs trust the inspector's certificates"
    return (Step(name="certificate store", why=why, actions=(command,)),)
