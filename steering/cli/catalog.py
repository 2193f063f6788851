"""``steering catalog``: applications that are known to refuse inspection, and rules made of them."""

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from steering.catalog import App, By, CatalogError, find_app, load_apps, rule_for
from steering.cli.rules_file import add_rule, find_rules
from steering.cli.running import ConfigOption, JsonOption
from steering.cli.terminal import complain, print_json, wrong_use
from steering.cli.terminal import console as new_console

app = typer.Typer(no_args_is_help=True, help="Applications that are known to refuse inspection.")


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the applications of the catalog."""
    apps = list(load_apps().values())
    if as_json:
        print_json([found.model_dump(mode="json") for found in apps])
        return
    width = max(len(found.id) for found in apps)
    console = new_console()
    for found in apps:
        console.print(Text.assemble((f"{found.id:{width}}", "bold"), f"  {found.kind.value:17}  {found.name}"))


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="APP", help="Its id or name, as 'steering catalog list' has them.")],
    as_json: JsonOption = False,
) -> None:
    """Show what is known of an application, and from where."""
    found = _found(name)
    if as_json:
        print_json(found.model_dump(mode="json"))
        return
    console = new_console()
    console.print(Text.assemble((found.name, "bold"), f" ({found.vendor}), {found.kind.value}, as of {found.date}"))
    parts = {"windows": found.programs.windows, "macos": found.programs.macos, "linux": found.programs.linux,
             "domains": found.domains, "addresses": found.addresses}  # fmt: skip
    for part, entries in parts.items():
        for entry in entries:
            console.print(Text(f"  {part:10} {entry}{'  (unverified)' if entry in found.unverified else ''}"))
    for line in filter(None, (found.fix and f"instead of a bypass: {found.fix}", found.note)):
        console.print(Text(f"  {line}"))
    for source in found.sources:
        console.print(Text(f"  source     {source}"))


@app.command()
def add(
    name: Annotated[str, typer.Argument(metavar="APP", help="Its id or name, as 'steering catalog list' has them.")],
    rules: Annotated[Path | None, typer.Option(help="The rules file; by default the configured one.")] = None,
    config: ConfigOption = None,
    by: Annotated[By | None, typer.Option(help="Domains (enforced everywhere), programs, or both at once.")] = None,
    unverified: Annotated[bool, typer.Option("--unverified", help="Take entries that nobody has checked.")] = False,
    print_only: Annotated[bool, typer.Option("--print", help="Print the rule, change nothing.")] = False,
) -> None:
    """Add a rule that bypasses an application to the rules file."""
    found = _found(name)
    try:
        rule = rule_for(found, by, unverified=unverified)
    except CatalogError as exc:
        wrong_use(str(exc))
    if print_only:
        print_json(rule)
        return
    path = find_rules(rules, config)
    add_rule(path, rule)
    typer.echo(f"added '{rule['name']}' to {path}")
    if not rule["enabled"]:
        complain("It is disabled: the vendor asks for these names to be reachable, not for them to be bypassed.")
        complain(f"If they have to be: steering rules enable '{rule['name']}'")
    if found.fix:
        complain(f"Instead of a bypass: {found.fix}")


def _found(name: str) -> App:
    try:
        return find_app(name)
    except CatalogError as exc:
        wrong_use(str(exc))
