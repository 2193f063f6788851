"""The system keychain of macOS.  Not yet run on a real machine.

From macOS 11 on the system asks an administrator unless a device profile does it.
"""

from pathlib import Path

from steering.endpoint.install.actions import Command, Step
from steering.endpoint.install.machine import Machine

KEYCHAIN = "/Library/Keychains/System.keychain"


def steps(machine: Machine, ca_path: Path) -> tuple[Step, ...]:
    if machine.system != "macos":
        return ()
    domain = ("-d",) if machine.everybody else ()
    keychain = KEYCHAIN if machine.everybody else str(machine.home / "Library/Keychains/login.keychain-db")
    command = Command(
        name="CA in the keychain",
        do=("security", "add-trusted-cert", *domain, "-r", "trustRoot", "-k", keychain, str(ca_path)),
        holds=("security", "verify-cert", "-c", str(ca_path)),
        undo=("security", "remove-trusted-cert", *domain, str(ca_path)),
    )
    why = "Safari, Chrome and all that uses the system's CAs trust the inspector's certificates"
    return (Step(name="keychain", why=why, actions=(command,)),)
