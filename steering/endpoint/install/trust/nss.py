"""NSS databases: Chrome and Chromium on Linux (one per user), and Firefox's (one per profile)."""

from pathlib import Path

from steering.endpoint.install.actions import Command, Step
from steering.endpoint.install.machine import Machine

NICKNAME = "Steering inspection CA"

# Folders below a home that hold a database, "*" for any name.  Those of snaps and flatpaks are on their own.
DATABASES = (
    ".pki/nssdb",
    "snap/chromium/*/.pki/nssdb",
    ".var/app/*/.pki/nssdb",
    ".mozilla/firefox/*",
    ".config/mozilla/firefox/*",
    "snap/firefox/common/.mozilla/firefox/*",
    ".var/app/org.mozilla.firefox/.mozilla/firefox/*",
    ".thunderbird/*",
)
MAC_DATABASES = ("Library/Application Support/Firefox/Profiles/*",)


def databases(machine: Machine, home: Path) -> list[Path]:
    """Those that are there."""
    patterns = MAC_DATABASES if machine.system == "macos" else DATABASES
    try:
        found = {path.resolve() for pattern in patterns for path in home.glob(f"{pattern}/cert9.db")}
    except OSError:
        return []
    return sorted(path.parent for path in found)


def steps(machine: Machine, ca_path: Path) -> tuple[Step, ...]:
    """ca_path: a certificate in PEM that every user may read.  Nothing without ``certutil``."""
    if machine.system == "windows" or not machine.has("certutil"):
        return ()
    actions = tuple(
        _command(machine, user, folder, ca_path) for user, home in machine.users for folder in databases(machine, home)
    )
    why = "Chromium and Firefox trust the inspector's certificates"
    return (Step(name="browsers' own stores", why=why, actions=actions),) if actions else ()


def _command(machine: Machine, user: str, folder: Path, ca_path: Path) -> Command:
    def certutil(*arguments: str) -> tuple[str, ...]:
        return machine.as_user(
            user, ("certutil", *arguments[:1], "-d", f"sql:{folder}", "-n", NICKNAME, *arguments[1:])
        )

    return Command(
        name=f"CA in {folder}",
        do=certutil("-A", "-t", "C,,", "-i", str(ca_path)),
        holds=certutil("-L"),
        undo=certutil("-D"),
    )
