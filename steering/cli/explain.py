"""``steering explain``: which rules match a host, which one decides, and what each point would do."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from steering.cli.rules_file import find_rules, load_rules_file, wrong_use
from steering.policy.compile import compile_policy
from steering.policy.errors import PolicyError
from steering.policy.explain import Explanation, Given, PacReturn
from steering.policy.explain import explain as explain_policy
from steering.policy.findings import printable
from steering.policy.hosts import Host
from steering.policy.points import Effect

COLOUR = {"bypass": "bold green", "inspect": "bold yellow", "block": "bold red"}
POINTS = {"pac": "PAC file", "dns": "DNS resolver", "inspector": "inspector", "endpoint": "endpoint helper"}
DEFAULT_INSPECTOR = "127.0.0.1:3128"

# Asks the running service: the question's parameters in, the explanation's JSON out.
AskLive = Callable[[Mapping[str, str]], dict[str, Any]]


def ask_nobody(_: Mapping[str, str]) -> dict[str, Any]:
    wrong_use("there is no running service to ask; leave out --live to explain from the rules file")


# The control service's client takes its place where it is installed.
ask_live: AskLive = ask_nobody


def explain(
    target: Annotated[str, typer.Argument(metavar="HOST_OR_URL", help="What is asked about.")],
    rules: Annotated[Path | None, typer.Option(help="The rules file; by default the configured one.")] = None,
    source: Annotated[
        str | None, typer.Option(metavar="IP", help="The client's address, as the points see it.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="The user's name.")] = None,
    program: Annotated[
        str | None, typer.Option(help="A program's name or path; windows:, macos:, linux: in front.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339; by default now.")] = None,
    inspector: Annotated[list[str] | None, typer.Option(metavar="HOST:PORT", help="What the PAC names.")] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask the running service.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Say why a host is bypassed, inspected or blocked, and what each enforcement point would do with it."""
    question = {"target": target, "source": source, "user": user, "program": program, "at": at}
    if live:
        answer = ask_live({key: value for key, value in question.items() if value is not None})
    else:
        given = Given(source=source, user=user, program=program)
        answer = _offline(rules, target, given, _instant(at), pac_naming(inspector or [DEFAULT_INSPECTOR]))
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
    else:
        _print(answer)


def pac_naming(inspectors: list[str]) -> PacReturn:
    """What a PAC returns for one inspector; of several, the chain begins where the host's hash says."""
    chain = "; ".join(f"PROXY {inspector}" for inspector in inspectors)

    def returns(_: Host, effect: Effect) -> str:
        return "DIRECT" if effect is Effect.PAC_DIRECT else chain

    return returns


def _offline(rules: Path | None, target: str, given: Given, at: float, pac: PacReturn) -> dict[str, Any]:
    rule_set, _ = load_rules_file(find_rules(rules))
    try:
        found: Explanation = explain_policy(compile_policy(rule_set), target, given, at=at, pac_returns=pac)
    except PolicyError as exc:
        wrong_use(printable(str(exc), 500))
    return found.as_json()


def _instant(text: str | None) -> float:
    if text is None:
        return time.time()
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        wrong_use(f"{printable(text)} is no time; write it as 2026-12-31T18:00:00Z")
    if moment.tzinfo is None:
        wrong_use(f"{printable(text)} has no time zone; write it as 2026-12-31T18:00:00Z")
    return moment.timestamp()


def _print(answer: Mapping[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    console.print(Text.assemble((answer["host"], "bold"), ": ", (answer["action"], COLOUR.get(answer["action"], ""))))
    console.print(Text(f"  {printable(answer['why'], 1000)}"))
    if answer["pending"]:
        console.print(Text(f"  not known here, and it could change this: {', '.join(answer['pending'])}"))
    if answer["matches"]:
        console.print(Text("rules"))
    for match in answer["matches"]:
        may = "matches" if match["matched"] == "yes" else "may match"
        console.print(Text(f"  {may} ({match['action']}) {printable(match['rule'])}: {match['on']}"))
    console.print(Text("points"))
    for key, name in POINTS.items():
        console.print(Text(f"  {name:16} {answer['points'][key] or '-'}"))
    console.print(Text(f"revision {answer['revision']}"))
