"""May this address be dialled?  ``destination`` with our own listeners and opened-up networks filled in."""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, SOCK_DGRAM, socket

from steering.policy.hosts import Address
from steering_inspector.destination import DestinationRules, refusal, unwrap
from steering_inspector.settings import InspectorSettings
from steering_inspector.upstream import Guard

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound


def destination_guard(settings: InspectorSettings, own: Callable[[], frozenset[tuple[str, int]]]) -> Guard:
    """own: every listener of the service, asked at each dial because listeners are bound after construction."""

    def refuse(address: Address, port: int, guarded: bool) -> str | None:
        listening = own()
        local = settings.local
        if any((wildcard, port) in listening for wildcard in _WILDCARDS) and is_of_this_machine(unwrap(address)):
            local |= {str(unwrap(address))}
        rules = DestinationRules(allow=settings.allow_destinations, own=listening, local=local)
        why = refusal(address, port, rules)
        if why is None and guarded and not any(unwrap(address) in n for n in settings.allow_destinations):
            return "outside of what is opened up for reserved names"
        return why

    return refuse


def is_of_this_machine(address: Address) -> bool:
    """Whether the kernel would talk to ``address`` from that very address.  Sends nothing."""
    with suppress(OSError), socket(AF_INET if address.version == 4 else AF_INET6, SOCK_DGRAM) as probe:
        probe.connect((str(address), 9))
        return ip_address(str(probe.getsockname()[0]).partition("%")[0]) == address
    return False
