"""Whether the ladder knows this very process: connections to ourselves, over every kind of address.

A system whose tables have changed shape answers wrongly or not at all; it is found out here, before a rule trusts it.
"""

import socket
import time
from dataclasses import dataclass
from ipaddress import ip_address
from os import getpid

from steering.endpoint.identify.identity import Ends, Identifier, Identity

# What listens, what connects to it, over which family: the second is how Java and .NET connect to IPv4.
KINDS = {
    "IPv4": ("127.0.0.1", "127.0.0.1", socket.AF_INET),
    "IPv4-mapped": ("127.0.0.1", "::ffff:127.0.0.1", socket.AF_INET6),
    "IPv6": ("::1", "::1", socket.AF_INET6),
}


@dataclass(frozen=True, slots=True)
class Tested:
    """kind: of ``KINDS``.  why: what went wrong, "" where the answer was right.  took_us: what it cost."""

    kind: str
    identity: Identity
    why: str
    took_us: float = 0.0


async def run_self_test(identifier: Identifier) -> tuple[Tested, ...]:
    """One result for each kind of address that this machine has."""
    return tuple([result for kind in KINDS if (result := await _test(identifier, kind)) is not None])


async def _test(identifier: Identifier, kind: str) -> Tested | None:
    address, target, family = KINDS[kind]
    here = ip_address(address)
    try:
        with (
            socket.socket(socket.AF_INET6 if here.version == 6 else socket.AF_INET) as listener,
            socket.socket(family) as client,
        ):
            listener.bind((address, 0))
            listener.listen(1)  # nobody needs to accept: the kernel has connected them
            port = listener.getsockname()[1]
            client.connect((target, port))
            ends = Ends(here, client.getsockname()[1], here, port)
            began_ns = time.perf_counter_ns()
            identity = identifier.fast(ends) or await identifier.full(ends)
            took_us = (time.perf_counter_ns() - began_ns) / 1000
    except OSError:
        return None  # no such address here
    why = identity.unknown
    if not why and identity.pid != getpid():
        why = f"process {identity.pid} was named, this is {getpid()}"
    return Tested(kind, identity, why, took_us)
