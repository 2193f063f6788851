"""A compiled policy in small pieces, so that a worker can take in 100,000 names between two requests.

What decisions need travels; what only lint and explain need (the entries as written) stays behind.  The pieces are
pickles: they go from the parent to its own workers over a socket that nobody else holds, never the other way.
"""

import pickle
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NoReturn

from steering.policy.compile import GlobHit, Hit, Lone, Node, Policy
from steering.policy.domains import Domain
from steering.policy.model import RulesModel
from steering.policy.networks import NetworkMap
from steering.policy.reserved import Reserved
from steering.policy.rules import Network, Rule, RuleSet

# Each is unpickled in about a millisecond.
NAMES_A_PIECE = 250
RULES_A_PIECE = 50
NODES_A_PIECE = 100
GONE_A_STEP = 500

_Hits = tuple[tuple[int, str], ...]  # a rule by its place, and the kind
_Globs = tuple[tuple[Domain, int, str], ...]
_Bare = tuple[_Hits, _Hits, _Hits, _Globs, Reserved | None, bool, Lone | None]  # a Node


def dump(policy: Policy) -> Iterator[bytes]:
    """The pieces of ``policy``, in order: a head, then rules, nodes and names, each made of those before it, and an
    empty piece that ends it.
    """
    light = {rule.index: _light(rule) for rule in policy.rules}
    at = {index: place for place, index in enumerate(light)}

    def hits(found: tuple[Hit, ...]) -> _Hits:
        return tuple((at[hit.rule.index], hit.kind) for hit in found)

    nodes: dict[_Bare, int] = {}
    places: list[tuple[str, int]] = []
    seen: dict[int, int] = {}  # by identity first
    for name, node in policy.names():
        place = seen.get(id(node))
        if place is None:
            globs = tuple((g.domain, at[g.hit.rule.index], g.hit.kind) for g in node.globs)
            rest = (node.reserved, node.reserved_below, node.lone)
            bare = (hits(node.tree), hits(node.below), hits(node.exact), globs, *rest)
            place = seen[id(node)] = nodes.setdefault(bare, len(nodes))
        places.append((name, place))
    addresses = NetworkMap((n, Hit(light[rule.index], "")) for rule in policy.rules for n in rule.addresses)
    anywhere = tuple(Hit(light[rule.index], "") for rule in policy.anywhere)
    rules, bare_nodes = list(light.values()), list(nodes)
    known = (policy.revision, policy.settings, policy.changes, policy.source_networks)
    first = bare_nodes[:NODES_A_PIECE] if len(rules) <= RULES_A_PIECE else []
    yield _packed((*known, anywhere, addresses, rules[:RULES_A_PIECE], first))
    for start in range(RULES_A_PIECE, len(rules), RULES_A_PIECE):
        yield _packed((rules[start : start + RULES_A_PIECE], (), ()))
    for start in range(len(first), len(bare_nodes), NODES_A_PIECE):
        yield _packed(((), bare_nodes[start : start + NODES_A_PIECE], ()))
    for start in range(0, len(places), NAMES_A_PIECE):
        yield _packed(((), (), places[start : start + NAMES_A_PIECE]))
    yield b""


def _packed(content: object) -> bytes:
    return pickle.dumps(content, pickle.HIGHEST_PROTOCOL)


def remains(policy: Policy) -> Iterator[None]:
    """Hold what a policy is made of, and let it go little by little, a step for each time it is asked.

    Let go at once, 100,000 rules take a tenth of a second, in which nothing is answered.  Whoever still decides by the
    policy may go on: it is not touched.
    """
    parts: tuple[list[object], ...] = ([*policy._nodes], [*policy._nodes.values()], [*policy.rules])
    del policy
    for part in parts:
        while part:
            del part[-GONE_A_STEP:]
            yield


class Received(Policy):
    """A policy that decides, and does nothing else: of its rules, what they stand for is in the nodes alone.

    ``rule_set`` holds none of them, lest they look like rules for any destination.
    """

    def lasting(self, at: float) -> NoReturn:
        raise NotImplementedError("what lasts is made of the rules as written, which stay with the sender")


class Assembler:
    """Puts a policy together again, piece by piece."""

    def __init__(self) -> None:
        self._policy: Policy | None = None
        self._rules: list[Rule] = []
        self._table: list[Node] = []
        self._names: dict[str, Node] = {}

    def feed(self, piece: bytes) -> Policy | None:
        """Take one piece; the policy with the last one, else None."""
        if not piece:
            policy, self._policy = self._policy, None
            if policy is not None:
                policy.rules = tuple(self._rules)
            self._rules, self._table, self._names = [], [], {}
            return policy
        content = pickle.loads(piece)  # noqa: S301  # from our own parent, see above
        if self._policy is None:
            *known, rules, nodes = content
            self._begin(*known)
            self._add(rules, nodes, ())
        else:
            self._add(*content)
        return None

    def _begin(
        self,
        revision: str,
        settings: object,
        changes: tuple[float, ...],
        source_networks: tuple[Network, ...],
        anywhere: tuple[Hit, ...],
        addresses: NetworkMap[Hit],
    ) -> None:
        policy = Received.__new__(Received)
        self._rules, self._table, self._names = [], [], {}
        policy.__dict__.update(
            rule_set=RuleSet(model=RulesModel(rules=[]), rules=()),
            settings=settings,
            changes=changes,
            source_networks=source_networks,
            _nodes=self._names,
            _anywhere=anywhere,
            _addresses=addresses,
            revision=revision,
        )
        self._policy = policy

    def _add(self, rules: Iterable[Rule], nodes: Iterable[_Bare], names: Iterable[tuple[str, int]]) -> None:
        self._rules += rules
        self._table += map(self._node, nodes)
        table = self._table
        self._names.update((name, table[place]) for name, place in names)

    def _node(self, bare: _Bare) -> Node:
        tree, below, exact, globs, reserved, reserved_below, lone = bare
        rules = self._rules
        return Node(
            tuple(Hit(rules[place], kind) for place, kind in tree),
            tuple(Hit(rules[place], kind) for place, kind in below),
            tuple(Hit(rules[place], kind) for place, kind in exact),
            tuple(GlobHit(domain, Hit(rules[place], kind)) for domain, place, kind in globs),
            reserved,
            reserved_below,
            lone,
        )


def _light(rule: Rule) -> Rule:
    return replace(rule, domains=(), categories=(), addresses=())
