"""What a policy bundle says, read strictly; the control service writes it with ``write_bundle``.

Pure.  Who wrote it and whether it is the newest is for TUF to say; here it becomes a policy, or an error.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from steering.endpoint.errors import BundleError
from steering.policy import CategoryTable, Policy, ReservedSettings, compile_policy
from steering.policy.document import as_line, read_document
from steering.policy.errors import PolicyError
from steering.policy.hosts import Address, normalise_name, parse_host
from steering.policy.rules import parse_network

FORMAT = 1
MAX_INSTANT = 253_402_300_799.0  # the end of the year 9999: what is later is no date
POLICY_TARGET, CA_TARGET = "policy.json", "ca.pem"


class Modes(BaseModel):
    """What the helper does where it cannot do its work.

    inspector_unreachable: "closed" refuses, "open" goes direct.  helper_dead: what captured connections do when the
    helper is gone.  unknown_process: "inspect", or "block".
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    inspector_unreachable: str = Field("closed", pattern="^(closed|open)$")
    helper_dead: str = Field("closed", pattern="^(closed|open)$")
    unknown_process: str = Field("inspect", pattern="^(inspect|block)$")


class _Reserved(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    internal_zones: list[str]
    internal_networks: list[str]
    own_names: list[str]


class _Categories(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    version: str
    domains: dict[str, list[str]]


class _Content(BaseModel):
    # A newer service may say more; what it says more must not be needed to enforce what it says here.
    model_config = ConfigDict(extra="ignore", frozen=True)

    format: int
    revision: str
    issued_at: float = Field(ge=0, le=MAX_INSTANT, allow_inf_nan=False)
    rules: str
    categories: _Categories
    reserved: _Reserved
    inspectors: list[str]
    inspector_addresses: list[str]
    modes: Modes


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """inspectors: "HOST:PORT" of listeners for helpers, in order of preference.

    inspector_addresses: what split DNS answers for what is not bypassed.  issued_at: epoch seconds.
    """

    policy: Policy
    issued_at: float
    inspectors: tuple[str, ...]
    inspector_addresses: frozenset[Address]
    modes: Modes

    @property
    def revision(self) -> str:
        return self.policy.revision


def parse_bundle(content: bytes) -> Bundle:
    """Raises BundleError; the text says what is wrong."""
    try:
        found = _Content.model_validate_json(content)
        if found.format != FORMAT:
            raise BundleError(f"the bundle has format {found.format}, this helper reads {FORMAT}: update the helper")
        table = CategoryTable(
            found.categories.version, {name: frozenset(names) for name, names in found.categories.domains.items()}
        )
        reading = read_document(found.rules, table)
        if reading.rule_set is None:
            raise BundleError("its rules: " + "; ".join(as_line(finding) for finding in reading.findings[:3]))
        policy = compile_policy(reading.rule_set, _reserved(found.reserved))
        addresses = frozenset(map(ip_address, found.inspector_addresses))
        inspectors = tuple(map(_inspector, found.inspectors))
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        raise BundleError(f"the bundle cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}") from exc
    except (PolicyError, ValueError) as exc:
        raise BundleError(f"the bundle cannot be read: {exc}") from exc
    if policy.revision != found.revision:
        raise BundleError(
            f"its rules make revision {policy.revision} here and {found.revision} at the service: "
            "helper and service read rules differently, so one of them is to be updated"
        )
    return Bundle(
        policy=policy,
        issued_at=found.issued_at,
        inspectors=inspectors,
        inspector_addresses=addresses,
        modes=found.modes,
    )


def write_bundle(
    *,
    source: str,
    policy: Policy,
    issued_at: float,
    inspectors: Sequence[str],
    inspector_addresses: Sequence[Address],
    modes: Mapping[str, str],
) -> bytes:
    """The bundle of ``policy``, which was made of the rules text ``source``."""
    table, settings = policy.rule_set.categories, policy.settings
    content = {
        "format": FORMAT,
        "revision": policy.revision,
        "issued_at": issued_at,
        "rules": source,
        "categories": {
            "version": table.version,
            "domains": {name: sorted(domains) for name, domains in table.domains.items()},
        },
        "reserved": {
            "internal_zones": list(settings.internal_zones),
            "internal_networks": [str(network) for network in settings.internal_networks],
            "own_names": list(settings.own_names),
        },
        "inspectors": list(inspectors),
        "inspector_addresses": [str(address) for address in inspector_addresses],
        "modes": dict(modes),
    }
    return json.dumps(content, separators=(",", ":")).encode()


def _inspector(text: str) -> str:
    """Raises ValueError, PolicyError."""
    host, _, port = text.rpartition(":")
    parse_host(host)
    if not (port.isascii() and port.isdecimal() and len(port) <= 5 and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is no inspector: one is HOST:PORT")
    return text


def _reserved(content: _Reserved) -> ReservedSettings:
    return ReservedSettings(
        internal_zones=tuple(map(normalise_name, content.internal_zones)),
        internal_networks=tuple(map(parse_network, content.internal_networks)),
        own_names=tuple(map(normalise_name, content.own_names)),
    )
