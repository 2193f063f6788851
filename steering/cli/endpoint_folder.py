"""The helper's state folder that a command means, and what is kept there.

Its own modules are imported where they are needed: every command of ``steering`` would wait for them.
"""

import ctypes
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steering.cli.terminal import wrong_use
from steering.endpoint.errors import EndpointError
from steering.endpoint.install.machine import SYSTEMS, state_folder
from steering.endpoint.settings import EndpointSettings

if TYPE_CHECKING:
    from steering.endpoint.bundle.content import Bundle

StateOption = Annotated[
    Path | None,
    typer.Option(
        "--state",
        metavar="DIR",
        readable=False,  # access(2) knows nothing of the service's capabilities
        help="The helper's state folder; by default that of this user, or root's.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """The last good policy.  ca_pem: of the inspection CA, "" where it carries none."""

    bundle: "Bundle"
    ca_pem: str


def endpoint_folder(state: Path | None) -> Path:
    """Root's is the computer's: the service's that is installed for everybody."""
    if state is not None:
        return state.absolute()
    return state_folder(SYSTEMS.get(sys.platform, "linux"), everybody=is_root(), home=Path.home())


def is_root() -> bool:
    """Root; on Windows SYSTEM, and administrators who have raised their rights.  Not yet run on a real Windows."""
    if hasattr(os, "geteuid"):
        return os.geteuid() == 0
    shell = getattr(ctypes, "WinDLL")("shell32")  # noqa: B009  typeshed has it for Windows alone
    return bool(shell.IsUserAnAdmin())


def endpoint_settings(folder: Path, overrides: Mapping[str, object] | None = None) -> EndpointSettings:
    """Exits with 2 where they are wrong."""
    from steering.endpoint.settings_file import load_settings

    given = {key: value for key, value in (overrides or {}).items() if value is not None}
    try:
        return load_settings(folder, os.environ, given)
    except EndpointError as exc:
        wrong_use(str(exc))


def kept_policy(folder: Path) -> Kept | None:
    """None where none was ever fetched.  Exits with 2 where it is damaged or may not be read."""
    from steering.endpoint.bundle import store
    from steering.endpoint.bundle.client import FOLDER
    from steering.endpoint.bundle.content import parse_bundle

    try:
        found = store.load(folder / FOLDER)
        return Kept(bundle=parse_bundle(found.policy), ca_pem=found.ca_pem.decode("ascii")) if found else None
    except EndpointError as exc:
        wrong_use(str(exc))


def needed_policy(folder: Path) -> Kept:
    """Exits with 2 where there is none."""
    kept = kept_policy(folder)
    if kept is None:
        wrong_use(
            f"there is no policy in {folder}: run 'steering endpoint enrol TOKEN', or name the folder with --state"
        )
    return kept
