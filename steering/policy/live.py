"""The policy in force, behind one reference that a reload swaps."""

from collections.abc import Callable

from steering.policy.compile import Policy


class Live:
    """Take ``policy`` once per request or query and keep to it: it is immutable.

    Subscribers are called after a swap, with the new policy; they drop what was derived from the old one.
    """

    __slots__ = ("_subscribers", "policy")

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._subscribers: list[Callable[[Policy], None]] = []

    def subscribe(self, on_swap: Callable[[Policy], None]) -> None:
        self._subscribers.append(on_swap)

    def swap(self, policy: Policy) -> None:
        self.policy = policy
        for on_swap in self._subscribers:
            on_swap(policy)
