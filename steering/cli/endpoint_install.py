"""``steering endpoint install|uninstall|release``: setting this computer up for the helper, and putting it back."""

import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from steering.cli.endpoint_folder import StateOption, endpoint_folder, endpoint_settings, is_root, needed_policy
from steering.cli.running import JsonOption
from steering.cli.terminal import complain, print_json, wrong_use
from steering.endpoint import device
from steering.endpoint.errors import EndpointError

if TYPE_CHECKING:
    from steering.endpoint.install.carry import Outcome
    from steering.endpoint.install.machine import Machine

DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Show each step, change nothing.")]


def install(
    state: StateOption = None,
    service: Annotated[bool, typer.Option("--service/--no-service", help="Run the helper with the computer.")] = True,
    proxies: Annotated[
        bool, typer.Option("--proxies/--no-proxies", help="Point desktop, browsers and shells at the helper.")
    ] = True,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Set this computer up: trust the inspection CA, run the helper, point programs at it; as root for everybody.

    Each step is shown, done and verified.  Doing it again mends what has drifted; uninstall puts everything back.
    """
    from steering.endpoint.install.carry import Carrier, install
    from steering.endpoint.install.journal import Journal
    from steering.endpoint.install.plan import Wanted, plan

    folder = endpoint_folder(state)
    kept = needed_policy(folder)
    if not kept.ca_pem:
        wrong_use("the policy carries no inspection CA: the service has none yet ('steering ca show' there says why)")
    machine = _machine(folder)
    if machine.everybody and service:
        _refuse_open_program()
    wanted = Wanted(
        ca_pem=kept.ca_pem,
        listen=endpoint_settings(folder).listen,
        internal_zones=kept.bundle.policy.settings.internal_zones,
        service=service,
        proxies=proxies,
    )
    tell = complain if as_json else typer.echo
    try:
        steps = plan(machine, wanted)
        outcomes = install(steps, Carrier(journal=Journal(machine.journal)), tell, dry_run=dry_run)
    except (EndpointError, OSError) as exc:
        wrong_use(str(exc))
    _end(outcomes, as_json)


def uninstall(
    state: StateOption = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Also remove the device's key, certificate, policy.")
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Put back what install has changed, and let captured connections go."""
    from steering.endpoint.capturing import let_go
    from steering.endpoint.install.carry import Carrier, Outcome, uninstall
    from steering.endpoint.install.journal import Journal

    folder = endpoint_folder(state)
    tell = complain if as_json else typer.echo
    try:
        outcomes = uninstall(Carrier(journal=Journal(_machine(folder).journal)), tell, dry_run=dry_run)
    except (EndpointError, OSError) as exc:
        wrong_use(str(exc))
    if not dry_run:
        # After the service has ended, which would put it in force again.
        try:
            let_go(folder)
        except EndpointError as exc:
            outcomes.append(Outcome(step="capture", changed=False, problem=str(exc)))
        if forget:
            _forget(folder)
    _end(outcomes, as_json)


def release(state: StateOption = None) -> None:
    """Let captured connections go although the helper that captured them is dead and the policy fails closed."""
    from steering.endpoint.capture import linux_nft
    from steering.endpoint.lock import locked

    folder = endpoint_folder(state)
    try:
        with locked(folder):  # one that runs would put capture in force again
            linux_nft.undo(folder)
    except EndpointError as exc:
        wrong_use(str(exc))
    typer.echo("nothing is captured now; the helper captures again when it starts with capture on")


def _machine(folder: Path) -> "Machine":
    from steering.endpoint.install.machine import SYSTEMS, detect

    if sys.platform not in SYSTEMS:
        wrong_use(f"installing is not known for {sys.platform}")
    return detect(everybody=is_root(), state=folder)


def _refuse_open_program() -> None:
    """Exits with 2 where others than root could put another program in the place of the one that is to be run."""
    from steering.endpoint.install.ownership import changed_by_others, own_places

    if sys.platform == "win32":
        return  # folders there have no mode that would tell
    found = changed_by_others(own_places())
    if found is not None:
        wrong_use(
            f"others than root may change {found}, from which the service would run with more rights than they have: "
            "install Steering into a folder of root's, as /opt/steering, and run it from there; or use --no-service"
        )


def _forget(folder: Path) -> None:
    from steering.endpoint.bundle.client import FOLDER

    device.forget(folder)
    if (folder / FOLDER).exists():
        shutil.rmtree(folder / FOLDER)


def _end(outcomes: "Sequence[Outcome]", as_json: bool) -> NoReturn:
    problems = [outcome for outcome in outcomes if outcome.problem]
    if as_json:
        print_json([asdict(outcome) for outcome in outcomes])
    else:
        changed = sum(outcome.changed for outcome in outcomes)
        typer.echo(f"{len(outcomes)} steps, {changed} changed, {len(problems)} failed")
        for outcome in problems:
            complain(f"{outcome.step}: {outcome.problem}")
    raise typer.Exit(1 if problems else 0)
