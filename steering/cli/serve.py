"""``steering serve``: run everything."""

import contextlib
import os
import shutil
import sys
from pathlib import Path
from typing import Annotated, NoReturn
from urllib.parse import urlsplit

import typer

from steering.cli.init import create, write_starter
from steering.cli.running import CONFIGS, ConfigOption, StateOption, configuration
from steering.cli.terminal import failed, wrong_use
from steering.control.config import Loaded
from steering.control.errors import ConfigError, ControlError
from steering.control.listening import Role
from steering.control.status import Status


def serve(
    config: ConfigOption = None,
    state: StateOption = None,
    rules: Annotated[Path | None, typer.Option(help="The rules file; by default the configured one.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="Only this part: control, dns or inspector; repeatable.")
    ] = None,
    log_format: Annotated[str | None, typer.Option("--log-format", help="json or console.")] = None,
    init: Annotated[
        bool,
        typer.Option("--init", help="Make var/ first, or where there is a configuration its rules file, if missing."),
    ] = False,
) -> None:
    """Run control service, resolver and inspector until SIGTERM or Ctrl-C; SIGHUP reads the rules again."""
    # Late: the other commands start in half the time without the service's own imports.
    from steering.control.service import Only, Service
    from steering.process.logs import configure_logs
    from steering.process.loop import run

    if init and config is None and not any(path.is_file() for path in CONFIGS):
        create(state or Path("var"))
    overrides: dict[tuple[str, str], str] = {}
    if rules is not None:
        overrides["policy", "rules"] = str(rules.absolute())
    if log_format is not None:
        overrides["log", "format"] = log_format
    parts = tuple(only or Only.ALL)
    for part in parts:
        if part not in Only.ALL:
            wrong_use(f"--only {part}: there are {', '.join(Only.ALL)}")
    loaded = configuration(config, state, overrides)
    if loaded.config.follow.url:
        if rules is not None:
            wrong_use(f"--rules: this service follows {loaded.config.follow.url} and reads no rules file")
    elif not loaded.rules.is_file() and not (loaded.state / "last-good-rules.json").is_file():
        if not init:
            _refuse_without_rules(loaded)
        write_starter(loaded.rules)
    os.umask(0o077)
    configure_logs(loaded.config.log.format)
    try:
        run(Service(loaded, parts).run(lambda status: _banner(loaded, status)))
    except ConfigError as exc:
        wrong_use(str(exc))
    except ControlError as exc:
        failed(str(exc))


def _refuse_without_rules(loaded: Loaded) -> NoReturn:
    wrong_use(
        f"there is no rules file at {loaded.rules}: name one with --rules, or make a folder with 'steering init DIR'"
    )


def _command() -> str:
    """How this very program is called: ``make run`` starts it out of a folder that is in nobody's PATH."""
    return "steering" if shutil.which("steering") else sys.argv[0]


def _banner(loaded: Loaded, status: Status) -> None:
    if loaded.config.log.format == "json":
        return  # standard output is for machines now; the log says the same
    at, config = status.addresses, loaded.config
    control, proxy = at.get(Role.CONTROL.value, ""), at.get(Role.EXPLICIT.value, "")
    if control and config.control.public_url:  # in a container, or on every address, what listens is no place to go to
        control = urlsplit(config.control.public_url).netloc
    if proxy and config.inspector.advertise:
        proxy = config.inspector.advertise[0]
    lines = [
        f"Steering serves policy {status.revision}: {status.rules_in_words} from {status.rules_file}",
        "",
        *(f"  {role:32} {address}" for role, address in at.items()),
        "",
    ]
    ca = loaded.shared_ca / "ca.pem"
    if proxy:
        lines += [
            "Next: see a site inspected, and why",
            f"  curl -x http://{proxy} --cacert {ca} https://example.com/",
            f"  {_command()} explain zoom.us",
        ]
    if control:
        lines += [
            f"Browsers: trust {ca} (also at http://{control}/ca.pem),",
            f"  then set the automatic proxy configuration to http://{control}/proxy.pac",
        ]
    if Role.DNS_UDP.value in at:
        lines.append("Split DNS on a network needs ports 53, 443 and 80: see docs/operations.md, 'Low ports'.")
    where = f"remove {loaded.state}" if loaded.file else "remove the state folder"
    lines.append(f"Stop with Ctrl-C. To begin anew, {where} while it is stopped.")
    with contextlib.suppress(OSError):  # a full disk behind standard output ends no service
        typer.echo("\n".join(lines))
