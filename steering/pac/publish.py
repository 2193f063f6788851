"""The PACs in force: for every requester the bytes, made and tested before anybody asks."""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from steering.pac.chains import Chains, plan_chains
from steering.pac.gates import MAX_BYTES, SELF_TEST_NAMES, Passed, pass_gates
from steering.pac.plan import PacPlan, Planner
from steering.pac.render import render
from steering.pac.view import ANONYMOUS, View, of_address, of_group
from steering.policy import Host, Policy
from steering.policy.compile import source_matches
from steering.policy.hosts import Address
from steering.policy.rules import GroupSource, Network, Source, UserSource

MAX_VARIANTS = 64
OTHERS_TEST_NAMES = 250
_ANY_HOST = Host("x.example")
_BLOCK_SIZES = (16, 32, 64)  # quicker to answer; smaller


@dataclass(frozen=True, slots=True, kw_only=True)
class PacSettings:
    """inspectors: "HOST:PORT" each.  fail_open, tls: see ``chains.plan_chains``.  templates: an override folder."""

    inspectors: tuple[str, ...]
    fail_open: bool = False
    tls: bool = False
    templates: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PacFile:
    """A published PAC.  body: the text.  gzip: the same, compressed.  etag: quoted, of the body."""

    body: bytes
    gzip: bytes
    etag: str
    passed: Passed


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltPac(PacFile):
    """A PAC with the plan that it was made of, which has an entry for each name."""

    plan: PacPlan

    @property
    def file(self) -> PacFile:
        return PacFile(body=self.body, gzip=self.gzip, etag=self.etag, passed=self.passed)


def build(policy: Policy, view: View, at: float, settings: PacSettings) -> BuiltPac:
    """Make one PAC.  Raises PacError with every gate that it fails."""
    return _build(Planner(policy, at), view, settings, SELF_TEST_NAMES)


def chains_of(settings: PacSettings) -> Chains:
    """The chains that every PAC returns.  Raises PacError."""
    return plan_chains(settings.inspectors, fail_open=settings.fail_open, tls=settings.tls)


def _build(planner: Planner, view: View, settings: PacSettings, names: int) -> BuiltPac:
    planned = planner.plan(view, chains_of(settings))
    for per_block in _BLOCK_SIZES:
        rendered = render(planned, per_block=per_block, templates=settings.templates)
        if len(rendered.text) <= MAX_BYTES or not rendered.packed:
            break
    passed = pass_gates(planned, rendered, planner.lasting, view, planner.at, names=names)
    body = rendered.text.encode("ascii")
    return BuiltPac(
        body=body,
        gzip=gzip.compress(body, mtime=0),
        etag=f'"{sha256(body).hexdigest()[:32]}"',
        plan=planned,
        passed=passed,
    )


class PacSet:
    """Every PAC that one policy makes.  A PAC depends on its requester only through the rules' sources.

    Nothing of the policy's size is in it but the texts: it is made in one process and served in another.
    """

    def __init__(self, policy: Policy, at: float, settings: PacSettings) -> None:
        """Raises PacError if any PAC fails a gate."""
        planner = Planner(policy, at)
        self.revision = policy.revision
        self._sources = _sources(planner.lasting)
        self._built: dict[tuple[bool | None, ...], PacFile] = {}
        self.crowded = False
        self._anonymous = self._make(planner, ANONYMOUS, settings)
        self._groups = {name: self._make(planner, of_group(name), settings) for name in policy.rule_set.model.groups}
        for address in _representatives(self._sources):
            view = of_address(address)
            if len(self._built) >= MAX_VARIANTS and self._signature(view) not in self._built:
                self.crowded = True
                break
            self._make(planner, view, settings)

    def _make(self, planner: Planner, view: View, settings: PacSettings) -> PacFile:
        signature = self._signature(view)
        if signature not in self._built:
            # The first is tried thoroughly; the others differ from it by a few names.
            names = OTHERS_TEST_NAMES if self._built else SELF_TEST_NAMES
            self._built[signature] = _build(planner, view, settings, names).file
        return self._built[signature]

    def _signature(self, view: View) -> tuple[bool | None, ...]:
        flow = view.flow(_ANY_HOST)
        return tuple(source_matches(source, flow) for source in self._sources)

    def for_address(self, address: Address) -> PacFile:
        """The PAC of a requester; beyond MAX_VARIANTS kinds of requesters the one that supposes nothing."""
        if not self._sources:
            return self._anonymous
        return self._built.get(self._signature(of_address(address)), self._anonymous)

    def for_group(self, name: str) -> PacFile | None:
        """The PAC of a group's token, or None where there is no such group (any more)."""
        return self._groups.get(name)

    @property
    def variants(self) -> int:
        return len(self._built)

    @property
    def anonymous(self) -> PacFile:
        return self._anonymous


def _sources(policy: Policy) -> tuple[tuple[Source, ...], ...]:
    """The distinct source conditions of the rules."""
    return tuple(dict.fromkeys(rule.source for rule in policy.rules if rule.source))


def _representatives(sources: Sequence[Sequence[Source]]) -> Iterator[Address]:
    """One address of each interval between the bounds of the networks in ``sources``."""
    bounds: set[tuple[int, int]] = {(4, 0), (6, 0)}
    for network in _networks(sources):
        first = int(network.network_address)
        bounds |= {(network.version, first), (network.version, first + network.num_addresses)}
    for version, number in sorted(bounds):
        if number < 1 << (32 if version == 4 else 128):
            yield IPv4Address(number) if version == 4 else IPv6Address(number)


def _networks(sources: Sequence[Sequence[Source]]) -> Iterator[Network]:
    for condition in sources:
        for source in condition:
            if isinstance(source, GroupSource):
                yield from source.networks
            elif not isinstance(source, UserSource):
                yield source
