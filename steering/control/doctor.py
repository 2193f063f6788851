"""Looks at a service and its machine, running or not, and changes nothing; ``doctor_findings`` says what it means."""

import errno
import os
import re
import shutil
import time
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from steering.catalog import load_categories
from steering.control import doctor_asks as asks
from steering.control.binding import Only, wanted
from steering.control.cafiles import passphrase
from steering.control.config import Config, Loaded
from steering.control.doctor_facts import Certificate, Facts, Folder, Held, Port, Reached, Rules, Running
from steering.control.errors import ConfigError, ListenError, PolicyUnusable
from steering.control.joining import FOLDER as FOLLOW
from steering.control.listening import Role, authority, listen
from steering.control.machine import own_addresses
from steering.control.points import upstreams_of
from steering.control.policystore import enforceable, read_source, reserved_settings
from steering.endpoint.bundle import store
from steering.endpoint.bundle.client import FOLDER as BUNDLE
from steering.pac.publish import PacSettings
from steering_dns.upstreams import Upstream, UpstreamError, parse_upstream, refuse_ourselves
from steering_inspector.keystore import KeystoreError, load, load_mounted

_HELD = {errno.EADDRINUSE: Held.TAKEN, errno.EACCES: Held.DENIED, errno.EPERM: Held.DENIED}
_HELPERS = (Role.ENDPOINT, Role.ENDPOINT_CONTROL)


def gather(loaded: Loaded, status: Mapping[str, Any] | None, silent: str) -> Facts:
    """Look at everything, which takes seconds where nobody answers.

    status: what the running service says of itself.  silent: why it says nothing.
    """
    now = time.time()
    addresses: Mapping[str, str] = status["addresses"] if status else {}
    parts = status["parts"] if status else Only.ALL
    ca = _ca(loaded, now, parts)
    rules = _followed(loaded) or _rules(loaded, now, addresses.get(Role.EXPLICIT.value, ""))
    upstreams, problem = _upstreams(loaded.config)
    certificates = [(role, asks.from_here(addresses[role.value])) for role in _HELPERS if role.value in addresses]
    with ThreadPoolExecutor(16) as pool:
        asked = list(pool.map(_asked, upstreams))
        reached = list(pool.map(_reached, [(role, addresses[role.value]) for role in Role if role.value in addresses]))
        shown = list(pool.map(lambda at: asks.certificate_at(at[0].value, *at[1]), certificates))
    return Facts(
        now=now,
        running=_running(status) if status else None,
        silent=silent,
        holder=0 if status else holder_of(loaded.state / "lock"),
        folder=_folder(loaded.state),
        rules=rules,
        ports=tuple(_ports(loaded.config, addresses, parts)),
        past=tuple(_past(loaded, ca, rules)),
        ca=ca,
        ca_url=f"{_public_url(loaded.config)}/ca.pem",
        upstreams=tuple(asked),
        upstreams_problem=problem,
        listeners=tuple(reached),
        certificates=tuple(shown),
    )


def _public_url(config: Config) -> str:
    return config.control.public_url.rstrip("/") or f"http://{config.control.listen}"


def _running(status: Mapping[str, Any]) -> Running:
    return Running(
        revision=str(status["revision"]),
        since=float(status["since"]),
        error=str(status["error"] or ""),
        warnings=tuple(map(str, status["warnings"])),
    )


def holder_of(lock: Path, table: Path = Path("/proc/locks")) -> int:
    """The process that has ``lock``, 0 for none; read from the kernel's table (proc(5)), as trying would take it."""
    try:
        inode = lock.stat().st_ino
        rows = [line.split() for line in table.read_text("ascii").splitlines()]
    except (OSError, ValueError):
        return 0
    held = (row for row in rows if len(row) > 5 and row[1] == "FLOCK" and row[5].endswith(f":{inode}"))
    return next((int(row[4]) for row in held if row[4].isdecimal()), 0)


def _folder(path: Path) -> Folder:
    exists = path.is_dir()
    there = next(folder for folder in (path, *path.parents) if folder.exists())
    return Folder(
        path=str(path),
        exists=exists,
        writable=os.access(there, os.W_OK | os.X_OK),
        mode=path.stat().st_mode & 0o777 if exists else 0o700,
        free_bytes=shutil.disk_usage(there).free,
    )


def _rules(loaded: Loaded, now: float, inspector: str) -> Rules:
    """inspector: where it listens, "" where that is not known."""
    path, config = loaded.rules, loaded.config
    # Until a free port was taken any will do, to try what a PAC comes to.
    known = inspector or re.sub(r":0$", ":3128", config.inspector.listen)
    settings = PacSettings(
        inspectors=tuple(config.inspector.advertise or [known]),
        fail_open=config.pac.fail_open,
        templates=loaded.path(config.pac.templates) if config.pac.templates else None,
    )
    problem = ""
    gates: tuple[str, ...] = ()
    try:
        made = enforceable(
            read_source(path), shown=str(path), categories=load_categories(),
            reserved=reserved_settings(config), pac=settings, at=now,
        )  # fmt: skip
        gates = made.pacs.anonymous.passed.warnings if made.pacs else ()
    except PolicyUnusable as exc:
        problem = str(exc)
    return Rules(
        path=str(path),
        problem=problem,
        gates=gates,
        changed=_changed(path),
        last_good=(loaded.state / "last-good-rules.json").is_file(),
    )


def _followed(loaded: Loaded) -> Rules | None:
    """None where rules come from a file."""
    url = loaded.config.follow.url
    if not url:
        return None
    kept = loaded.state / FOLLOW / BUNDLE / store.FILE
    return Rules(path="", followed=url, last_good=kept.is_file())


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _ports(config: Config, addresses: Mapping[str, str], parts: Collection[str]) -> Iterator[Port]:
    for role, (host, port) in wanted(config, parts).items():
        asked = authority(host, port)
        if _any_port(config, role):
            ours = addresses.get(role.value, "")
            yield Port(role=role.value, wanted=ours or "any port", held=Held.OURS if ours else Held.FREE)
        elif addresses.get(role.value) == asked:
            yield Port(role=role.value, wanted=asked, held=Held.OURS)
        else:
            yield Port(role=role.value, wanted=asked, held=_held(role, host, port))


def _any_port(config: Config, role: Role) -> bool:
    """Whether the configuration takes whichever is free; of the resolver ``wanted`` has chosen one by now."""
    texts = {
        Role.CONTROL: config.control.listen,
        Role.ENDPOINT_CONTROL: config.control.endpoint_listen,
        Role.EXPLICIT: config.inspector.listen,
        Role.TLS: config.inspector.tls_listen,
        Role.HTTP: config.inspector.http_listen,
        Role.ENDPOINT: config.inspector.endpoint_listen,
        Role.DNS_TLS: config.dns.tls_listen,
        Role.DNS_HTTPS: config.dns.https_listen,
    }
    return texts.get(role, config.dns.listen).endswith(":0")


def _held(role: Role, host: str, port: int) -> Held:
    """Found out by taking the address for an instant."""
    try:
        listen(role, host, port, 1).close()
    except ListenError as exc:
        number = exc.__cause__.errno if isinstance(exc.__cause__, OSError) else None
        return _HELD.get(number or 0, Held.ABSENT)
    return Held.FREE


def _ca(loaded: Loaded, now: float, parts: Collection[str]) -> Certificate | None:
    follows = bool(loaded.config.follow.url)
    if follows and Only.INSPECTOR not in parts:
        return None
    if not follows and not any(os.path.lexists(loaded.state / "ca" / part) for part in ("ca.key", "ca.pem")):
        return None
    try:
        if follows:
            found = load_mounted(loaded.shared_ca, now, passphrase=passphrase())
        else:
            found = load(loaded.state, now, passphrase=passphrase(), expired_too=True)
    except (KeystoreError, OSError) as exc:
        return Certificate(what="CA", problem=str(exc))
    certificate = found.authority.certificate
    return Certificate(
        what="CA",
        begins=certificate.not_valid_before_utc.timestamp(),
        ends=certificate.not_valid_after_utc.timestamp(),
    )


def _past(loaded: Loaded, ca: Certificate | None, rules: Rules) -> Iterator[tuple[str, float]]:
    """Moments that were the present once, by this clock or another."""
    yield "this program", _changed(Path(__file__))
    yield "the rules file", rules.changed
    if ca is not None and ca.begins:
        yield "the CA", ca.begins
    for name in ("lock", "last-good-rules.json", "pac-tokens.json", "devices.json"):
        yield f"{name} in the state folder", _changed(loaded.state / name)
    if loaded.file is not None:
        yield "the configuration", _changed(loaded.file)


def _upstreams(config: Config) -> tuple[list[tuple[str, Upstream]], str]:
    """(what it is for, upstream) of each, and why there is none or one is no good."""
    found: list[tuple[str, Upstream]] = []
    try:
        found += (("upstream DNS", upstream) for upstream in upstreams_of(config))
        for zone, texts in config.dns.zones.items():
            found += ((f"DNS of zone {zone}", parse_upstream(text)) for text in texts)
        listeners = [
            (ip_address(host), port)
            for role, (host, port) in wanted(config, Only.ALL).items()
            if role in (Role.DNS_UDP, Role.DNS_TCP)
        ]
        refuse_ourselves([upstream for _, upstream in found], listeners, own_addresses())
    except (ConfigError, UpstreamError) as exc:
        return [], str(exc)
    return found, ""


def _asked(of: tuple[str, Upstream]) -> Reached:
    what, upstream = of
    return Reached(what=what, address=str(upstream), problem=asks.ask_upstream(upstream))


def _reached(of: tuple[Role, str]) -> Reached:
    role, address = of
    return Reached(what=role.value, address=address, problem=asks.ask_listener(role, *asks.from_here(address)))
