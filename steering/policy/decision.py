"""A decision, with every rule that had a part in it and the why.

NamedTuples instead of the usual frozen dataclasses: several are made per decision, and a frozen dataclass
costs three times as much to make.
"""

from typing import NamedTuple

from steering.policy.facts import NO_FACTS, Fact, Ternary
from steering.policy.model import Action
from steering.policy.reserved import Reserved


class RuleMatch(NamedTuple):
    """A rule that matches, or may match (``matched`` None: see ``unseen``).  on: what of its destination it was."""

    rule: str
    action: Action
    matched: Ternary
    on: str
    unseen: frozenset[Fact] = NO_FACTS


class Decision(NamedTuple):
    """What the policy says of one flow.

    action: of the rules that match for sure, the strongest; the default (inspect) when there is none.
    rule: the first rule in the file with that action, None for the default and for reserved names.
    pending: the facts not visible from here that could still change the action.
    matches: every rule that matches or may match, in file order.
    """

    action: Action
    rule: str | None
    why: str
    pending: frozenset[Fact]
    matches: tuple[RuleMatch, ...]
    reserved: Reserved | None = None

    @property
    def bypasses(self) -> bool:
        """Whether a point may act on a bypass: one matches for sure, and nothing stricter can still match."""
        return self.action is Action.BYPASS and not self.pending

    @property
    def stricter(self) -> tuple[RuleMatch, ...]:
        """The rules that want it inspected or blocked, or may want so."""
        return tuple(match for match in self.matches if match.action is not Action.BYPASS)


STRENGTH = {Action.BYPASS: 1, Action.INSPECT: 2, Action.BLOCK: 3}
DEFAULT = Decision(Action.INSPECT, None, "no rule matches: inspected by default", NO_FACTS, ())
