"""Compile a rule set into the form that every point decides by.

HOT PATH.  A decision walks the labels of the host, one dictionary look-up each, and judges only the rules whose
destination was found: O(labels), whatever the number of domains.  Nearly every host lies below one listed name or
none, and nearly every rule has no condition but its destination; what such a rule decides is known beforehand but
for the name (``Lone``): at 100,000 names 2.0 us a decision instead of 3.2, half of it misses of the processor's cache.
The slow, obvious twin that tests compare it with is ``tests/policy/twin.py``; ``bench/policy`` measures.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cached_property
from hashlib import sha256
from typing import NamedTuple

from steering.policy.decision import DEFAULT, STRENGTH, Decision, RuleMatch
from steering.policy.domains import Domain, Reach
from steering.policy.facts import NO_FACTS, UNSEEN, Fact, Flow, Ternary, Unseen, any_of
from steering.policy.hosts import Address
from steering.policy.model import Action
from steering.policy.networks import NetworkMap
from steering.policy.reserved import SINGLE_LABEL, Reserved, ReservedSettings, reserved_address, reserved_names
from steering.policy.rules import GroupSource, Network, Rule, RuleSet, Source, UserSource


class Hit(NamedTuple):
    """A rule whose destination holds the host.  kind: "" for a domain entry, else the category's name."""

    rule: Rule
    kind: str


class GlobHit(NamedTuple):
    domain: Domain
    hit: Hit


class Lone(NamedTuple):
    """What a rule without conditions decides where no other has a say.  before, after: of the name in ``on``."""

    rule: str
    action: Action
    before: str
    after: str


class Node(NamedTuple):
    """What stands at one name.  Equal nodes are one object, so that a large list costs a dictionary entry a name.

    lone: where a tree of one such rule is all that stands here.
    """

    tree: tuple[Hit, ...] = ()
    below: tuple[Hit, ...] = ()
    exact: tuple[Hit, ...] = ()
    globs: tuple[GlobHit, ...] = ()
    reserved: Reserved | None = None
    reserved_below: bool = False
    lone: Lone | None = None


class Policy:
    """A compiled, immutable policy.

    rules: the enabled rules, in file order.  revision: a hash of everything that a decision depends on.
    """

    def __init__(self, rule_set: RuleSet, settings: ReservedSettings | None = None) -> None:
        self.rule_set = rule_set
        self.settings = settings or ReservedSettings()
        self.rules = tuple(rule for rule in rule_set.rules if rule.enabled)
        self._nodes = _nodes(self.rules, rule_set, self.settings)
        self._anywhere = tuple(Hit(rule, "") for rule in self.rules if rule.any_destination)
        self._addresses = NetworkMap((n, Hit(rule, "")) for rule in self.rules for n in rule.addresses)

    @cached_property
    def revision(self) -> str:
        content = self.rule_set.model.model_dump_json() + repr(self.settings) + self.rule_set.categories.version
        return sha256(content.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def decide(self, flow: Flow, at: float) -> Decision:
        """Decide ``flow`` at the instant ``at`` (seconds since the epoch)."""
        host = flow.host
        rest = host.text
        if self._anywhere or host.address is not None or host.numeric or "." not in rest:
            return self._judge(flow, at)
        get = self._nodes.get
        lone: Lone | None = None
        where = ""
        while rest:
            node = get(rest)
            if node is not None:
                if lone is not None or node.lone is None:
                    return self._judge(flow, at)
                lone, where = node.lone, rest
            _, _, rest = rest.partition(".")
        return DEFAULT if lone is None else _by(lone, where)

    def _judge(self, flow: Flow, at: float) -> Decision:
        """As ``decide``, whatever stands above the host and whatever conditions its rules have."""
        host = flow.host
        if host.address is not None:
            reserved = reserved_address(host.address, self.settings)
            hits = [(hit, host.text) for hit in self._addresses.holding(host.address)]
        elif host.numeric:
            reserved, hits = None, []
        else:
            reserved, hits = self._walk(host.text)
        if reserved is not None:
            return Decision(reserved.action, None, reserved.why, NO_FACTS, (), reserved)
        for hit in self._anywhere:
            hits.append((hit, ""))
        return _combine(hits, flow, at) if hits else DEFAULT

    def lists(self, name: str) -> bool:
        """Whether anything stands at this very name.  Of a name of which neither it nor any above it is listed,
        ``decide`` says what it says of every other such name.
        """
        return name in self._nodes

    def names(self) -> Iterator[tuple[str, Node]]:
        """Every name at which anything stands, with what stands there."""
        yield from self._nodes.items()

    @property
    def anywhere(self) -> tuple[Rule, ...]:
        """The rules that any destination matches."""
        return tuple(hit.rule for hit in self._anywhere)

    def next_change(self, at: float) -> float | None:
        """The next instant after ``at`` at which a time condition begins or ends, or None."""
        place = bisect_right(self.changes, at)
        return self.changes[place] if place < len(self.changes) else None

    @cached_property
    def changes(self) -> tuple[float, ...]:
        """Every instant at which a time condition begins or ends, in order."""
        return tuple(sorted({t for r in self.rules for t in (r.not_before, r.expires_at) if t is not None}))

    @cached_property
    def source_networks(self) -> tuple[Network, ...]:
        """Every network that some rule's source names: two addresses alike to all of them are alike to the policy."""
        found: dict[Network, None] = {}
        for source in (source for rule in self.rules for source in rule.source):
            match source:
                case UserSource():
                    pass
                case GroupSource():
                    found.update(dict.fromkeys(source.networks))
                case network:
                    found[network] = None
        return tuple(found)

    def lasting(self, at: float) -> "Policy":
        """The policy for those who keep an answer for hours: no bypass that begins or ends, and every stricter
        rule that is in force or scheduled, as if it always were.  What it bypasses stays bypassed.
        """
        rules = tuple(
            replace(rule, not_before=None, expires_at=None) if rule.action is not Action.BYPASS else rule
            for rule in self.rule_set.rules
            if _lasts(rule, at)
        )
        return Policy(replace(self.rule_set, rules=rules), self.settings) if rules != self.rule_set.rules else self

    def _walk(self, name: str) -> tuple[Reserved | None, list[tuple[Hit, str]]]:
        nodes = self._nodes
        hits: list[tuple[Hit, str]] = []
        node = nodes.get(name)
        if node is not None:
            if node.reserved is not None:
                return node.reserved, hits
            for hit in node.exact:
                hits.append((hit, name))
            for hit in node.tree:
                hits.append((hit, name))
        dot = name.find(".")
        if dot < 0:
            return SINGLE_LABEL, hits
        while dot >= 0:
            suffix = name[dot + 1 :]
            node = nodes.get(suffix)
            if node is not None:
                if node.reserved_below:
                    return node.reserved, hits
                for hit in node.tree:
                    hits.append((hit, suffix))
                for hit in node.below:
                    hits.append((hit, "*." + suffix))
                if node.globs:
                    labels = name[:dot].split(".")
                    hits += [(g.hit, str(g.domain)) for g in node.globs if g.domain.matches_labels(labels)]
            dot = name.find(".", dot + 1)
        return None, hits


def compile_policy(rule_set: RuleSet, settings: ReservedSettings | None = None) -> Policy:
    return Policy(rule_set, settings)


def _lasts(rule: Rule, at: float) -> bool:
    if rule.action is Action.BYPASS:
        return rule.expires_at is None and rule.in_time(at)
    return rule.expires_at is None or at < rule.expires_at


class _Nodes(dict[str, Node]):
    """Nodes in the making.  Names where the same things stand are given one node, without looking into any."""

    def __init__(self) -> None:
        self._both: dict[tuple[int, int], tuple[Node, Node, Node]] = {}

    def add(self, name: str, node: Node) -> None:
        """Let ``node`` stand at ``name``, too."""
        found = self.setdefault(name, node)
        if found is not node:
            key = id(found), id(node)
            if key not in self._both:  # the two are kept along: another node could take their ids
                self._both[key] = found, node, _joined(found, node)
            self[name] = self._both[key][2]


def _joined(one: Node, other: Node) -> Node:
    return Node(one.tree + other.tree, one.below + other.below, one.exact + other.exact, one.globs + other.globs)


def _nodes(rules: Iterable[Rule], rule_set: RuleSet, settings: ReservedSettings) -> dict[str, Node]:
    nodes = _Nodes()
    for rule in rules:
        hit = Hit(rule, "")
        by_reach = {
            Reach.TREE: Node(tree=(hit,), lone=_lone(hit)),
            Reach.BELOW: Node(below=(hit,)),
            Reach.EXACT: Node(exact=(hit,)),
        }
        for domain in rule.domains:
            node = by_reach.get(domain.reach)
            nodes.add(domain.name, node or Node(globs=(GlobHit(domain, hit),)))
        for category in rule.categories:
            category_hit = Hit(rule, category)
            category_node = Node(tree=(category_hit,), lone=_lone(category_hit))
            for name in rule_set.categories.domains[category]:
                nodes.add(name, category_node)
    for name, (reserved, subdomains) in reserved_names(settings).items():
        nodes[name] = nodes.get(name, Node())._replace(reserved=reserved, reserved_below=subdomains, lone=None)
    return dict(nodes)


def _lone(hit: Hit) -> Lone | None:
    rule = hit.rule
    if rule.source or rule.programs or rule.not_before is not None or rule.expires_at is not None:
        return None
    before, after = _on(hit.kind, "\0").split("\0") if hit.kind else ("", "")
    return Lone(rule.name, rule.action, before, after)


def _by(lone: Lone, where: str) -> Decision:
    """The decision of ``decision_of`` over that one rule; made as a plain tuple, for that takes half the time."""
    rule, action, before, after = lone
    on = f"{before}{where}{after}"
    match = _new(RuleMatch, (rule, action, True, on, NO_FACTS))
    return _new(Decision, (action, rule, f"rule '{rule}': {on}", NO_FACTS, (match,), None))


_new = tuple.__new__


def _combine(hits: list[tuple[Hit, str]], flow: Flow, at: float) -> Decision:
    matches: dict[int, RuleMatch] = {}
    for (rule, kind), where in hits:
        if rule.index in matches or not ((rule.not_before is None and rule.expires_at is None) or rule.in_time(at)):
            continue
        matched: Ternary = True
        unseen = NO_FACTS
        if rule.source:
            matched = source_matches(rule.source, flow)
            if matched is None:
                unseen = _unseen_source(rule.source, flow)
        if rule.programs and matched is not False:
            program = program_matches(rule, flow)
            if program is None:
                unseen = unseen | {Fact.PROGRAM}
            matched = False if program is False else None if unseen else True
        if matched is not False:
            matches[rule.index] = RuleMatch(rule.name, rule.action, matched, _on(kind, where), unseen)
    if not matches:
        return DEFAULT
    found = tuple(matches.values()) if len(matches) == 1 else tuple(matches[i] for i in sorted(matches))
    return decision_of(found)


def decision_of(matches: tuple[RuleMatch, ...]) -> Decision:
    """The decision over rules that match or may match, given in file order."""
    best: RuleMatch | None = None
    for match in matches:
        if match.matched and (best is None or STRENGTH[match.action] > STRENGTH[best.action]):
            best = match
    pending = NO_FACTS
    if best is None:
        # Where the default stands, a bypass could still change it; and then so could what is stricter than that.
        bypass = any(m.action is Action.BYPASS for m in matches)
        for match in matches:
            if bypass or match.action is Action.BLOCK:
                pending |= match.unseen
        why = DEFAULT.why if not pending else f"inspected by default; not known here: {_listed(pending)}"
        return Decision(DEFAULT.action, None, why, pending, matches)
    for match in matches:
        if match.matched is None and STRENGTH[match.action] > STRENGTH[best.action]:
            pending |= match.unseen
    why = f"rule '{best.rule}': {best.on}"
    if pending:
        why += f"; a stricter rule may still match, not known here: {_listed(pending)}"
    return Decision(best.action, best.rule, why, pending, matches)


def _listed(facts: frozenset[Fact]) -> str:
    return ", ".join(fact.value for fact in Fact if fact in facts)


def _on(kind: str, where: str) -> str:
    if kind:
        return f"category {kind} ({where})"
    return where or "any destination"


def source_matches(sources: tuple[Source, ...], flow: Flow) -> Ternary:
    """Whether the flow comes from one of ``sources``."""
    return any_of(_from(source, flow) for source in sources)


def _from(source: Source, flow: Flow) -> Ternary:
    match source:
        case UserSource():
            return _is_user(frozenset((source.name,)), flow.user)
        case GroupSource():
            if source.name in flow.groups and (source.networks or source.users):
                return True  # an empty group matches nothing, whoever claims to belong to it
            in_networks = any_of(_in_network(network, flow.source) for network in source.networks)
            return any_of((in_networks, _is_user(source.users, flow.user)))
        case network:
            return _in_network(network, flow.source)


def _in_network(network: object, address: Address | Unseen) -> Ternary:
    if address is UNSEEN:
        return None
    bare = getattr(address, "ipv4_mapped", None) or address
    return bare in network  # type: ignore[operator]  # an IPv4Network or IPv6Network


def _is_user(users: frozenset[str], user: str | Unseen | None) -> Ternary:
    if not users or user is None:
        return False
    return None if isinstance(user, Unseen) else user.casefold() in users


def _unseen_source(sources: tuple[Source, ...], flow: Flow) -> frozenset[Fact]:
    facts = set()
    for source in sources:
        if _from(source, flow) is not None:
            continue
        match source:
            case UserSource():
                facts.add(Fact.USER)
            case GroupSource():
                if flow.source is UNSEEN and source.networks:
                    facts.add(Fact.SOURCE)
                if flow.user is UNSEEN and source.users:
                    facts.add(Fact.USER)
            case _:
                facts.add(Fact.SOURCE)
    return frozenset(facts)


def program_matches(rule: Rule, flow: Flow) -> Ternary:
    """Whether the flow's program is one of the rule's."""
    program = flow.program
    if isinstance(program, Unseen):
        return None
    if program is None:
        return False
    return any_of(entry.matches(program) for entry in rule.programs)
