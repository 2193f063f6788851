"""Sockets for every worker, bound once by the parent, or for it, and kept by it over a worker's end.

SO_REUSEPORT lets the workers share a port, and would let a forgotten process share it too and take half of the
traffic in silence; so each port is first taken without it, by a socket that is kept and shared only then.  There is
no instant at which two services can both believe that they have it.
"""

import errno
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from steering.control.errors import ListenError


class Role(Enum):
    EXPLICIT = "inspector, explicit proxy"
    TLS = "inspector, transparent TLS"
    HTTP = "inspector, transparent HTTP"
    DNS_UDP = "DNS over UDP"
    DNS_TCP = "DNS over TCP"
    DNS_TLS = "DNS over TLS"
    DNS_HTTPS = "DNS over HTTPS"
    CONTROL = "control"
    ENDPOINT = "inspector, for helpers"
    ENDPOINT_CONTROL = "control, for helpers"


# Role -> the setting that says where.
SETTINGS = {
    Role.EXPLICIT: "inspector.listen",
    Role.TLS: "inspector.tls_listen",
    Role.HTTP: "inspector.http_listen",
    Role.DNS_UDP: "dns.listen",
    Role.DNS_TCP: "dns.listen",
    Role.DNS_TLS: "dns.tls_listen",
    Role.DNS_HTTPS: "dns.https_listen",
    Role.CONTROL: "control.listen",
    Role.ENDPOINT: "inspector.endpoint_listen",
    Role.ENDPOINT_CONTROL: "control.endpoint_listen",
}

OF_PARENT = frozenset((Role.CONTROL, Role.ENDPOINT_CONTROL))  # served by the service itself, not by its workers

BACKLOG = 4096
UDP_BUFFER_BYTES = 4 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """One address, with a socket per worker; those that somebody else has bound may be fewer, or more."""

    role: Role
    host: str
    port: int
    sockets: tuple[socket.socket, ...]

    @property
    def address(self) -> str:
        return authority(self.host, self.port)

    def of_worker(self, number: int, workers: int) -> tuple[socket.socket, ...]:
        """Each has at least one, and each socket somebody who reads it."""
        return self.sockets[number::workers] or (self.sockets[number % len(self.sockets)],)

    def close(self) -> None:
        for sock in self.sockets:
            sock.close()


def authority(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listen(role: Role, host: str, port: int, workers: int) -> Listener:
    """Bind ``workers`` sockets on one address; port 0 takes a free one.  Raises ListenError."""
    sockets: list[socket.socket] = []
    try:
        while len(sockets) < workers:
            sock = _bind(role, host, port, shared=bool(sockets))
            sockets.append(sock)
            port = int(sock.getsockname()[1])
            _prepare(role, sock)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as exc:
        for sock in sockets:
            sock.close()
        raise _refused(role, host, port, exc) from exc
    return Listener(role=role, host=host, port=port, sockets=tuple(sockets))


def adopt(role: Role, host: str, port: int, sockets: Sequence[socket.socket]) -> Listener:
    """The same over sockets that are bound to that address already.  Raises ListenError."""
    for sock in sockets:
        if sock.family == socket.AF_INET6 and not sock.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
            # IPv4 clients would come as ::ffff:192.0.2.1, which no network of a rule or an access list holds.
            raise ListenError(
                f"{role.value}: the socket on {authority(host, port)} takes IPv4 too: set BindIPv6Only=ipv6-only"
            )
        try:
            _prepare(role, sock)
        except OSError as exc:
            raise _refused(role, host, port, exc) from exc
        sock.setblocking(False)
    return Listener(role=role, host=host, port=port, sockets=tuple(sockets))


def _prepare(role: Role, sock: socket.socket) -> None:
    if role is Role.DNS_UDP:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, UDP_BUFFER_BYTES)
    else:
        sock.listen(BACKLOG)


def free_port_pair(host: str) -> int:
    """A port that is free for UDP and TCP alike."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(50):
        with socket.socket(family, socket.SOCK_STREAM) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
            tcp.bind((host, 0))
            try:
                udp.bind((host, tcp.getsockname()[1]))
            except OSError:
                continue
            return int(tcp.getsockname()[1])
    raise ListenError(f"no port on {host} is free for UDP and TCP alike")


def _bind(role: Role, host: str, port: int, *, shared: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    datagram = role is Role.DNS_UDP
    sock = socket.socket(family, socket.SOCK_DGRAM if datagram else socket.SOCK_STREAM)
    try:
        if not datagram:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _refused(role: Role, host: str, port: int, exc: OSError) -> ListenError:
    advice = ""
    if isinstance(exc, PermissionError):
        advice = " (ports below 1024 need a privilege)"
    elif exc.errno == errno.EADDRINUSE:
        advice = f"; end what has it, or choose another in {SETTINGS[role]}"
    return ListenError(f"{role.value}: cannot listen on {authority(host, port)}: {exc.strerror}{advice}")
