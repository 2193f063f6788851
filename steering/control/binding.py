"""Which addresses a configuration asks for, bound for all workers before anything is served."""

import socket
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from ipaddress import ip_address

from steering.control.activation import bound_to
from steering.control.config import Config, parse_listen
from steering.control.errors import ListenError
from steering.control.listening import OF_PARENT, Listener, Role, adopt, authority, free_port_pair, listen
from steering.policy.hosts import Address

RETRY_S = 0.2


class Only:
    """What ``serve --only`` may name."""

    CONTROL, DNS, INSPECTOR = ALL = ("control", "dns", "inspector")


def wanted(config: Config, only: Collection[str]) -> dict[Role, tuple[str, int]]:
    """Role -> host and port; UDP and TCP of the resolver share a port, also where a free one is taken."""
    found = _asked(config, only)
    if Role.DNS_UDP in found:
        host, port = found[Role.DNS_UDP]
        found[Role.DNS_UDP] = found[Role.DNS_TCP] = (host, port or free_port_pair(host))
    return found


def fixed(config: Config, only: Collection[str] = Only.ALL) -> dict[Role, tuple[str, int]]:
    """Those of them that are known beforehand: where any free port is taken, it is not."""
    found = _asked(config, only)
    if Role.DNS_UDP in found:
        found[Role.DNS_TCP] = found[Role.DNS_UDP]
    return {role: (host, port) for role, (host, port) in found.items() if port}


def _asked(config: Config, only: Collection[str]) -> dict[Role, tuple[str, int]]:
    asked = {
        Role.CONTROL: config.control.listen if Only.CONTROL in only else "",
        Role.ENDPOINT_CONTROL: config.control.endpoint_listen if Only.CONTROL in only else "",
        Role.EXPLICIT: config.inspector.listen if Only.INSPECTOR in only else "",
        Role.TLS: config.inspector.tls_listen if Only.INSPECTOR in only else "",
        Role.HTTP: config.inspector.http_listen if Only.INSPECTOR in only else "",
        Role.ENDPOINT: config.inspector.endpoint_listen if Only.INSPECTOR in only else "",
        Role.DNS_UDP: config.dns.listen if Only.DNS in only else "",
        Role.DNS_TLS: config.dns.tls_listen if Only.DNS in only else "",
        Role.DNS_HTTPS: config.dns.https_listen if Only.DNS in only else "",
    }
    return {role: parse_listen(text) for role, text in asked.items() if text}


def bind(
    asked: Mapping[Role, tuple[str, int]],
    workers: int,
    patience_s: float = 0.0,
    given: Sequence[socket.socket] = (),
) -> dict[Role, Listener]:
    """Bind everything or nothing.  Raises ListenError.

    patience_s: how long to wait for a taken address: after a crash the workers of the service before let go of theirs
    within seconds.  given: sockets that systemd has bound for us; whoever asks for their address gets them.
    """
    left = list(given)
    bound: dict[Role, Listener] = {}
    try:
        if not asked:
            raise ListenError("there is nothing to serve: every address to listen on is empty")
        deadline = time.monotonic() + patience_s
        for role, (host, port) in asked.items():
            found = [sock for sock in left if bound_to(sock, role, host, port)]
            left = [sock for sock in left if sock not in found]
            bound[role] = (
                adopt(role, host, port, found)
                if found
                else _bind(role, host, port, 1 if role in OF_PARENT else workers, deadline)
            )
            if role in OF_PARENT and len(found) > 1:
                raise ListenError(f"{role.value}: one socket is enough for {authority(host, port)}, not {len(found)}")
        if left:
            raise _not_asked_for(left[0])
    except ListenError:
        for listener in bound.values():
            listener.close()
        for sock in given:
            sock.close()
        raise
    return bound


def _not_asked_for(sock: socket.socket) -> ListenError:
    host, port = sock.getsockname()[:2]
    kind = "UDP" if sock.type is socket.SOCK_DGRAM else "TCP"
    return ListenError(
        f"systemd holds a {kind} socket on {authority(host, port)}, and no setting listens there: "
        "let steering.socket name what steering.toml does ('steering deploy systemd' prints it)"
    )


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
    for role in (Role.DNS_UDP, Role.DNS_TCP, Role.DNS_TLS, Role.DNS_HTTPS):
        if role in listeners:
            yield ip_address(listeners[role].host), listeners[role].port
