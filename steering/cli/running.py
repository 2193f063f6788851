"""The configuration that a command means, and the running service that it can ask."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from steering.cli.terminal import failed, wrong_use
from steering.control.errors import ConfigError, ControlError

if TYPE_CHECKING:
    from steering.control.config import Loaded

CONFIGS = (Path("steering.toml"), Path("var/steering.toml"))

ConfigOption = Annotated[
    Path | None, typer.Option("--config", metavar="PATH", help="steering.toml; by default here or in var/.")
]
StateOption = Annotated[Path | None, typer.Option("--state", metavar="DIR", help="The state folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def configuration(
    config: Path | None, state: Path | None = None, overrides: Mapping[tuple[str, str], str] | None = None
) -> "Loaded":
    """The configuration named, else the one of this folder, else defaults.  Exits with 2 where it is wrong."""
    from steering.control.config import load_config

    file = config or next((path for path in CONFIGS if path.is_file()), None)
    given = dict(overrides or {})
    if state is not None:
        given["state", "dir"] = str(state.absolute())
    try:
        return load_config(file, os.environ, given)
    except ConfigError as exc:
        wrong_use(str(exc))


def ask_service(loaded: "Loaded", method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
    """Ask the service that runs on the configured state folder.  Exits with 1 where none does, 2 on wrong use."""
    from steering.control.client import Misasked

    try:
        return asked(loaded, method, path, body)
    except Misasked as exc:
        wrong_use(str(exc))
    except ControlError as exc:
        failed(str(exc))


def asked(loaded: "Loaded", method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
    """As ``ask_service``.  Raises ControlError with what the service, or its absence, says."""
    from steering.control.client import ask  # late: it brings a whole HTTP client with it

    return ask(loaded.state / "steering.sock", method, path, body)
