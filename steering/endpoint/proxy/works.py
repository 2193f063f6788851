"""What every connection of the local proxy shares: bundle, identifier, inspector, sink, clock, the register."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec

from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.decide import Facts
from steering.endpoint.identify.identity import Identifier, Identity
from steering.endpoint.proxy.dial import Resolve
from steering.endpoint.proxy.inspector import InspectorLinks
from steering.endpoint.settings import Limits
from steering.formats.attestation import Claims, sign
from steering.policy import UNSEEN
from steering.policy.access import Sink
from steering.policy.hosts import Address

_LOOPBACK: dict[int, Address] = {4: IPv4Address("127.0.0.1"), 6: IPv6Address("::1")}


class Relay(Protocol):
    """Something that carries a client's bytes, in the register."""

    def check(self, now: float) -> None:
        """End it where nothing has passed for too long (``now`` of the loop's clock)."""

    def recheck(self) -> None:
        """The policy, the time or the network has changed: end what may no longer be."""

    def abort(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Attester:
    """Who signs: the device, and the key of its certificate."""

    device_id: str
    group: str
    key: ec.EllipticCurvePrivateKey

    def token(self, authority: str, nonce: str, revision: str, identity: Identity | None, now: float) -> str:
        return sign(
            Claims(
                device=self.device_id,
                authority=authority,
                nonce=nonce,
                revision=revision,
                issued_at=now,
                user=identity.user if identity else None,
                program=identity.program if identity else UNSEEN,
                package=identity.package if identity else "",
            ),
            self.key,
        )


@dataclass(slots=True, kw_only=True)
class Works:
    """own: address and port of our listeners, never dialled.  log_programs: identify also where no rule asks.

    held: user -> connections that are open; "" for who was not known at once.
    """

    live: LiveBundle
    identifier: Identifier
    links: InspectorLinks
    attester: Attester
    sink: Sink
    loop: asyncio.AbstractEventLoop
    resolve: Resolve
    limits: Limits
    clock: Callable[[], float] = time.time
    log_programs: bool = True
    own: frozenset[tuple[Address, int]] = frozenset()
    relays: set[Relay] = field(default_factory=set)
    counters: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)

    def facts(self, identity: Identity | None) -> Facts:
        return Facts(
            source=self.links.source,
            user=UNSEEN if identity is None or identity.user is None else identity.user,
            groups=frozenset((self.attester.group,)) if self.attester.group else frozenset(),
            program=UNSEEN if identity is None else identity.program,
        )

    def let_go(self, user: str) -> None:
        """A connection of that user has ended."""
        self.held[user] -= 1
        if self.held[user] <= 0:
            del self.held[user]

    def is_own(self, address: Address, port: int) -> bool:
        """Whether a connection to ``address`` and ``port`` would end at ourselves."""
        return (reached(address), port) in self.own


def reached(address: Address) -> Address:
    """Where a connection to ``address`` ends: IPv4 in IPv6 is IPv4, and the unspecified address is this computer."""
    bare: Address = getattr(address, "ipv4_mapped", None) or address
    return _LOOPBACK[bare.version] if bare.is_unspecified else bare
