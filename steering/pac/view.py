"""Who asks for a PAC, and what that lets the policy know of every flow that the PAC will decide."""

from dataclasses import dataclass

from steering.policy import UNSEEN, Flow, Host, Unseen
from steering.policy.hosts import Address


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """source: the requester's address.  groups: those that it claims by a token.

    With a token the address counts for nothing: a laptop takes its PAC along, and with it the claim.
    """

    source: Address | Unseen = UNSEEN
    groups: frozenset[str] = frozenset()

    def flow(self, host: Host) -> Flow:
        return Flow(host=host, source=self.source, groups=self.groups)


ANONYMOUS = View()


def of_group(name: str) -> View:
    return View(groups=frozenset((name,)))


def of_address(address: Address) -> View:
    return View(source=address)
