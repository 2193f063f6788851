"""Who is asking: the view of a client's address.

Pure.  Clients that no rule can tell apart share one view, and with it the remembered decisions.
"""

from enum import Enum
from ipaddress import ip_address
from typing import TYPE_CHECKING

from steering.policy import Policy
from steering.policy.networks import NetworkMap
from steering_dns.settings import Address, DnsSettings

if TYPE_CHECKING:
    from steering_dns.plan import Plan, Tally


# Of a log line: host, effect, rule, why, pending, reason, qtype.
Said = tuple[str, str, str | None, str, tuple[str, ...], str, str]


class Kind(Enum):
    STEERED = "steered"
    REAL = "real"
    REFUSED = "refused"


class View:
    """source: an address of the view, the same to every rule.  memo: question key -> what is done about it.

    unlisted: type and class -> the same for all names of which nothing is said.  said: question key -> what the query
    log tells of it.  replies: a datagram without its id -> the answer without it, until when, what counts it, and what
    the query log, if there is one, tells.
    """

    __slots__ = ("kind", "memo", "replies", "said", "source", "unlisted")

    def __init__(self, kind: Kind, source: Address) -> None:
        self.kind = kind
        self.source = source
        self.memo: dict[bytes, Plan] = {}
        self.said: dict[bytes, Said] = {}
        self.unlisted: dict[bytes, Plan] = {}
        self.replies: dict[bytes, tuple[bytes, float, Tally, Said | None]] = {}


class Views:
    """Client addresses to views, remembered within bounds."""

    def __init__(self, settings: DnsSettings, policy: Policy) -> None:
        self._limits = settings.limits
        self._allowed = NetworkMap((n, True) for n in settings.allowed)
        self._steered = NetworkMap((n, True) for n in settings.steered)
        self._sources = NetworkMap((n, i) for i, n in enumerate(policy.source_networks))
        self.known: dict[int | bytes, tuple[View, str]] = {}
        self._by_client: dict[str, View] = {}
        self._by_class: dict[tuple[Kind, bool, tuple[int, ...]], View] = {}

    def of(self, client: str) -> View:
        """The view of a client, by the text of its address as a socket gives it."""
        view = self._by_client.get(client)
        if view is None:
            if len(self._by_client) >= self._limits.clients:
                self._by_client.clear()
            view = self._by_client[client] = self._classify(client)
        return view

    def introduce(self, peer: int | bytes, client: str) -> tuple[View, str]:
        """Have ``known`` tell the view and the address of a client by what its socket knows it by."""
        if len(self.known) >= self._limits.clients:
            self.known.clear()
        known = self.known[peer] = (self.of(client), client)
        return known

    def forget_replies(self) -> None:
        for view in self._by_class.values():
            view.replies.clear()

    def _classify(self, client: str) -> View:
        address = ip_address(client.partition("%")[0])
        address = getattr(address, "ipv4_mapped", None) or address
        if not self._allowed.holding(address):
            kind = Kind.REFUSED
        else:
            kind = Kind.STEERED if self._steered.holding(address) else Kind.REAL
        sources = tuple(sorted(self._sources.holding(address))) if kind is Kind.STEERED else ()
        key = (kind, address.is_loopback, sources)  # loopback: ``plan`` tells it what it tells nobody else
        if key not in self._by_class:
            if len(self._by_class) >= self._limits.views:
                self._by_class.clear()
                self._by_client.clear()
                self.known.clear()
            self._by_class[key] = View(kind, address)
        return self._by_class[key]
