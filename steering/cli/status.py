"""``steering status`` and ``steering reload``: how the running service is, and reading the rules again."""

from datetime import UTC, datetime

import typer

from steering.cli.running import ConfigOption, JsonOption, StateOption, ask_service, configuration
from steering.cli.terminal import complain, print_json


def status(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Say what the running service enforces, and what is wrong; exits with 1 where it is degraded."""
    _print(ask_service(configuration(config, state), "GET", "/status"), as_json)


def reload(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Read the rules file again now; exits with 1 where the old rules had to stay."""
    _print(ask_service(configuration(config, state), "POST", "/reload"), as_json)


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
            complain(f"the rules file is not in force:\n{answer['error']}")
    if answer["state"] != "ok":
        raise typer.Exit(1)
