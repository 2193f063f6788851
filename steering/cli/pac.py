"""``steering pac``: print a PAC, and manage the tokens that give a group its own."""

import json
import time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from steering.cli.rules_file import load_rules_file, wrong_use
from steering.cli.running import ConfigOption, JsonOption, StateOption, ask_service, configuration
from steering.control.policystore import reserved_settings
from steering.pac.errors import PacError
from steering.pac.publish import PacSettings, build
from steering.pac.view import ANONYMOUS, View, of_address, of_group
from steering.policy import compile_policy

app = typer.Typer(help="Print the PAC file that a requester gets.", invoke_without_command=True)
token = typer.Typer(help="Tokens that claim a group in a PAC's address.", no_args_is_help=True)
app.add_typer(token, name="token")


@app.callback()
def pac(
    context: typer.Context,
    rules: Annotated[Path | None, typer.Option(help="The rules file; by default the configured one.")] = None,
    source: Annotated[str | None, typer.Option(metavar="IP", help="For a requester at this address.")] = None,
    group: Annotated[str | None, typer.Option(metavar="G", help="For a requester with this group's token.")] = None,
    inspector: Annotated[list[str] | None, typer.Option(metavar="HOST:PORT", help="Repeatable.")] = None,
    config: ConfigOption = None,
) -> None:
    """Print the PAC file that a requester gets; without --source or --group, one that supposes nothing."""
    if context.invoked_subcommand is not None:
        return
    loaded = configuration(config)
    rule_set, _ = load_rules_file(rules or loaded.rules)
    if group is not None and group not in rule_set.model.groups:
        wrong_use(f"there is no group {group!r} in the rules")
    policy = compile_policy(rule_set, reserved_settings(loaded.config, ()))
    inspectors = tuple(inspector or loaded.config.inspector.advertise or [loaded.config.inspector.listen])
    settings = PacSettings(
        inspectors=inspectors,
        fail_open=loaded.config.pac.fail_open,
        templates=loaded.path(loaded.config.pac.templates) if loaded.config.pac.templates else None,
    )
    try:
        made = build(policy, _view(source, group), time.time(), settings)
    except PacError as exc:
        typer.echo(str(exc), err=True)
        raise typer.Exit(1) from exc
    typer.echo(made.body.decode("ascii"), nl=False)


def _view(source: str | None, group: str | None) -> View:
    if source is not None and group is not None:
        wrong_use("--source or --group, not both: a token says nothing of an address")
    if group is not None:
        return of_group(group)
    if source is None:
        return ANONYMOUS
    try:
        return of_address(ip_address(source))
    except ValueError:
        wrong_use(f"--source {source!r} is no IP address")


@token.command("add")
def add(group: str, config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Make a token for GROUP and print the path of its PAC; it is shown once."""
    answer = ask_service(configuration(config, state), "POST", "/tokens", {"group": group})
    typer.echo(json.dumps(answer) if as_json else f"/p/{answer['token']}/proxy.pac")


@token.command("list")
def list_(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the tokens by id and group."""
    answer = ask_service(configuration(config, state), "GET", "/tokens")
    if as_json:
        typer.echo(json.dumps(answer["tokens"]))
        return
    for row in answer["tokens"]:
        typer.echo(f"{row['id']}  {row['group']}")


@token.command("revoke")
def revoke(
    which: Annotated[str, typer.Argument(metavar="ID_OR_GROUP")], config: ConfigOption = None, state: StateOption = None
) -> None:
    """Revoke one token by its id, or all of a group."""
    answer = ask_service(configuration(config, state), "POST", "/tokens/revoke", {"which": which})
    typer.echo(f"{answer['revoked']} revoked")
    if not answer["revoked"]:
        raise typer.Exit(1)
