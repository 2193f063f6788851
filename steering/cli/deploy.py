"""``steering deploy``: ready-to-paste files for the running configuration, what each does and how to undo it."""

import sys
import time
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.serialization import Encoding

from steering.cli.running import ConfigOption, JsonOption, StateOption, configuration
from steering.cli.terminal import complain, failed, print_json, wrong_use
from steering.control.binding import fixed
from steering.control.cafiles import passphrase
from steering.control.config import Loaded, parse_listen
from steering.control.listening import Role
from steering.control.state import write_whole
from steering.deploy.errors import DeployError
from steering.deploy.facts import Address, Ca, Facts, Given, Installed, Listen, facts_of
from steering.deploy.render import files_of
from steering.deploy.signing import signed
from steering.deploy.targets import TARGETS, Target, lacking
from steering_inspector.keystore import KeystoreError, load

PLACEHOLDER = "PUT-THE-GROUPS-TOKEN-HERE"
LIST = "list"


def deploy(
    name: Annotated[str | None, typer.Argument(metavar="[NAME|list]", help="One of 'steering deploy list'.")] = None,
    write: Annotated[Path | None, typer.Option(metavar="DIR", help="Write them there, a folder each.")] = None,
    token: Annotated[str | None, typer.Option(help="A group's token, for that group's PAC.")] = None,
    group: Annotated[str | None, typer.Option(help="A placeholder for that group's token.")] = None,
    zone: Annotated[str | None, typer.Option(help="The clients' search domain, for the name wpad.")] = None,
    program: Annotated[Path | None, typer.Option(metavar="PATH", help="In units; by default this very one.")] = None,
    address: Annotated[list[str] | None, typer.Option(metavar="IP", help="Of the service. Repeatable.")] = None,
    resolver: Annotated[list[str] | None, typer.Option(metavar="IP", help="To hand out. Repeatable.")] = None,
    organisation: Annotated[str, typer.Option(help="What devices show their users.")] = "Steering",
    sign_key: Annotated[Path | None, typer.Option(metavar="PEM", help="Signs Apple profiles; with --write.")] = None,
    sign_certificate: Annotated[
        Path | None, typer.Option(metavar="PEM", help="Of that key, and those above it; with --write.")
    ] = None,
    config: ConfigOption = None,
    state: StateOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print files for systemd, DHCP, DNS, browsers and devices, what each does and how to undo it: all, or NAME."""
    _refuse_contradictions(name, write, token, group, (sign_key, sign_certificate))
    try:
        given = _given(configuration(config, state), program)
        facts = facts_of(
            replace(
                given,
                token=_claim(token, group),
                zone=zone or "",
                addresses=address or [],
                resolvers=resolver or [],
                organisation=organisation,
            )
        )
        if name == LIST:
            _list(facts, as_json=as_json)
            return
        chosen = [TARGETS[name]] if name is not None else list(TARGETS.values())
        made = _made(chosen, facts, strict=name is not None)
        profiles = _signed(made, sign_key, sign_certificate) if sign_key and sign_certificate else {}
    except DeployError as exc:
        wrong_use(str(exc))
    if as_json:
        print_json(_document(chosen, made, facts))
    elif write is None:
        _show(made, whole=name is None)
    if write is not None:
        _write(made, write, profiles)
    _say(chosen, made, facts, group=group, folder=write)


Made = dict[str, dict[str, str]]
Profiles = dict[tuple[str, str], bytes]  # by target and file: what is written signed


def _refuse_contradictions(
    name: str | None,
    write: Path | None,
    token: str | None,
    group: str | None,
    signing: tuple[Path | None, Path | None],
) -> None:
    if name not in (None, LIST, *TARGETS):
        wrong_use(f"there is no {name!r}: 'steering deploy list' prints the names")
    if token is not None and group is not None:
        wrong_use("--token or --group, not both")
    if name == LIST and write is not None:
        wrong_use("a list is not written")
    key, certificate = signing
    if (key is None) != (certificate is None) or (key is not None and write is None):
        wrong_use("--sign-key and --sign-certificate go together, and with --write")


def _claim(token: str | None, group: str | None) -> str:
    """The token alone, out of what ``steering pac token add`` prints, or as it is."""
    if token:
        return token.removeprefix("/p/").removesuffix("/proxy.pac")
    return PLACEHOLDER if group is not None else ""


def _say(chosen: list[Target], made: Made, facts: Facts, *, group: str | None, folder: Path | None) -> None:
    """What to know of what was made, on standard error."""
    if group is not None:
        complain(f"note: {PLACEHOLDER} stands for the token that 'steering pac token add {group}' makes")
    for note in facts.notes:
        complain(f"note: {note}")
    if folder is not None:
        complain(f"{len(made)} folders in {folder}: begin with {folder / 'README.md'}")
    for target in chosen:
        for need in lacking(target, facts):
            complain(f"left out {target.name}: {need.value}")


def _given(loaded: Loaded, program: Path | None) -> Given:
    """What the configuration says."""
    config = loaded.config
    control, _ = _listening(config.control.listen)
    dns, dns_port = _listening(config.dns.listen)
    ca, before = (*_cas(loaded), None, None)[:2]
    return Given(
        base_url=config.control.public_url or f"http://{config.control.listen}",
        control=control,
        dns=dns,
        dns_port=dns_port,
        proxies=config.inspector.advertise or [config.inspector.listen],
        internal_zones=config.policy.internal_zones,
        ca=ca,
        ca_before=before,
        installed=_installed(loaded, program),
    )


def _installed(loaded: Loaded, program: Path | None) -> Installed:
    """program: where it is not the one that runs now."""
    config = loaded.config
    access = [] if config.log.access in ("-", "off") else [loaded.path(config.log.access).parent]
    return Installed(
        program=str(program or Path(sys.executable).with_name("steering")),
        config=str(loaded.file.absolute()) if loaded.file else "",
        state=str(loaded.state),
        writes=tuple(map(str, access)),
        listens=tuple(
            Listen(host=ip_address(host), port=port, datagram=role is Role.DNS_UDP)
            for role, (host, port) in fixed(config).items()
        ),
    )


def _listening(listen: str) -> tuple[Address | None, int]:
    """None for every address, and port 0 for nothing at all."""
    if not listen:
        return None, 0
    host, port = parse_listen(listen)
    address = ip_address(host)
    return None if address.is_unspecified else address, port


def _cas(loaded: Loaded) -> list[Ca]:
    """The CA, and during a rotation the one before."""
    if not (loaded.state / "ca").is_dir():
        return []
    now = time.time()
    try:
        trusted = load(loaded.state, now, passphrase=passphrase()).trusted(now)
    except (KeystoreError, OSError) as exc:
        failed(str(exc))
    return [Ca.of(certificate.public_bytes(Encoding.DER)) for certificate in trusted]


def _made(chosen: list[Target], facts: Facts, *, strict: bool) -> Made:
    """strict: what is lacking is an error; else the target is left out."""
    return {target.name: files_of(target, facts) for target in chosen if strict or not lacking(target, facts)}


def _list(facts: Facts, *, as_json: bool) -> None:
    if as_json:
        print_json([_described(target, facts) for target in TARGETS.values()])
        return
    for target in TARGETS.values():
        missing = "" if not lacking(target, facts) else "  (not yet: 'steering deploy NAME' says why)"
        typer.echo(f"{target.name:20} {target.title}{missing}")


def _described(target: Target, facts: Facts) -> dict[str, object]:
    return {
        "name": target.name,
        "title": target.title,
        "does": target.does,
        "use": target.use,
        "undo": target.undo,
        "lacking": [need.value for need in lacking(target, facts)],
    }


def _document(chosen: list[Target], made: Made, facts: Facts) -> dict[str, object]:
    return {
        "pac_url": facts.pac_url,
        "notes": list(facts.notes),
        "targets": [_described(target, facts) | {"files": made.get(target.name, {})} for target in chosen],
    }


def _about(target: Target) -> str:
    return f"{target.does}\nUse: {target.use}\nUndo: {target.undo}"


def _show(made: Made, *, whole: bool) -> None:
    """One alone goes to standard output as it is, so that it can be sent into a file; its words to standard error."""
    for name, files in made.items():
        if whole:
            typer.echo(f"# {name}: {TARGETS[name].title}\n{_about(TARGETS[name])}\n")
        else:
            complain(_about(TARGETS[name]))
        for file, content in files.items():
            if whole or len(files) > 1:
                typer.echo(f"==> {file} <==")
            typer.echo(content, nl=whole)


def _signed(made: Made, key: Path, certificate: Path) -> Profiles:
    chain_pem, key_pem = certificate.read_bytes(), key.read_bytes()
    return {
        (name, file): signed(content.encode("utf-8"), chain_pem=chain_pem, key_pem=key_pem)
        for name, files in made.items()
        for file, content in files.items()
        if file.endswith(".mobileconfig")
    }


def _write(made: Made, folder: Path, profiles: Profiles) -> None:
    """Readable for the owner alone where a token may stand in an address: that is what they all are."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, files in made.items():
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        for file, content in files.items():
            mode = 0o700 if file.endswith(".sh") else 0o600
            write_whole(folder / name / file, profiles.get((name, file), content.encode("utf-8")), mode)
    write_whole(folder / "README.md", _readme(made).encode("utf-8"))


def _readme(made: Made) -> str:
    parts = ["# Files of 'steering deploy'\n"]
    for name, files in made.items():
        target = TARGETS[name]
        listed = ", ".join(f"[{file}]({name}/{file})" for file in files)
        parts.append(
            f"## {name}: {target.title}\n\n{listed}\n\n{target.does}\n\n*Use:* {target.use}\n\n*Undo:* {target.undo}\n"
        )
    return "\n".join(parts)
