"""What one PAC answers: the policy, as one requester sees it, flattened into tables that a browser can walk.

Pure.  Everything comes from asking the engine, of a listed name of each kind and of an unlisted name below it; the
rules are not read a second time.  Of a host's rules only two things matter to a PAC: whether a bypass matches for
sure, and whether anything stricter matches or may match.  Both are unions, so they can be put together from the
nearest listed name and from the patterns that fit.  A name needs an entry only where it would be answered otherwise
than what stands above it: a hundred thousand blocked names go to the inspector like all others, and take no space.
"""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from ipaddress import IPv4Address, IPv6Address

from steering.pac.chains import Chains
from steering.pac.view import View
from steering.policy import Action, Decision, Effect, Host, Point, Policy, PolicyError, effect, parse_host
from steering.policy.compile import Node
from steering.policy.domains import Domain, Reach
from steering.policy.hosts import Address
from steering.policy.reserved import RESERVED
from steering.policy.rules import Network, Rule

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
            return self.chains.of_text(_bare(host))
        return DIRECT if self.is_direct(parsed) else self.chains.of(parsed)

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
        return max([mark, *(p.mark for p in self.patterns if _fits(p, name))])


def _bare(text: str) -> str:
    """A host as the PAC reads it."""
    text = text.lower()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return text.removesuffix(".")


_DIRECT = (Mark.BYPASS, Mark.ALWAYS)


def plan(policy: Policy, view: View, at: float, chains: Chains) -> PacPlan:
    """The plan of the PAC that ``view`` gets at the instant ``at``."""
    return Planner(policy, at).plan(view, chains)


class Planner:
    """Plans for the views of one policy.  lasting: the policy as those see it who keep an answer for hours."""

    def __init__(self, policy: Policy, at: float) -> None:
        self.at = at
        self.lasting = policy.lasting(at)
        self._revision = policy.revision
        self._fixed = _without_patterns(self.lasting)

    def plan(self, view: View, chains: Chains) -> PacPlan:
        patterns = tuple(_patterns(self.lasting, view, self.at))
        asking = _Asking(self._fixed, view, self.at)
        trees, exact = _flatten(asking, _Overlap(patterns))
        return PacPlan(
            revision=self._revision,
            trees=trees,
            exact=exact,
            patterns=patterns,
            v4=_direct_ranges(asking, 4),
            v6=_direct_ranges(asking, 6),
            elsewhere=asking.elsewhere,
            numeric=asking.mark_of(Host("0x", numeric=True)),
            chains=chains,
        )


class _Asking:
    """The engine, asked from one view."""

    def __init__(self, policy: Policy, view: View, at: float) -> None:
        self.policy = policy
        self._view = view
        self._at = at
        self.elsewhere = self.mark(f"{UNLISTED}.{UNLISTED}")

    def mark(self, name: str) -> Mark:
        return self.mark_of(Host(name))

    def below(self, name: str) -> Mark:
        return self.mark_of(Host(f"{UNLISTED}.{name}"))

    def mark_of(self, host: Host) -> Mark:
        return _mark(self.policy.decide(self._view.flow(host), self._at))


UNLISTED = "!"  # stands in no host name, so no entry lists it


def _mark(decision: Decision) -> Mark:
    if decision.reserved is not None:
        return Mark.ALWAYS if effect(Point.PAC, decision) is Effect.PAC_DIRECT else Mark.STRICTER
    if any(match.action is not Action.BYPASS for match in decision.matches):
        return Mark.STRICTER
    return Mark.BYPASS if any(match.matched for match in decision.matches) else Mark.NOTHING


class _Kind:
    """Names at which the same stands, below names of which the same holds: they are answered alike.

    A hundred thousand names are of a few kinds, so the engine is asked of one name of each.
    """

    __slots__ = ("below", "itself", "narrower")

    def __init__(self, itself: Mark, below: Mark) -> None:
        self.itself = itself
        self.below = below
        self.narrower: dict[tuple[int, bool], _Kind] = {}  # by the node, and by whether a dot is in the name

    def of(self, name: str, node: Node, asking: _Asking) -> "_Kind":
        """The kind of ``name``, whose nearest listed name above is of this one."""
        key = id(node), "." in name
        found = self.narrower.get(key)
        if found is None:
            found = self.narrower[key] = _Kind(asking.mark(name), asking.below(name))
        return found


def _flatten(asking: _Asking, overlap: "_Overlap") -> tuple[dict[str, Mark], dict[str, Mark]]:
    """Only where a name is answered otherwise than what stands above it does it need an entry."""
    top = _Kind(asking.elsewhere, asking.elsewhere)
    reach: dict[str, tuple[_Kind, Mark]] = {}  # what holds below each listed name, with or without an entry of its own
    trees: dict[str, Mark] = {}
    exact: dict[str, Mark] = {}
    for name, node in sorted(asking.policy.names(), key=lambda entry: entry[0].count(".")):
        above, inherited = next((reach[s] for s in parents(name) if s in reach), (top, asking.elsewhere))
        kind = above.of(name, node, asking)
        below = overlap.settled(name, kind.below, inherited)
        reach[name] = kind, below
        if below is not inherited:
            trees[name] = below
        itself = overlap.settled(name, kind.itself, below)
        if itself is not below and "." in name:
            exact[name] = overlap.settled(name, itself, inherited)
    return trees, exact


class _Overlap:
    """Where a pattern could bypass something: only there is "stricter" other than "nothing"."""

    def __init__(self, patterns: Iterable[Pattern]) -> None:
        self._names = {p.name for p in patterns if p.mark is Mark.BYPASS}
        self._above = {parent for name in self._names for parent in parents(name)}

    def settled(self, name: str, mark: Mark, other: Mark) -> Mark:
        """``other`` where it answers alike at and below ``name``, else ``mark``."""
        if mark is not other and {mark, other} == {Mark.NOTHING, Mark.STRICTER} and not self._touches(name):
            return other
        return mark

    def _touches(self, name: str) -> bool:
        return name in self._above or any(s in self._names for s in _suffixes(name))


def _without_patterns(policy: Policy) -> Policy:
    """The policy without the entries that hold ``*`` within a label; a rule of nothing else is out of force."""
    if not any(domain.reach is Reach.GLOB for rule in policy.rules for domain in rule.domains):
        return policy
    rules = tuple(map(_fixed_only, policy.rule_set.rules))
    return Policy(replace(policy.rule_set, rules=rules), policy.settings)


def _fixed_only(rule: Rule) -> Rule:
    domains = tuple(domain for domain in rule.domains if domain.reach is not Reach.GLOB)
    left = rule.any_destination or domains or rule.categories or rule.addresses
    return replace(rule, domains=domains, enabled=rule.enabled and bool(left))


def _patterns(policy: Policy, view: View, at: float) -> Iterator[Pattern]:
    found: dict[Domain, set[str]] = {}  # each with the rules that hold it
    for _, node in policy.names():
        for glob in node.globs:
            found.setdefault(glob.domain, set()).add(glob.hit.rule.name)
    for domain, rules in found.items():
        decision = policy.decide(view.flow(Host(_example(domain))), at)
        # What stands at the names around it is found there: the mark of the pattern's own rules.
        own = decision._replace(matches=tuple(match for match in decision.matches if match.rule in rules))
        mark = _mark(own)
        if decision.reserved is None and mark is not Mark.NOTHING:
            yield Pattern(domain.name, domain.globs, domain.below, mark)


def _example(domain: Domain) -> str:
    labels = [*([UNLISTED] if domain.below else []), *(glob.replace("*", UNLISTED) for glob in domain.globs)]
    return ".".join([*labels, domain.name])


def _fits(pattern: Pattern, name: str) -> bool:
    if not name.endswith("." + pattern.name):
        return False
    domain = Domain(Reach.GLOB, pattern.name, pattern.globs, pattern.below)
    return domain.matches_labels(name[: -len(pattern.name) - 1].split("."))


def _suffixes(name: str) -> Iterator[str]:
    yield name
    yield from parents(name)


def parents(name: str) -> Iterator[str]:
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
