"""``steering pac``: print a PAC, and manage the tokens that give a group its own."""

import time
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from steering.cli.offline import pac_settings, policy_of
from steering.cli.rules_file import find_rules
from steering.cli.running import ConfigOption, JsonOption, StateOption, ask_service, configuration
from steering.cli.terminal import failed, print_json, wrong_use
from steering.pac.chains import plan_chains
from steering.pac.errors import PacError
from steering.pac.publish import build
from steering.pac.view import ANONYMOUS, View, of_address, of_group

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
    view = _view(source, group)
    loaded = configuration(config)
    policy = policy_of(loaded, find_rules(rules, config))
    groups = policy.rule_set.model.groups
    if group is not None and group not in groups:
        wrong_use(f"there is no group {group!r} in the rules ({', '.join(sorted(groups)) or 'none is defined'})")
    settings = pac_settings(loaded, inspector)
    try:
        plan_chains(settings.inspectors)
    except PacError as exc:
        wrong_use(str(exc))
    try:
        made = build(policy, view, time.time(), settings)
    except PacError as exc:
        failed(str(exc))
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
def add(
    group: Annotated[str, typer.Argument(metavar="GROUP", help="A group of the rules file.")],
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a token for GROUP and print the path of its PAC; it is shown once."""
    answer = ask_service(configuration(config, state), "POST", "/tokens", {"group": group})
    if as_json:
        print_json(answer)
    else:
        typer.echo(f"/p/{answer['token']}/proxy.pac")


@token.command("list")
def list_(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """List the tokens by id and group."""
    answer = ask_service(configuration(config, state), "GET", "/tokens")
    if as_json:
        print_json(answer["tokens"])
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
