"""What one PAC answers: the policy, as one requester sees it, flattened into tables that a browser can walk.

Pure.  Everything comes from asking the engine, of each listed name and of an unlisted name below it; the rules are
not read a second time.  Of a host's rules only two things matter to a PAC: whether a bypass matches for sure, and
whether anything stricter matches or may match.  Both are unions, so they can be put together from the nearest listed
name and from the patterns that fit.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from steering.pac.chains import Chains
from steering.pac.view import View
from steering.policy import Action, Decision, Effect, Host, Point, Policy, PolicyError, effect, parse_host
from steering.policy.domains import Domain, Reach
from steering.policy.hosts import Address
from steering.policy.reserved import RESERVED
from steering.policy.rules import Network

DIRECT = "DIRECT"


class Mark(IntEnum):
    """What stands at a name.  The higher wins over the lower where several come together."""

    NOTHING = 0
    BYPASS = 1
    STRICTER = 2
    ALWAYS = 3  # reserved: direct, whatever pattern fits


@dataclass(frozen=True, slots=True)
class Pattern:
    """Labels with ``*`` left of ``name``.  below: at least one label more stands in front."""

    name: str
    globs: tuple[str, ...]
    below: bool
    mark: Mark


@dataclass(frozen=True, slots=True, kw_only=True)
class PacPlan:
    """trees: name -> mark of it and of all below it, down to the next entry.  exact: name -> mark of it alone.

    v4, v6: disjoint, sorted (first, last) addresses that go direct.  elsewhere: the mark of names not listed.
    numeric: of names that end in a number.  address: of addresses outside v4 and v6.
    """

    revision: str
    trees: dict[str, Mark]
    exact: dict[str, Mark]
    patterns: tuple[Pattern, ...]
    v4: tuple[tuple[int, int], ...]
    v6: tuple[tuple[int, int], ...]
    elsewhere: Mark
    numeric: Mark
    chains: Chains

    def returns(self, host: str) -> str:
        """The exact string that the PAC returns for ``host``, by an evaluation of the plan in Python."""
        try:
            parsed = parse_host(host)
        except PolicyError:
            return self.chains.of(host.lower().rstrip("."))
        return DIRECT if self.is_direct(parsed) else self.chains.of(parsed.text)

    def is_direct(self, host: Host) -> bool:
        if host.address is not None:
            ranges = self.v4 if host.address.version == 4 else self.v6
            return any(first <= int(host.address) <= last for first, last in ranges)
        if host.numeric:
            return self.numeric in _DIRECT
        if "." not in host.text:
            return True
        return self._mark(host.text) in _DIRECT

    def _mark(self, name: str) -> Mark:
        mark = self.exact.get(name)
        if mark is None:
            mark = next((self.trees[s] for s in _suffixes(name) if s in self.trees), self.elsewhere)
        fitting = (p.mark for p in self.patterns if _fits(p, name))
        return max(mark, *fitting, mark) if mark is not Mark.ALWAYS else mark


_DIRECT = (Mark.BYPASS, Mark.ALWAYS)


def plan(policy: Policy, view: View, at: float, chains: Chains) -> PacPlan:
    """The plan of the PAC that ``view`` gets at the instant ``at``."""
    lasting = policy.lasting(at)
    asking = _Asking(lasting, view, at)
    trees, exact = _flatten(asking)
    return PacPlan(
        revision=policy.revision,
        trees=trees,
        exact=exact,
        patterns=tuple(_patterns(asking)),
        v4=_direct_ranges(asking, 4),
        v6=_direct_ranges(asking, 6),
        elsewhere=asking.mark("!.!"),
        numeric=asking.mark_of(Host("0x", numeric=True)),
        chains=chains,
    )


class _Asking:
    """The engine, asked from one view."""

    def __init__(self, policy: Policy, view: View, at: float) -> None:
        self.policy = policy
        self.nodes = dict(policy.names())
        self._view = view
        self._at = at
        globs = (g.domain.globs for node in self.nodes.values() for g in node.globs)
        # '!' stands in no host name, so no entry lists it; deep enough that no pattern of few labels fits either.
        self._unlisted = "!." * (1 + max(map(len, globs), default=0))

    def decision(self, host: Host) -> Decision:
        return self.policy.decide(self._view.flow(host), self._at)

    def mark(self, name: str) -> Mark:
        return self.mark_of(Host(name))

    def below(self, name: str) -> Mark:
        return self.mark_of(Host(self._unlisted + name))

    def mark_of(self, host: Host) -> Mark:
        return _mark(self.decision(host))


def _mark(decision: Decision) -> Mark:
    if decision.reserved is not None:
        return Mark.ALWAYS if effect(Point.PAC, decision) is Effect.PAC_DIRECT else Mark.STRICTER
    if any(match.action is not Action.BYPASS for match in decision.matches):
        return Mark.STRICTER
    return Mark.BYPASS if any(match.matched for match in decision.matches) else Mark.NOTHING


def _flatten(asking: _Asking) -> tuple[dict[str, Mark], dict[str, Mark]]:
    """Only where a name differs from what stands above it does it need an entry."""
    elsewhere = asking.mark("!.!")
    reach: dict[str, Mark] = {}  # what holds below each listed name, with or without an entry of its own
    trees: dict[str, Mark] = {}
    exact: dict[str, Mark] = {}
    for name in sorted(asking.nodes, key=lambda n: n.count(".")):
        inherited = next((reach[s] for s in _parents(name) if s in reach), elsewhere)
        reach[name] = below = asking.below(name)
        if below is not inherited:
            trees[name] = below
        itself = asking.mark(name)
        if itself is not below and "." in name:
            exact[name] = itself
    return trees, exact


def _patterns(asking: _Asking) -> Iterator[Pattern]:
    for node in asking.nodes.values():
        for glob in node.globs:
            mark = asking.mark(_example(glob.domain))
            if mark in (Mark.BYPASS, Mark.STRICTER):
                yield Pattern(glob.domain.name, glob.domain.globs, glob.domain.below, _own_mark(asking, glob.domain))


def _own_mark(asking: _Asking, domain: Domain) -> Mark:
    """The mark of the pattern's own rules; what stands at the names around it is found there."""
    decision = asking.decision(Host(_example(domain)))
    own = [match for match in decision.matches if _is_of(asking, match.rule, domain)]
    if any(match.action is not Action.BYPASS for match in own):
        return Mark.STRICTER
    return Mark.BYPASS if any(match.matched for match in own) else Mark.NOTHING


def _is_of(asking: _Asking, rule: str, domain: Domain) -> bool:
    return any(hit.hit.rule.name == rule for hit in asking.nodes[domain.name].globs if hit.domain == domain)


def _example(domain: Domain) -> str:
    labels = [*(["!"] if domain.below else []), *(glob.replace("*", "!") for glob in domain.globs)]
    return ".".join([*labels, domain.name])


def _fits(pattern: Pattern, name: str) -> bool:
    if not name.endswith("." + pattern.name):
        return False
    domain = Domain(Reach.GLOB, pattern.name, pattern.globs, pattern.below)
    return domain.matches_labels(name[: -len(pattern.name) - 1].split("."))


def _suffixes(name: str) -> Iterator[str]:
    yield name
    yield from _parents(name)


def _parents(name: str) -> Iterator[str]:
    dot = name.find(".")
    while dot >= 0:
        yield name[dot + 1 :]
        dot = name.find(".", dot + 1)


def _direct_ranges(asking: _Asking, version: int) -> tuple[tuple[int, int], ...]:
    """The addresses that go direct: the engine is asked once in each interval between the bounds of all networks."""
    bits, kind = (32, IPv4Address) if version == 4 else (128, IPv6Address)
    bounds = sorted({0, 1 << bits, *_bounds(_networks(asking.policy), version)})
    ranges: list[tuple[int, int]] = []
    for first, beyond in itertools.pairwise(bounds):
        address: Address = kind(first)
        if asking.mark_of(Host(str(address), address)) not in _DIRECT:
            continue
        if ranges and ranges[-1][1] == first - 1:
            first = ranges.pop()[0]
        ranges.append((first, beyond - 1))
    return tuple(ranges)


def _networks(policy: Policy) -> Iterator[Network]:
    for entry in RESERVED:
        yield from entry.networks
    yield from policy.settings.internal_networks
    for rule in policy.rules:
        yield from rule.addresses


_MAPPED = 0xFFFF << 32


def _bounds(networks: Iterable[Network], version: int) -> Iterator[int]:
    for network in networks:
        first = int(network.network_address)
        beyond = first + network.num_addresses
        if network.version == version:
            yield from (first, beyond)
        elif version == 6:  # an IPv4-mapped address is judged as the address that it carries
            yield from (_MAPPED + first, _MAPPED + beyond)
