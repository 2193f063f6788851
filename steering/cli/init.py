"""``steering init``: a folder with configuration, starter policy and CA, made once and never overwritten."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from steering import resources
from steering.cli.terminal import wrong_use
from steering.control.cafiles import NAME, passphrase
from steering.control.config import as_toml
from steering.control.errors import ControlError
from steering.control.state import open_state, write_whole
from steering.policy.schema import schema_text
from steering_inspector.keystore import KeystoreError, load_or_create

SCHEMA = "rules.schema.json"  # as the starter rules name it, for editors


def init(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Made where it is missing.")],
    state: Annotated[
        Path | None, typer.Option(metavar="DIR", help="For the CA and all that is kept; by default the same.")
    ] = None,
) -> None:
    """Make steering.toml, rules.json (the starter policy) and the CA in DIR; what is there already stays."""
    create(folder, state)
    typer.echo(f"Next: look at {folder / 'rules.json'}, then run 'steering serve --config {folder / 'steering.toml'}'")


def create(folder: Path, state: Path | None = None) -> None:
    """As the command, saying what it makes."""
    kept = state or folder
    try:
        if state is not None:
            folder.mkdir(parents=True, exist_ok=True)
        open_state(kept)
        _make(folder / "steering.toml", _configuration("." if state is None else str(state.absolute())))
        _make(folder / "rules.json", _starter())
        _keep(folder / SCHEMA, schema_text())
        before = (kept / "ca" / "ca.pem").exists()
        store = load_or_create(kept, time.time(), name=NAME, passphrase=passphrase())
        typer.echo(f"{'kept' if before else 'made'} {store.folder / 'ca.pem'}")
    except (OSError, ControlError, KeystoreError) as exc:
        wrong_use(str(exc))


def write_starter(rules: Path) -> None:
    """The starter policy as ``rules``, where a configuration names a file that is not there yet."""
    try:
        _make(rules, _starter())
        _keep(rules.parent / SCHEMA, schema_text())
    except OSError as exc:
        wrong_use(f"the starter policy cannot be written: {exc}")


def _starter() -> str:
    return resources.starter_rules().read_text("utf-8")


def _configuration(state: str) -> str:
    return as_toml().replace('#dir = "var"', f"dir = {json.dumps(state)}")


def _keep(path: Path, text: str) -> None:
    """For what is ours alone: as this version has it, without a word."""
    if not path.exists() or path.read_text("utf-8") != text:
        write_whole(path, text.encode(), 0o644)


def _make(path: Path, text: str) -> None:
    if path.exists():
        typer.echo(f"kept {path}")
        return
    write_whole(path, text.encode(), 0o644)
    typer.echo(f"made {path}")
