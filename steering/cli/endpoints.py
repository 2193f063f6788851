"""``steering endpoints``: the devices that have enrolled, and ``steering endpoint token`` that lets another one in."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from steering.cli.running import ConfigOption, JsonOption, StateOption, ask_service, configuration
from steering.cli.terminal import complain, print_json
from steering.policy.findings import printable

app = typer.Typer(help="The devices that have enrolled with this service.", no_args_is_help=True)


def token(
    group: Annotated[str, typer.Option(metavar="G", help="The group that its devices are of.")] = "",
    uses: Annotated[int, typer.Option(metavar="N", help="How many devices may enrol by it.")] = 1,
    hours: Annotated[float, typer.Option(metavar="H", help="For how long.")] = 24.0,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make an enrolment token on the service's machine; it is shown once."""
    asked = {"group": group, "uses": uses, "hours": hours}
    answer = ask_service(configuration(config, state), "POST", "/endpoints/token", asked)
    if as_json:
        print_json(answer)
        return
    typer.echo(answer["token"])
    devices = "one device" if uses == 1 else f"{uses} devices"
    complain(f"good for {devices} until {_moment(answer['expires_at'])}; on each: steering endpoint enrol TOKEN")
    if answer["note"]:
        complain(answer["note"])


@app.command("list")
def list_(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List devices, the one heard last first, and the enrolment tokens that are still good."""
    answer = ask_service(configuration(config, state), "GET", "/endpoints")
    if as_json:
        print_json(answer)
        return
    for device in answer["devices"]:
        typer.echo(_device_line(device, answer["revision"]))
    for invitation in answer["tokens"]:
        ends = _moment(invitation["expires_at"])
        typer.echo(f"token {invitation['token_id']}  {invitation['group'] or '-'}  {invitation['uses']} left, {ends}")
    if not answer["devices"]:
        complain("no device has enrolled: 'steering endpoint token' makes a token for one")


@app.command("revoke")
def revoke(
    which: Annotated[str, typer.Argument(metavar="ID_NAME_OR_GROUP")],
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shut devices out at once, by id, by name or by a whole group; and enrolment tokens, by id or group."""
    answer = ask_service(configuration(config, state), "POST", "/endpoints/revoke", {"which": which})
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"{answer['devices']} devices and {answer['tokens']} tokens revoked")
    if not answer["devices"] and not answer["tokens"]:
        raise typer.Exit(1)


@app.command("rotate-keys")
def rotate_keys(config: ConfigOption = None, state: StateOption = None) -> None:
    """Sign policy bundles with new keys; helpers follow by themselves."""
    ask_service(configuration(config, state), "POST", "/endpoints/rotate-keys")
    typer.echo("policy bundles are signed with new keys")


def _device_line(device: Mapping[str, Any], revision: str) -> str:
    """What a device says of itself is whatever it likes."""
    parts = [device["device_id"], *(_said(device[what]) for what in ("name", "group", "system"))]
    if device["revoked_at"] is not None:
        return "  ".join([*parts, f"revoked {_moment(device['revoked_at'])}"])
    if device["seen_at"] is None:
        return "  ".join([*parts, "never heard"])
    return "  ".join([*parts, f"heard {_moment(device['seen_at'])}", *_remarks(device["report"], revision)])


def _remarks(report: Mapping[str, Any] | None, revision: str) -> list[str]:
    """What is not as it should be.  None: nothing was said since the service started."""
    if report is None:
        return []
    drift = [_said(f"{what}: {state}") for what, state in report["drift"].items() if state not in ("ok", True, None)]
    behind = [f"policy {_said(report['revision'] or 'none')}"] if report["revision"] != revision else []
    error = [_said(report["error"])] if report["error"] else []
    return [*behind, *drift, *error] or ["ok"]


def _said(text: object) -> str:
    """As one cell of a line."""
    return " ".join(printable(str(text), 300).split()) or "-"


def _moment(seconds: float) -> str:
    return datetime.fromtimestamp(float(seconds), UTC).strftime("%Y-%m-%d %H:%M UTC")
