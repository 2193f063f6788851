"""May this address be dialled?  ``destination`` with our own listeners and opened-up networks filled in."""

from collections.abc import Callable

from steering.policy.hosts import Address
from steering_inspector.destination import DestinationRules, refusal, unwrap
from steering_inspector.settings import InspectorSettings
from steering_inspector.upstream import Guard


def destination_guard(settings: InspectorSettings, own: Callable[[], frozenset[tuple[str, int]]]) -> Guard:
    """own: every listener of the service, asked at each dial because listeners are bound after construction."""

    def refuse(address: Address, port: int, guarded: bool) -> str | None:
        rules = DestinationRules(allow=settings.allow_destinations, own=own(), local=settings.local)
        why = refusal(address, port, rules)
        if why is None and guarded and not any(unwrap(address) in n for n in settings.allow_destinations):
            return "outside of what is opened up for reserved names"
        return why

    return refuse
