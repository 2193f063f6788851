"""Every command of ``steering``, put together."""

from typing import Annotated

import typer

from steering.cli import (
    ca,
    catalog,
    categories,
    check,
    deploy,
    doctor,
    endpoint,
    endpoints,
    explain,
    init,
    pac,
    rules,
    serve,
    status,
)

ABOUT = "One rule set for TLS inspection bypasses, enforced alike by PAC, DNS, inspector and endpoint helper."

app = typer.Typer(
    name="steering",
    help=ABOUT,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(serve.serve)
app.command()(init.init)
app.command()(check.check)
app.command()(explain.explain)
app.command()(deploy.deploy)
app.command()(status.status)
app.command("reload")(status.reload)
app.command()(doctor.doctor)
app.add_typer(pac.app, name="pac")
app.add_typer(ca.app, name="ca")
app.add_typer(rules.app, name="rules")
app.add_typer(categories.app, name="categories")
app.add_typer(catalog.app, name="catalog")
app.add_typer(endpoint.app, name="endpoint")
app.add_typer(endpoints.app, name="endpoints")


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"steering {version('steering')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """One rule set for TLS inspection bypasses, enforced alike by PAC, DNS, inspector and endpoint helper."""
