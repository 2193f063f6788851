"""Java's ``cacerts``, of every JDK that keeps one of its own.

Debian's and Fedora's are links to one that the system store's program makes; those need nothing.
"""

import os
from pathlib import Path

from steering.endpoint.install.actions import Command, Step
from steering.endpoint.install.machine import Machine
from steering.endpoint.install.ownership import changed_by_others

ALIAS = "steering-inspection-ca"
PASSWORD = "changeit"  # noqa: S105  what every JDK ships with; it protects nothing but integrity
FOLDERS = {
    "linux": ("/usr/lib/jvm/*", "/usr/java/*", "/opt/java/*", "/opt/jdk*"),
    "macos": ("/Library/Java/JavaVirtualMachines/*/Contents/Home",),
    "windows": ("/Program Files/Java/*", "/Program Files/Eclipse Adoptium/*"),
}


def steps(machine: Machine, ca_path: Path) -> tuple[Step, ...]:
    if not machine.everybody:
        return ()
    actions = tuple(_command(machine, home, ca_path) for home in homes(machine))
    why = "Java programs trust the inspector's certificates"
    return (Step(name="Java", why=why, actions=actions),) if actions else ()


def homes(machine: Machine) -> list[Path]:
    """JDKs with a store of their own, each once; for root none that others may change, as it runs their keytool."""
    found = (path for pattern in FOLDERS[machine.system] for path in machine.root.glob(pattern.lstrip("/")))
    with_store = (home for home in found if (store := _store(home)).is_file() and not store.is_symlink())
    return sorted({home.resolve() for home in with_store if not _lends_root(home)})


def _lends_root(home: Path) -> bool:
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    return is_root and changed_by_others((home / "bin/keytool", _store(home))) is not None


def _store(home: Path) -> Path:
    """JDK 8 keeps it below jre/."""
    old = home / "jre/lib/security/cacerts"
    return old if old.exists() else home / "lib/security/cacerts"


def _command(machine: Machine, home: Path, ca_path: Path) -> Command:
    own = home / "bin" / ("keytool.exe" if machine.system == "windows" else "keytool")
    store = ("-keystore", str(_store(home)), "-storepass", PASSWORD, "-alias", ALIAS)
    tool = str(own) if own.exists() else "keytool"
    return Command(
        name=f"CA in {_store(home)}",
        do=(tool, "-importcert", "-noprompt", "-trustcacerts", "-file", str(ca_path), *store),
        holds=(tool, "-list", *store),
        undo=(tool, "-delete", *store),
        keeps=(str(_store(home)),),
    )
