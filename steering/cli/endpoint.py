"""``steering endpoint``: the helper on this computer, run, and made a device of a service."""

import asyncio
import logging
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from steering.cli import endpoint_install, endpoint_look, endpoints
from steering.cli.endpoint_folder import StateOption, endpoint_folder, endpoint_settings
from steering.cli.running import JsonOption
from steering.cli.terminal import complain, print_json, wrong_use
from steering.endpoint import device
from steering.endpoint.errors import EndpointError

if TYPE_CHECKING:
    from steering.endpoint.device import Credential
    from steering.endpoint.run import Serving

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="The helper on a laptop: knows the program behind each connection.",
)
app.command()(endpoints.token)
app.command()(endpoint_look.identify)
app.command()(endpoint_look.explain)
app.command()(endpoint_look.doctor)
app.command()(endpoint_install.install)
app.command()(endpoint_install.uninstall)
app.command()(endpoint_install.release)


@app.command()
def run(
    state: StateOption = None,
    listen: Annotated[
        str | None, typer.Option(metavar="ADDRESS:PORT", help="Proxy and PAC; by default 127.0.0.1:3129.")
    ] = None,
    capture: Annotated[
        bool | None, typer.Option("--capture/--no-capture", help="Redirect connections that know of no proxy (Linux).")
    ] = None,
    access: Annotated[
        str | None, typer.Option(metavar="FILE", help='Access lines: "-" standard output, "off", or a file.')
    ] = None,
    log_format: Annotated[str | None, typer.Option("--log-format", help="json or console.")] = None,
) -> None:
    """Run the helper until SIGTERM or Ctrl-C; SIGHUP looks for a newer policy at once."""
    # Late: the other commands start in half the time without the helper's own imports.
    from steering.endpoint.run import Helper
    from steering.process.logs import configure_logs
    from steering.process.loop import run as run_loop

    folder = endpoint_folder(state)
    over = {"listen": listen, "capture": capture, "access": access, "log_format": log_format}
    settings = endpoint_settings(folder, over)
    os.umask(0o077)
    configure_logs(settings.log_format)

    async def helper() -> None:
        await Helper(folder, settings).run(_banner if settings.log_format == "console" else None)

    try:
        run_loop(helper())
    except EndpointError as exc:
        wrong_use(str(exc))


@app.command()
def enrol(
    token: Annotated[
        str, typer.Argument(help="As 'steering endpoint token' made it; '-' reads it from standard input.")
    ],
    state: StateOption = None,
    name: Annotated[str, typer.Option(help="What administrators see; by default this computer's name.")] = "",
    anew: Annotated[bool, typer.Option("--anew", help="Also where this computer is enrolled already.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make this computer a device of the service that the token names, and fetch its policy."""
    from steering.endpoint.lock import locked
    from steering.process.logs import configure_logs

    folder = endpoint_folder(state)
    if device.is_enrolled(folder) and not anew:
        wrong_use(f"{folder} is enrolled already; --anew makes it another device, of another service perhaps")
    text = sys.stdin.readline().strip() if token == "-" else token  # noqa: S105
    os.umask(0o077)
    configure_logs("console", logging.ERROR)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with locked(folder):
            credential, revision = asyncio.run(_enrolled(text, folder, name))
    except EndpointError as exc:
        wrong_use(str(exc))
    if as_json:
        print_json(_as_json(credential, folder, revision))
        return
    group = f" of group {credential.group}" if credential.group else ""
    typer.echo(f"enrolled with {credential.service_url} as device {credential.device_id}{group}")
    typer.echo(f"policy {revision or 'not fetched yet: the helper fetches it when it runs'}")
    typer.echo("Next: 'steering endpoint install' sets this computer up, or 'steering endpoint run' to try it first")


async def _enrolled(text: str, folder: Path, name: str) -> "tuple[Credential, str]":
    from steering.endpoint.enrol import enrol as enrol_device
    from steering.endpoint.policy_keeping import fetch_policy

    credential = await enrol_device(text, folder, name)
    try:
        return credential, await fetch_policy(folder, credential)
    except EndpointError as exc:
        complain(f"enrolled, but the policy could not be fetched: {exc}")
        return credential, ""


def _as_json(credential: "Credential", folder: Path, revision: str) -> dict[str, object]:
    return {
        "device": credential.device_id,
        "group": credential.group,
        "service": credential.service_url,
        "state": str(folder),
        "revision": revision,
    }


def _banner(serving: "Serving") -> None:
    bundle, credential = serving.bundle, serving.credential
    group = f" (group {credential.group})" if credential.group else ""
    policy = (
        f"enforces policy {bundle.revision}, issued {_when(bundle.issued_at)}"
        if bundle
        else "has no policy yet and refuses everything until it has fetched one"
    )
    lines = [
        f"The helper of device {credential.device_id}{group} {policy}",
        "",
        f"  proxy (CONNECT, HTTP, SOCKS5)    {serving.proxy}",
        f"  automatic configuration (PAC)    http://{serving.proxy}/proxy.pac",
        *([f"  captured connections             {serving.captured}"] if serving.captured else ()),
        f"  control service                  {credential.service_url}",
        f"  programs                         {serving.trial.words}",
        *(f"                                   {note}" for note in serving.notes),
        "",
        "Next: see what becomes of a site, and why",
        f"  curl -x http://{serving.proxy} https://example.com/",
        "  steering endpoint explain example.com --program curl",
        "  steering endpoint doctor",
        "Stop with Ctrl-C.",
    ]
    typer.echo("\n".join(lines))


def _when(moment: float) -> str:
    age_s = time.time() - moment
    return f"{datetime.fromtimestamp(moment, UTC):%Y-%m-%d %H:%M} UTC" + (" (old)" if age_s > 7 * 86400 else "")
