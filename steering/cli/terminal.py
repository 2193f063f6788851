"""What a command prints: colours on a terminal alone, problems as lines on standard error."""

import json
import os
from typing import NoReturn

import typer
from rich.console import Console
from rich.text import Text

from steering.policy.findings import printable


def console(*, stderr: bool = False) -> Console:
    """A console without colours where NO_COLOR is set or nobody looks; no text is taken for markup."""
    plain = bool(os.environ.get("NO_COLOR"))
    return Console(
        stderr=stderr,
        highlight=False,
        soft_wrap=True,
        markup=False,
        emoji=False,
        color_system=None if plain else "auto",
    )


def print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=2))


def complain(text: str) -> None:
    """text: lines; what else in it could steer the terminal is written out, as it may be a peer's."""
    safe = "\n".join(printable(line, len(text) * 10) for line in text.split("\n"))
    console(stderr=True).print(Text(safe))


def wrong_use(text: str) -> NoReturn:
    complain(text)
    raise typer.Exit(2)


def failed(text: str) -> NoReturn:
    complain(text)
    raise typer.Exit(1)
