"""``steering doctor``: what is wrong with the service on this machine, running or not, and what to do about it."""

from dataclasses import asdict
from typing import TYPE_CHECKING

import typer
from rich.text import Text

from steering.cli.running import ConfigOption, JsonOption, StateOption, asked, configuration
from steering.cli.terminal import console as new_console
from steering.cli.terminal import print_json
from steering.control.errors import ControlError
from steering.policy.findings import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from steering.control.doctor_findings import Finding

COLOUR = {"ok": "green", "warning": "yellow", "error": "bold red"}


def doctor(config: ConfigOption = None, state: StateOption = None, as_json: JsonOption = False) -> None:
    """Look for what is wrong with the service here, running or not, and say what to do: 1 where there is an error."""
    from steering.control.doctor import gather  # late: it brings every point with it
    from steering.control.doctor_findings import State, findings

    loaded = configuration(config, state)
    status, silent = None, ""
    try:
        status = asked(loaded, "GET", "/status")
    except ControlError as exc:
        silent = str(exc)
    found = findings(gather(loaded, status, silent))
    if as_json:
        print_json([asdict(finding) | {"state": finding.state.value} for finding in found])
    else:
        _print(found)
    if any(finding.state is State.ERROR for finding in found):
        raise typer.Exit(1)


def _print(found: "Sequence[Finding]") -> None:
    console = new_console()
    for finding in found:
        word = finding.state.value
        console.print(Text.assemble((f"{word:8}", COLOUR[word]), f"{finding.subject}: {printable(finding.text, 1000)}"))
        if finding.mend:
            console.print(Text(f"        {printable(finding.mend, 500)}"))
