"""From the rules file to what every point enforces: read, validate, compile, plan the PACs, check itself.

Nothing is put in force here; whoever calls gets the whole ``Enforced`` or an error with every reason.
"""

import errno
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from steering.control.config import Config
from steering.control.errors import PolicyUnusable
from steering.pac.errors import PacError
from steering.pac.publish import PacSet, PacSettings
from steering.policy import Flow, Policy, PolicyError, ReservedSettings, compile_policy, parse_host
from steering.policy.document import as_line, read_document
from steering.policy.findings import Finding, Severity
from steering.policy.hosts import normalise_name
from steering.policy.json_text import MAX_BYTES
from steering.policy.rules import CategoryTable, Network, parse_network


@dataclass(frozen=True, slots=True, kw_only=True)
class Enforced:
    """A policy in force.  source: the text of the rules file.  pacs: where they were made along with it."""

    policy: Policy
    source: bytes
    pacs: PacSet | None = None


def opened_networks(config: Config) -> tuple[Network, ...]:
    """The destinations that the inspector's guard lets through although they lie inside."""
    return tuple(map(parse_network, config.inspector.allow_destinations))


def own_names(config: Config) -> tuple[str, ...]:
    """The names by which clients know the service; they are reached directly, never through the inspector."""
    hosts = [urlsplit(url).hostname or "" for url in (config.control.public_url, config.control.endpoint_url)]
    inspectors = (*config.inspector.advertise, *config.inspector.endpoint_advertise)
    hosts += [*(text.rpartition(":")[0] for text in inspectors), *config.dns.server_names]
    names: dict[str, None] = {}
    for text in hosts:
        with suppress(PolicyError):
            host = parse_host(text)
            if host.is_name:
                names[host.text] = None
    return tuple(names)


def reserved_settings(config: Config) -> ReservedSettings:
    zones = dict.fromkeys((*config.policy.internal_zones, *config.dns.zones))
    return ReservedSettings(
        internal_zones=tuple(map(normalise_name, zones)),
        internal_networks=tuple(map(parse_network, config.policy.internal_networks)),
        own_names=own_names(config),
    )


def read_bounded(path: Path) -> bytes:
    """A rules file's bytes, one more than may be read at most.  Raises OSError.

    A named pipe is refused, as one that nobody writes to would be waited for; the pipe of a shell's ``<(...)`` has no
    name behind its link and is read.
    """
    if Path(os.path.realpath(path)).is_fifo():
        raise OSError(errno.EINVAL, "a named pipe, not a file")
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def read_source(path: Path) -> bytes:
    """The rules file.  Raises PolicyUnusable."""
    try:
        return read_bounded(path)
    except OSError as exc:
        raise PolicyUnusable(f"{path} cannot be read: {exc.strerror}", f"{path.name} cannot be read") from exc


def enforceable(
    source: bytes,
    *,
    shown: str,
    categories: CategoryTable,
    reserved: ReservedSettings,
    at: float,
    pac: PacSettings | None = None,
) -> Enforced:
    """Make what can be put in force of one rules text, with its PACs where ``pac`` says how.

    shown: what errors call the text.  Raises PolicyUnusable with all errors.
    """
    with _unobtrusively():
        reading = read_document(source, categories)
        if reading.rule_set is None:
            listed = "\n".join(f"{shown}:{as_line(finding)}" for finding in reading.findings)
            raise PolicyUnusable(listed, _summary(reading.findings, Path(shown).name))
        return enforceable_policy(compile_policy(reading.rule_set, reserved), source, shown=shown, pac=pac, at=at)


SWITCH_S = 0.001  # Python's own 5 ms are waited for anew by each request, several times


@contextmanager
def _unobtrusively() -> Iterator[None]:
    """While a thread makes a policy, whoever is served waits 2 ms for the interpreter instead of 7, and for no walk of
    the collector: the million objects of 100,000 names are no garbage, and each walk takes a quarter of a second.
    """
    collecting, switch_s = gc.isenabled(), sys.getswitchinterval()
    gc.disable()
    sys.setswitchinterval(min(SWITCH_S, switch_s))
    try:
        yield
    finally:
        sys.setswitchinterval(switch_s)
        if collecting:
            gc.enable()


def enforceable_policy(policy: Policy, source: bytes, *, shown: str, pac: PacSettings | None, at: float) -> Enforced:
    """Make everything of a compiled policy.  source: its rules text, b"" where nobody asks for it."""
    try:
        _check_itself(policy, at)
        pacs = PacSet(policy, at, pac) if pac is not None else None
    except (PacError, PolicyError) as exc:
        raise failed_checks(shown, exc) from exc
    return Enforced(policy=policy, source=source, pacs=pacs)


def failed_checks(shown: str, why: object) -> PolicyUnusable:
    name = Path(shown).name
    return PolicyUnusable(f"{shown}: {why}", f"{name}: these rules fail their checks; 'steering status' says which")


def _summary(findings: Sequence[Finding], name: str) -> str:
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    place = f"{name}:{errors[0].line}:{errors[0].column}" if errors[0].line else name
    more = f" and {len(errors) - 1} more" if len(errors) > 1 else ""
    return f"{place}: an error{more}; 'steering status' or 'steering check' lists them"


_SAMPLE = 200


def _check_itself(policy: Policy, at: float) -> None:
    """The compiled form against the entries as they are written, for some names of every rule."""
    for rule in policy.rules:
        if rule.source or rule.programs or not rule.in_time(at):
            continue
        for domain in rule.domains[:_SAMPLE]:
            for name in (domain.name, f"a.{domain.name}"):
                found = policy.decide(Flow(host=parse_host(name)), at)
                listed = any(match.rule == rule.name for match in found.matches)
                if found.reserved is None and domain.matches(name) and not listed:
                    raise PolicyError(f"self-check: {name} is not decided by rule '{rule.name}' ({domain})")
