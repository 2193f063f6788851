"""May this address be dialled?  ``destination`` with our own listeners and opened-up networks filled in."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, SOCK_DGRAM, socket

from steering.policy.hosts import Address
from steering_inspector.destination import DestinationRules, refusal, unwrap
from steering_inspector.settings import InspectorSettings
from steering_inspector.upstream import Guard

_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound


def destination_guard(settings: InspectorSettings, own: Callable[[], frozenset[tuple[str, int]]]) -> Guard:
    """own: every listener of the service, asked at each dial because listeners are bound after construction."""

    allow = settings.allow_destinations
    rules = DestinationRules(allow=allow, local=settings.local)

    def refuse(address: Address, port: int, guarded: bool) -> str | None:
        nonlocal rules
        listening = own()
        if rules.own is not listening:
            rules = DestinationRules(allow=allow, own=listening, local=settings.local)
        judged_by = rules
        if any((wildcard, port) in listening for wildcard in _WILDCARDS) and is_of_this_machine(unwrap(address)):
            judged_by = replace(rules, local=settings.local | {str(unwrap(address))})
        why = refusal(address, port, judged_by)
        if why is None and guarded and not any(unwrap(address) in n for n in allow):
            return "outside of what is opened up for reserved names"
        return why

    return refuse


def is_of_this_machine(address: Address) -> bool:
    """Whether the kernel would talk to ``address`` from that very address.  Sends nothing."""
    with suppress(OSError), socket(AF_INET if address.version == 4 else AF_INET6, SOCK_DGRAM) as probe:
        probe.connect((str(address), 9))
        return ip_address(str(probe.getsockname()[0]).partition("%")[0]) == address
    return False
