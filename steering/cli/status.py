"""``steering status`` and ``steering reload``: how the running service is, and reading the rules again."""

from datetime import UTC, datetime
from typing import Annotated

import typer

from steering.cli.running import ConfigOption, JsonOption, StateOption, ask_service, configuration
from steering.cli.terminal import complain, failed, print_json


def status(
    config: ConfigOption = None,
    state: StateOption = None,
    ready: Annotated[
        bool, typer.Option("--ready", help="Exit with 0 as long as some policy is enforced: for health checks.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what the running service enforces, and what is wrong; exits with 1 where it is degraded."""
    answer = ask_service(configuration(config, state), "GET", "/status")
    if ready:
        _tell_readiness(answer)
    else:
        _print(answer, as_json)


def reload(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Read the rules file again now; exits with 1 where the old rules had to stay."""
    _print(ask_service(configuration(config, state), "POST", "/reload"), as_json)


def _tell_readiness(answer: dict[str, object]) -> None:
    """As /readyz, for whichever parts are run: degraded is ready, or a bad file would end every replica."""
    if not answer["is_ready"]:
        failed("not ready: no policy is enforced")
    typer.echo(f"ready: policy {answer['revision']}")


def _print(answer: dict[str, object], as_json: bool) -> None:
    if as_json:
        print_json(answer)
    else:
        since = datetime.fromtimestamp(float(str(answer["since"])), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        typer.echo(f"{answer['state']}: policy {answer['revision']} since {since}")
        counted = f"{answer['rules']} rules ({answer['enabled']} enabled) with {answer['names']} domains"
        typer.echo(f"{counted} from {answer['rules_file']}")
        typer.echo(f"{answer['workers']} workers, {answer['restarts']} restarts, {answer['reloads']} reloads")
        addresses = answer["addresses"]
        for role, address in addresses.items() if isinstance(addresses, dict) else ():
            typer.echo(f"  {role:32} {address}")
        warnings = answer["warnings"]
        for warning in warnings if isinstance(warnings, list) else ():
            complain(f"warning: {warning}")
        if answer["error"]:
            complain(f"{_what_failed(answer)}:\n{answer['error']}")
    if answer["state"] != "ok":
        raise typer.Exit(1)


def _what_failed(answer: dict[str, object]) -> str:
    points = answer["points"]
    pac = points.get("pac") if isinstance(points, dict) else None
    if pac == answer["revision"]:
        return "the newest rules are not in force"
    return f"the newest rules are in force, but the PACs are still those of policy {pac}"
