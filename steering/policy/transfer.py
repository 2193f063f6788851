"""A compiled policy in small pieces, so that a worker can take in 100,000 names between two requests.

What decisions need travels; what only lint and explain need (the entries as written) stays behind.  The pieces are
pickles: they go from the parent to its own workers over a socket that nobody else holds, never the other way.
"""

import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import NoReturn

from steering.policy.compile import GlobHit, Hit, Node, Policy
from steering.policy.model import RulesModel
from steering.policy.networks import NetworkMap
from steering.policy.rules import Rule, RuleSet

NAMES_A_PIECE = 1000  # unpickled in well under a millisecond


def dump(policy: Policy) -> Iterator[bytes]:
    """The pieces of ``policy``, in order: a head, names, and an empty piece that ends it."""
    light = {rule.index: _light(rule) for rule in policy.rules}

    def hits(found: tuple[Hit, ...]) -> tuple[Hit, ...]:
        return tuple(Hit(light[hit.rule.index], hit.kind) for hit in found)

    nodes: dict[Node, int] = {}
    places: list[tuple[str, int]] = []
    seen: dict[int, int] = {}  # by identity first: hashing a node walks its rules
    for name, node in policy.names():
        place = seen.get(id(node))
        if place is None:
            globs = tuple(GlobHit(g.domain, hits((g.hit,))[0]) for g in node.globs)
            lighter = node._replace(tree=hits(node.tree), below=hits(node.below), exact=hits(node.exact), globs=globs)
            place = seen[id(node)] = nodes.setdefault(lighter, len(nodes))
        places.append((name, place))
    rules = tuple(light.values())
    addresses = NetworkMap((n, Hit(light[rule.index], "")) for rule in policy.rules for n in rule.addresses)
    anywhere = tuple(Hit(light[rule.index], "") for rule in policy.anywhere)
    head = (policy.revision, policy.settings, rules, anywhere, addresses, list(nodes))
    yield pickle.dumps(head, pickle.HIGHEST_PROTOCOL)
    for start in range(0, len(places), NAMES_A_PIECE):
        yield pickle.dumps(places[start : start + NAMES_A_PIECE], pickle.HIGHEST_PROTOCOL)
    yield b""


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
        self._table: list[Node] = []
        self._names: dict[str, Node] = {}

    def feed(self, piece: bytes) -> Policy | None:
        """Take one piece; the policy with the last one, else None."""
        if not piece:
            policy, self._policy = self._policy, None
            return policy
        content = pickle.loads(piece)  # noqa: S301  # from our own parent, see above
        if self._policy is None:
            self._begin(*content)
        else:
            self._names.update((name, self._table[place]) for name, place in content)
        return None

    def _begin(
        self,
        revision: str,
        settings: object,
        rules: tuple[Rule, ...],
        anywhere: tuple[Hit, ...],
        addresses: NetworkMap[Hit],
        table: list[Node],
    ) -> None:
        policy = Received.__new__(Received)
        self._names, self._table = {}, table
        policy.__dict__.update(
            rule_set=RuleSet(model=RulesModel(rules=[]), rules=()),
            settings=settings,
            rules=rules,
            _nodes=self._names,
            _anywhere=anywhere,
            _addresses=addresses,
            revision=revision,
        )
        self._policy = policy


def _light(rule: Rule) -> Rule:
    return replace(rule, domains=(), categories=(), addresses=())
