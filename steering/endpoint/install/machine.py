"""What a machine is, as far as setting it up depends on it."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SYSTEMS: dict[str, Literal["linux", "macos", "windows"]] = {"linux": "linux", "darwin": "macos", "win32": "windows"}
SERVICE_USER = "steering-endpoint"


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """everybody: for all users, which takes root; else for one, whose ``home`` and ``user`` these are.

    root: "/" but in tests.  homes: (user, home) of those whose own stores are to be written, with ``everybody``.
    command: what starts the helper.  state: the helper's folder.
    has: whether there is such a program.  environment: HOME's XDG_ folders and JAVA_HOME are looked up in it.
    """

    system: Literal["linux", "macos", "windows"]
    everybody: bool
    root: Path
    home: Path
    user: str
    state: Path
    command: tuple[str, ...]
    homes: tuple[tuple[str, Path], ...] = ()
    has: Callable[[str], bool] = lambda program: shutil.which(program) is not None

    def at(self, path: str) -> Path:
        """An absolute path of this machine, below ``root``."""
        return self.root / path.lstrip("/")

    @property
    def users(self) -> tuple[tuple[str, Path], ...]:
        return self.homes if self.everybody else ((self.user, self.home),)

    @property
    def journal(self) -> Path:
        """The folder of the journal.  Root undoes what stands in it, so the service's user must not write there."""
        return self.at("/var/lib/steering-install") if self.everybody and self.system == "linux" else self.state

    def as_user(self, user: str, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Root does not follow the links that a user has put into a folder of theirs: the user's own rights do."""
        return ("runuser", "-u", user, "--", *argv) if self.everybody and user != "root" else argv


def detect(*, everybody: bool, state: Path | None = None) -> Machine:
    """This machine.  Raises KeyError on a system that is none of ours."""
    system = SYSTEMS[sys.platform]
    home = Path.home()
    return Machine(
        system=system,
        everybody=everybody,
        root=Path("/"),
        home=home,
        user=os.environ.get("USER") or os.environ.get("USERNAME") or home.name,
        state=state or state_folder(system, everybody=everybody, home=home),
        command=(sys.executable, "-m", "steering", "endpoint", "run"),
        homes=_homes() if everybody and system == "linux" else (),
    )


def state_folder(system: str, *, everybody: bool, home: Path) -> Path:
    """Where the helper keeps credential, bundle and journal."""
    match system, everybody:
        case "linux", True:
            return Path("/var/lib") / SERVICE_USER
        case "linux", False:
            return Path(os.environ.get("XDG_STATE_HOME") or home / ".local/state") / SERVICE_USER
        case "macos", True:
            return Path("/Library/Application Support/Steering")
        case "macos", False:
            return home / "Library/Application Support/Steering"
        case _:
            folder = "PROGRAMDATA" if everybody else "LOCALAPPDATA"
            return Path(os.environ.get(folder) or home) / "Steering"


def _homes() -> tuple[tuple[str, Path], ...]:
    """Of people: accounts from uid 1000 on, and root."""
    import pwd  # not on Windows

    return tuple(
        (account.pw_name, Path(account.pw_dir))
        for account in pwd.getpwall()
        if (account.pw_uid == 0 or 1000 <= account.pw_uid < 65534) and Path(account.pw_dir).is_dir()
    )
