"""``steering categories``: which categories there are, and which of them hold a host."""

from typing import Annotated

import typer

from steering.catalog import load_categories
from steering.cli.running import JsonOption
from steering.cli.terminal import print_json, wrong_use
from steering.policy.errors import PolicyError
from steering.policy.explain import host_of
from steering.policy.findings import printable
from steering.policy.hosts import Host
from steering.policy.rules import CategoryTable

app = typer.Typer(no_args_is_help=True, help="The categories that rules may name, and the hosts in them.")


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """List the categories and how many domains each holds."""
    table = load_categories()
    if as_json:
        found = [{"name": name, "domains": len(domains)} for name, domains in table.domains.items()]
        print_json({"version": table.version, "categories": found})
        return
    width = max(map(len, table.domains), default=0)
    for name, domains in table.domains.items():
        typer.echo(f"{name:{width}}  {len(domains):6} domains")
    typer.echo(f"version {table.version}")


@app.command()
def lookup(
    target: Annotated[str, typer.Argument(metavar="HOST_OR_URL", help="What is asked about.")],
    as_json: JsonOption = False,
) -> None:
    """Say which categories hold a host, and by which entry."""
    try:
        host = host_of(target)
    except PolicyError as exc:
        wrong_use(printable(str(exc), 500))
    table = load_categories()
    hits = holding(table, host)
    if as_json:
        found = [{"category": category, "entry": entry} for category, entry in hits]
        print_json({"host": host.text, "categories": found, "version": table.version})
    else:
        for category, entry in hits:
            typer.echo(f"{host.text}: {category} ({entry})")
        if not hits:
            typer.echo(f"{host.text}: in no category")


def holding(table: CategoryTable, host: Host) -> list[tuple[str, str]]:
    """Each category that holds ``host`` with the entry nearest to it; an address is in none."""
    if not host.is_name:
        return []
    labels = host.text.split(".")
    names = [".".join(labels[i:]) for i in range(len(labels))]
    nearest = ((category, next((n for n in names if n in domains), "")) for category, domains in table.domains.items())
    return [(category, entry) for category, entry in nearest if entry]
