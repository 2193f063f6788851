"""``steering endpoint identify|explain|doctor``: what the helper on this computer sees, does, and lacks."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from steering.cli.endpoint_folder import (
    StateOption,
    endpoint_folder,
    endpoint_settings,
    is_root,
    kept_policy,
    needed_policy,
)
from steering.cli.running import JsonOption
from steering.cli.terminal import complain, print_json, wrong_use
from steering.cli.terminal import console as new_console
from steering.endpoint import device
from steering.endpoint.errors import EndpointError
from steering.policy.errors import PolicyError
from steering.policy.findings import printable
from steering.policy.points import Effect

if TYPE_CHECKING:
    from steering.endpoint.findings import Finding
    from steering.endpoint.identify.selftest import Tested
    from steering.endpoint.look import Seen

COLOUR = {"ok": "green", "note": "yellow", "problem": "bold red"}


def identify(
    number: Annotated[int, typer.Argument(metavar="PID|PORT", min=1, help="A process, or either end of connections.")],
    as_json: JsonOption = False,
) -> None:
    """Say which program the ladder sees behind connections; exits with 1 where there are none."""
    from steering.endpoint.look import look

    async def looked() -> "list[Seen]":
        from steering.endpoint.identify import open_identifier

        identifier = open_identifier()
        try:
            return await look(identifier, number)
        finally:
            identifier.close()

    try:
        found = asyncio.run(looked())
    except EndpointError as exc:
        wrong_use(str(exc))
    if as_json:
        print_json([seen.as_json() for seen in found])
    elif not found:
        complain(f"no connection of a process {number}, and none from or to a port {number}, is open here")
    else:
        _print_seen(found)
        if not is_root():
            complain("Seen with your rights: of other users' programs the helper's service sees more.")
    if not found:
        raise typer.Exit(1)


def _print_seen(found: "Sequence[Seen]") -> None:
    console = new_console()
    for seen in found:
        row, identity = seen.as_json(), seen.identity
        console.print(Text(f"{row['local']} -> {row['remote']}"))
        if identity.unknown:
            console.print(Text(f"  unknown: {printable(identity.unknown)}", "yellow"))
            continue
        names = ", ".join(map(printable, identity.names))
        console.print(Text.assemble("  program  ", (names, "bold"), f"  (process {identity.pid})"))
        console.print(Text(f"  path     {printable(identity.path or 'not known', 1000)}"))
        console.print(Text(f"  user     {printable(identity.user or 'not known')}"))
        if identity.package:
            console.print(Text(f"  package  {printable(identity.package)}"))
        console.print(Text(f"  found    by {identity.method.value} in {seen.took_us:.0f} µs"))


def explain(
    target: Annotated[str, typer.Argument(metavar="HOST_OR_URL", help="What is asked about.")],
    program: Annotated[str | None, typer.Option(help="The program's name or path.")] = None,
    user: Annotated[str | None, typer.Option(help="The user's name.")] = None,
    source: Annotated[
        str | None, typer.Option(metavar="IP", help="This computer's address, as the inspector sees it.")
    ] = None,
    at: Annotated[str | None, typer.Option(metavar="TIME", help="RFC 3339; by default now.")] = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what this computer's policy makes of a host, and why; from the policy kept here, without asking anybody."""
    from steering.cli.explain import instant_of, print_answer
    from steering.policy.explain import Given
    from steering.policy.explain import explain as explain_policy

    folder = endpoint_folder(state)
    bundle = needed_policy(folder).bundle
    instant = instant_of(at)
    listen = endpoint_settings(folder).listen
    given = Given(source=source, user=user, program=program, groups=_groups(folder))

    def returns(_host: object, effect: Effect) -> str:
        """The service's PAC may go direct; the helper's own leads to the helper, which then decides."""
        return f"PROXY {listen}"

    try:
        answer = explain_policy(bundle.policy, target, given, at=instant, pac_returns=returns).as_json()
    except PolicyError as exc:
        wrong_use(printable(str(exc), 500))
    answer["issued_at"] = bundle.issued_at
    if as_json:
        print_json(answer)
    else:
        print_answer(answer, pac_decides=False)


def _groups(folder: Path) -> frozenset[str]:
    try:
        group = device.load(folder).group
    except EndpointError:
        return frozenset()
    return frozenset((group,)) if group else frozenset()


def doctor(
    state: StateOption = None,
    record: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Write this system's raw tables there, for a bug report.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Look for what is wrong with the helper here, and say how to mend it; exits with 1 where something is."""
    from steering.endpoint.doctor import examine
    from steering.endpoint.findings import State

    if record is not None:
        _record(record)
        return
    folder = endpoint_folder(state)
    settings = endpoint_settings(folder)
    kept = kept_policy(folder)
    tested = asyncio.run(_self_test())
    found = examine(
        folder,
        settings,
        bundle=kept.bundle if kept else None,
        tested=tested,
        **_installation(folder, settings.listen, kept.ca_pem if kept else ""),
    )
    if as_json:
        print_json([asdict(finding) | {"state": finding.state.value} for finding in found])
    else:
        _print_findings(found)
    if any(finding.state is State.PROBLEM for finding in found):
        raise typer.Exit(1)


async def _self_test() -> "tuple[Tested, ...]":
    from steering.endpoint.identify import open_identifier
    from steering.endpoint.identify.selftest import run_self_test

    identifier = open_identifier()
    try:
        return await run_self_test(identifier)
    finally:
        identifier.close()


def _installation(folder: Path, listen: str, ca_pem: str) -> dict[str, Any]:
    """What an installation here consists of; nothing where that cannot be known."""
    from steering.endpoint.install.machine import SYSTEMS, detect, state_folder
    from steering.endpoint.install.plan import Wanted

    if not ca_pem or sys.platform not in SYSTEMS:
        return {}
    # Whoever looks: this folder is that of the service for everybody.
    everybody = is_root() or folder == state_folder(SYSTEMS[sys.platform], everybody=True, home=Path.home())
    return {
        "machine": detect(everybody=everybody, state=folder),
        "wanted": Wanted(ca_pem=ca_pem, listen=listen),
    }


def _print_findings(found: "Sequence[Finding]") -> None:
    console = new_console()
    for finding in found:
        word = finding.state.value
        line = Text.assemble((f"{word:8}", COLOUR[word]), f"{finding.subject}: {printable(finding.text, 1000)}")
        console.print(line)
        if finding.mend:
            console.print(Text(f"        {printable(finding.mend, 500)}"))


def _record(folder: Path) -> None:
    from steering.endpoint.recording import record

    try:
        files = record(folder)
    except (EndpointError, OSError) as exc:
        wrong_use(str(exc))
    typer.echo(f"wrote {len(files)} files to {folder}; README.txt there says what they hold")
