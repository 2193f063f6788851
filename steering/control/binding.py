"""Which addresses a configuration asks for, bound for all workers before anything is served."""

import time
from collections.abc import Collection, Iterator, Mapping
from ipaddress import ip_address

from steering.control.config import Config, parse_listen
from steering.control.errors import ListenError
from steering.control.listening import OF_PARENT, Listener, Role, free_port_pair, listen
from steering.policy.hosts import Address

RETRY_S = 0.2


class Only:
    """What ``serve --only`` may name."""

    CONTROL, DNS, INSPECTOR = ALL = ("control", "dns", "inspector")


def wanted(config: Config, only: Collection[str]) -> dict[Role, tuple[str, int]]:
    """Role -> host and port; UDP and TCP of the resolver share a port, also where a free one is taken."""
    asked = {
        Role.CONTROL: config.control.listen if Only.CONTROL in only else "",
        Role.ENDPOINT_CONTROL: config.control.endpoint_listen if Only.CONTROL in only else "",
        Role.EXPLICIT: config.inspector.listen if Only.INSPECTOR in only else "",
        Role.TLS: config.inspector.tls_listen if Only.INSPECTOR in only else "",
        Role.HTTP: config.inspector.http_listen if Only.INSPECTOR in only else "",
        Role.ENDPOINT: config.inspector.endpoint_listen if Only.INSPECTOR in only else "",
        Role.DNS_UDP: config.dns.listen if Only.DNS in only else "",
    }
    found = {role: parse_listen(text) for role, text in asked.items() if text}
    if Role.DNS_UDP in found:
        host, port = found[Role.DNS_UDP]
        found[Role.DNS_UDP] = found[Role.DNS_TCP] = (host, port or free_port_pair(host))
    return found


def bind(asked: Mapping[Role, tuple[str, int]], workers: int, patience_s: float = 0.0) -> dict[Role, Listener]:
    """Bind everything or nothing.  Raises ListenError.

    patience_s: how long to wait for a taken address: after a crash the workers of the service before let go of theirs
    within seconds.
    """
    if not asked:
        raise ListenError("there is nothing to serve: every address to listen on is empty")
    deadline = time.monotonic() + patience_s
    bound: dict[Role, Listener] = {}
    try:
        for role, (host, port) in asked.items():
            bound[role] = _bind(role, host, port, 1 if role in OF_PARENT else workers, deadline)
    except ListenError:
        for listener in bound.values():
            listener.close()
        raise
    return bound


def _bind(role: Role, host: str, port: int, workers: int, deadline: float) -> Listener:
    while True:
        try:
            return listen(role, host, port, workers)
        except ListenError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(RETRY_S)


def reachable(listeners: Mapping[Role, Listener], role: Role) -> str:
    """HOST:PORT, or "" where the role is not served."""
    return listeners[role].address if role in listeners else ""


def resolving_at(listeners: Mapping[Role, Listener]) -> Iterator[tuple[Address, int]]:
    """Where the resolver answers."""
    for role in (Role.DNS_UDP, Role.DNS_TCP):
        if role in listeners:
            yield ip_address(listeners[role].host), listeners[role].port
