"""``steering explain``: which rules match a host, which one decides, and what each point would do."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from steering.cli.offline import pac_settings, policy_of
from steering.cli.rules_file import find_rules
from steering.cli.running import ConfigOption, JsonOption, StateOption, asked, configuration
from steering.cli.terminal import console as new_console
from steering.cli.terminal import print_json, wrong_use
from steering.control.config import Loaded
from steering.control.errors import ControlError
from steering.control.policystore import opened_networks
from steering.pac.chains import Chains, plan_chains
from steering.pac.errors import PacError
from steering.policy.errors import PolicyError
from steering.policy.explain import Given, PacReturn
from steering.policy.explain import explain as explain_policy
from steering.policy.findings import printable
from steering.policy.hosts import Host
from steering.policy.points import Effect

COLOUR = {"bypass": "bold green", "inspect": "bold yellow", "block": "bold red"}

# What a point does, in words: point -> its title, and the words of every effect it can have.
POINTS: dict[str, tuple[str, dict[str | None, str]]] = {
    "dns": (
        "DNS resolver",
        {
            Effect.DNS_REAL.value: "gives the real answer",
            Effect.DNS_INSPECTOR.value: "gives the inspector's address",
            Effect.DNS_NXDOMAIN.value: "says that there is no such name",
            Effect.DNS_NODATA.value: "says that the name has no address",
            None: "is not asked: this is an address",
        },
    ),
    "inspector": (
        "inspector",
        {
            Effect.TUNNEL.value: "tunnels it, unopened",
            Effect.OPEN.value: "opens and inspects it",
            Effect.BLOCK_PAGE.value: "shows the block page",
            Effect.REFUSE.value: "refuses it",
        },
    ),
    "endpoint": (
        "endpoint helper",
        {
            Effect.ENDPOINT_DIRECT.value: "connects directly",
            Effect.ENDPOINT_PROXY.value: "sends it to the inspector",
        },
    ),
}


def explain(
    target: Annotated[str, typer.Argument(metavar="HOST_OR_URL", help="What is asked about.")],
    rules: Annotated[Path | None, typer.Option(help="The rules file; by default the configured one.")] = None,
    source: Annotated[
        str | None, typer.Option(metavar="IP", help="The client's address, as the points see it.")
    ] = None,
    user: Annotated[str | None, typer.Option(help="The user's name.")] = None,
    program: Annotated[
        str | None,
        typer.Option(help="A program's name or path; with windows:, macos: or linux: in front, on that system only."),
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339; by default now.")] = None,
    inspector: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST:PORT", help="What the PAC names, in place of the configured; repeatable."),
    ] = None,
    live: Annotated[bool, typer.Option("--live", help="Ask the running service.")] = False,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say why a host is bypassed, inspected or blocked, and what each enforcement point would do with it."""
    if live and (rules is not None or inspector):
        wrong_use("--live asks the service, which has its own rules and inspectors")
    instant = instant_of(at)
    loaded = configuration(config, state)
    if live or (loaded.config.follow.url and rules is None):  # who follows has no rules file to look into
        question = {"target": target, "source": source, "user": user, "program": program, "instant": str(instant)}
        answer = _live(loaded, {key: value for key, value in question.items() if value is not None})
    else:
        given = Given(source=source, user=user, program=program)
        answer = _offline(loaded, find_rules(rules, config), target, given, instant, inspector)
    if as_json:
        print_json(answer)
    else:
        print_answer(answer)


def _live(loaded: Loaded, question: Mapping[str, str]) -> dict[str, Any]:
    try:
        return asked(loaded, "POST", "/explain", question)
    except ControlError as exc:
        wrong_use(printable(str(exc), 500))


def _offline(
    loaded: Loaded, rules: Path, target: str, given: Given, at: float, inspectors: Sequence[str] | None
) -> dict[str, Any]:
    pac = _pac_returns(loaded, inspectors)
    policy = policy_of(loaded, rules)
    try:
        allow = opened_networks(loaded.config)
        return explain_policy(policy, target, given, at=at, pac_returns=pac, allow_destinations=allow).as_json()
    except PolicyError as exc:
        wrong_use(printable(str(exc), 500))


def _pac_returns(loaded: Loaded, inspectors: Sequence[str] | None) -> PacReturn:
    """What a PAC returns: of several inspectors, the host's hash says which comes first."""
    settings = pac_settings(loaded, inspectors)
    try:
        chains = plan_chains(settings.inspectors, fail_open=settings.fail_open, tls=settings.tls)
    except PacError as exc:
        if inspectors:
            wrong_use(printable(str(exc)))
        # Listening on a port that is chosen at the start, say: what it is then, --live knows.
        chains = Chains(chains=("; ".join(f"PROXY {text}" for text in settings.inspectors),))

    def returns(host: Host, effect: Effect) -> str:
        return "DIRECT" if effect is Effect.PAC_DIRECT else chains.of(host)

    return returns


def instant_of(text: str | None) -> float:
    if text is None:
        return time.time()
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        wrong_use(f"{printable(text)} is no time; write it as 2026-12-31T18:00:00Z")
    if moment.tzinfo is None:
        wrong_use(f"{printable(text)} has no time zone; write it as 2026-12-31T18:00:00Z")
    return moment.timestamp()


def print_answer(answer: Mapping[str, Any], *, pac_decides: bool = True) -> None:
    """For people: what is decided, why, and what each point does.  pac_decides: not the helper's, which asks it."""
    console = new_console()
    action, points = answer["action"], answer["points"]
    console.print(Text.assemble((_named(answer["host"]), "bold"), ": ", (action, COLOUR.get(action, ""))))
    reserved = f"reserved ({answer['reserved']}): " if answer["reserved"] else ""
    console.print(Text(f"  {reserved}{printable(answer['why'], 1000)}"))
    if answer["matches"]:
        console.print(Text("rules"))
    for match in answer["matches"]:
        may = "matches" if match["matched"] == "yes" else "may match"
        line = Text(f"  {may:9}  ")
        line.append(f"{match['action']:7}", COLOUR.get(match["action"], ""))
        line.append(f"  {printable(match['rule'])}: {printable(match['on'])}")
        console.print(line)
    console.print(Text("points"))
    console.print(Text(f"  {'PAC file':15}  {points['pac']}"))
    for key, (title, words) in POINTS.items():
        console.print(Text(f"  {title:15}  {words.get(points[key], points[key])}"))
    if action == "bypass" and not reserved and _held_back(points, pac_decides=pac_decides):
        console.print(Text("  Not bypassed where a condition of the rule cannot be seen or, in a PAC, will not last."))
    console.print(Text(f"revision {answer['revision']}", style="dim"))


def _held_back(points: Mapping[str, Any], *, pac_decides: bool) -> bool:
    bypassed = {"dns": Effect.DNS_REAL.value, "inspector": Effect.TUNNEL.value}
    if pac_decides:
        bypassed["pac"] = "DIRECT"
    return any(points[point] not in (effect, None) for point, effect in bypassed.items())


def _named(host: str) -> str:
    """The host, with the letters that its A-labels stand for."""
    try:
        letters = ".".join(
            label[4:].encode("ascii").decode("punycode") if label.startswith("xn--") else label
            for label in host.split(".")
        )
    except ValueError:
        return host
    return host if letters == host else f"{host} ({printable(letters)})"
