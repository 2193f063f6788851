"""``steering ca``: show, export and rotate the inspection CA."""

import time
from pathlib import Path
from typing import Annotated

import typer

from steering.cli.running import ConfigOption, JsonOption, StateOption, configuration
from steering.cli.terminal import complain, failed, print_json, wrong_use
from steering.control.cafiles import NAME, passphrase
from steering_inspector.keystore import Keystore, KeystoreError, forget_previous, load
from steering_inspector.keystore import rotate as rotate_keystore

app = typer.Typer(help="The certificate authority that signs what the inspector shows.", no_args_is_help=True)
FORMATS = ("pem", "der")


def _loaded(config: Path | None, state: Path | None) -> Keystore:
    folder = configuration(config, state).state
    try:
        if not (folder / "ca").is_dir():
            raise KeystoreError(f"there is no CA in {folder}: 'steering init' or 'steering serve' makes one")
        return load(folder, time.time(), passphrase=passphrase())
    except (KeystoreError, OSError) as exc:
        failed(str(exc))


@app.command()
def show(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Say what the CA is: name, fingerprint, validity."""
    store = _loaded(config, state)
    facts = store.describe()
    if as_json:
        print_json(facts | {"warnings": store.warnings(time.time())})
        return
    for key, value in facts.items():
        typer.echo(f"{key:12} {value}")
    for warning in store.warnings(time.time()):
        complain(f"warning: {warning}")


@app.command()
def export(
    config: ConfigOption = None,
    state: StateOption = None,
    form: Annotated[str, typer.Option("--format", help="pem or der.")] = "pem",
    out: Annotated[Path | None, typer.Option(help="The file to write; by default standard output.")] = None,
) -> None:
    """Write the CA certificate (never the key), for devices to trust."""
    if form not in FORMATS:
        wrong_use(f"--format {form}: there are {', '.join(FORMATS)}")
    store = _loaded(config, state)
    content = store.bundle(time.time()) if form == "pem" else store.der
    if out is not None:
        out.write_bytes(content)
    else:
        typer.get_binary_stream("stdout").write(content)


@app.command()
def rotate(
    config: ConfigOption = None,
    state: StateOption = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    finish: Annotated[bool, typer.Option("--finish", help="Have devices trust the old one no longer.")] = False,
) -> None:
    """Make a new CA; devices must trust it before the service is restarted."""
    loaded = configuration(config, state)
    try:
        if finish:
            _finish(loaded.state)
            return
        if not yes:
            typer.confirm("Every device must trust the new certificate before the service uses it. Go on?", abort=True)
        store = rotate_keystore(loaded.state, time.time(), name=NAME, passphrase=passphrase())
    except (KeystoreError, OSError) as exc:
        failed(str(exc))
    typer.echo(f"made {store.folder / 'ca.pem'}; distribute it with the old one ('steering deploy' writes both),")
    typer.echo("then restart the service, and end with 'steering ca rotate --finish'")


def _finish(state: Path) -> None:
    if not forget_previous(state):
        failed("there is no rotation to finish: one certificate alone is trusted")
    typer.echo("the certificate before is given to devices no more; write the files of 'steering deploy' anew")
