"""The system's own trust store on Linux: a file among the anchors, and the program that gathers them.

Pure but for looking which distribution's folders are there.  From these stores come OpenSSL, GnuTLS, curl, git, wget,
Go, .NET, and through p11-kit Firefox and Chrome where the distribution made it so.
"""

from dataclasses import dataclass

from steering.endpoint.install.actions import Command, Edit, Step
from steering.endpoint.install.edits import Whole
from steering.endpoint.install.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """folder: of the anchors.  file: ours in it.  gather: the program that makes ``bundle`` of them.

    anew: tells it to forget what is gone; Debian's leaves links to nowhere otherwise.
    """

    folder: str
    file: str
    gather: tuple[str, ...]
    bundle: str
    anew: tuple[str, ...] = ()


# In this order: the first whose folder and program are there.  Arch has RHEL's program and folders of its own.
FAMILIES = {
    "RHEL": Family(
        folder="/etc/pki/ca-trust/source/anchors",
        file="steering-ca.pem",
        gather=("update-ca-trust", "extract"),
        bundle="/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    ),
    "Arch": Family(
        folder="/etc/ca-certificates/trust-source/anchors",
        file="steering-ca.crt",
        gather=("update-ca-trust", "extract"),
        bundle="/etc/ca-certificates/extracted/tls-ca-bundle.pem",
    ),
    "SUSE": Family(
        folder="/etc/pki/trust/anchors",
        file="steering-ca.pem",
        gather=("update-ca-certificates",),
        bundle="/etc/ssl/ca-bundle.pem",
        anew=("--fresh",),
    ),
    "Debian": Family(  # Alpine and Gentoo too
        folder="/usr/local/share/ca-certificates",
        file="steering-ca.crt",
        gather=("update-ca-certificates",),
        bundle="/etc/ssl/certs/ca-certificates.crt",
        anew=("--fresh",),
    ),
}


def family_of(machine: Machine) -> Family | None:
    found = (f for f in FAMILIES.values() if machine.at(f.folder).is_dir() and machine.has(f.gather[0]))
    return next(found, None)


def steps(machine: Machine, ca_pem: str) -> tuple[Step, ...]:
    """Nothing for one user alone, or where no store of a known kind is."""
    family = family_of(machine) if machine.everybody and machine.system == "linux" else None
    if family is None:
        return ()
    gather, bundle = _gather(machine, family), str(machine.at(family.bundle))
    return (
        Step(
            name="system trust store",
            why="programs that use the system's CAs trust the inspector's certificates",
            actions=(
                Edit(path=str(machine.at(family.folder) / family.file), change=Whole(content=ca_pem)),
                Command(
                    name=" ".join(gather),
                    do=gather,
                    # Gathered bundles keep the lines of a certificate as they are; the last full one, of the signature,
                    # is like no other's.
                    holds=("grep", "-qxF", "--", telling_line(ca_pem), bundle),
                    undo=(*gather, *family.anew),
                    late=True,
                ),
            ),
        ),
    )


def telling_line(pem: str) -> str:
    """The last full line of a certificate's base64."""
    return [line for line in pem.splitlines() if line and not line.startswith("-")][-2]


def _gather(machine: Machine, family: Family) -> tuple[str, ...]:
    """Below another root only Debian's program can work, and is told so."""
    if str(machine.root) == "/":
        return family.gather
    folders = {
        "--localcertsdir": family.folder,
        "--etccertsdir": "/etc/ssl/certs",
        "--hooksdir": "/etc/ca-certificates/update.d",
    }
    return (*family.gather, *(word for flag, path in folders.items() for word in (flag, str(machine.at(path)))))
