"""Which inspector a host goes to: proxy chains, and the slot table that spreads hosts over several inspectors.

The host is hashed by ``x = (x * 31 + c) % 65521``, exact in every JavaScript engine and in Python.  A slot names a
chain; the table is made by rendezvous hashing with bounded load, so that an inspector more moves few hosts.  Only the
host is hashed: WinINET keeps the first answer for a host, whatever the rest of the URL.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from steering.pac.errors import PacError
from steering.policy import Host, PolicyError, parse_host

SLOTS = 256
MAX_CHAIN = 8  # inspectors in one chain: with more, 256 orders of all of them would be most of the PAC
_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^:\[\]]+):(?P<port>[0-9]{1,5})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Chains:
    """chains: the strings that a PAC returns for what is inspected.  slots: index into ``chains`` by hash."""

    chains: tuple[str, ...]
    slots: tuple[int, ...] = (0,)

    def of(self, host: Host) -> str:
        """The chain of a host."""
        return self.of_text(hashed_text(host))

    def of_text(self, text: str) -> str:
        """The chain of what is no host at all, and of what ``hashed_text`` makes of one."""
        return self.chains[self.slots[host_hash(text) % len(self.slots)]]


def hashed_text(host: Host) -> str:
    """An IPv6 address by its digits: clients write one address in several ways."""
    if host.address is not None and host.address.version == 6:
        return f"{int(host.address):032x}"
    return host.text


def host_hash(text: str) -> int:
    x = 7
    for c in text:
        x = (x * 31 + ord(c)) % 65521
    return x


def plan_chains(inspectors: Sequence[str], *, fail_open: bool = False, tls: bool = False) -> Chains:
    """The chains over ``inspectors`` ("HOST:PORT" each).  Raises PacError for anything else.

    fail_open: end each chain with DIRECT.  One failed connection then sends a browser past the inspectors for 5 to 30
    minutes, so it is off unless asked for.  tls: ``HTTPS`` in front, for browsers that take it (Safari does not).
    """
    tokens = [_token(inspector) for inspector in dict.fromkeys(inspectors)]
    if not tokens:
        raise PacError("no inspector to send anything to: name one in [inspector] advertise")
    orders = [_order(slot, tokens) for slot in range(SLOTS)] if len(tokens) > 1 else [tokens]
    written = [_chain(order, fail_open=fail_open, tls=tls) for order in _bounded(orders, len(tokens))]
    chains = tuple(dict.fromkeys(written))
    return Chains(chains=chains, slots=tuple(chains.index(chain) for chain in written))


def _token(inspector: str) -> str:
    match = _AUTHORITY.fullmatch(inspector.strip())
    if match is None or not 0 < int(match["port"]) < 65536:
        raise PacError(f"{inspector!r} is no inspector address: write HOST:PORT, an IPv6 address in brackets")
    try:
        host = parse_host(match["host"])
    except PolicyError as exc:
        raise PacError(f"{inspector!r} is no inspector address: {exc}") from exc
    text = f"[{host.text}]" if host.address is not None and host.address.version == 6 else host.text
    return f"{text}:{int(match['port'])}"


def _order(slot: int, tokens: Sequence[str]) -> list[str]:
    return sorted(tokens, key=lambda token: sha256(f"{slot}|{token}".encode()).digest())


def _bounded(orders: list[list[str]], inspectors: int) -> list[list[str]]:
    """Each slot's order, its first taken so that none leads more than its share (rounded up) of the slots."""
    share = -(-len(orders) // inspectors)
    leads: dict[str, int] = {}
    bounded = []
    for order in orders:
        first = next(token for token in order if leads.get(token, 0) < share)
        leads[first] = leads.get(first, 0) + 1
        bounded.append([first, *(token for token in order if token != first)][:MAX_CHAIN])
    return bounded


def _chain(order: Sequence[str], *, fail_open: bool, tls: bool) -> str:
    secured = [f"HTTPS {token}" for token in order] if tls else []
    return "; ".join([*secured, *(f"PROXY {token}" for token in order), *(["DIRECT"] if fail_open else [])])
