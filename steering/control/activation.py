"""Sockets that systemd bound for us before it started us (sd_listen_fds(3)), known by their addresses.

By address and not by FileDescriptorName: a .socket unit has one name for all its lines, and the configuration remains
the one place that says what is served where.  Ports below 1024 are thus served by a service that never held a
privilege, and what comes during a restart waits instead of being refused.
"""

import os
import socket
from collections.abc import MutableMapping
from ipaddress import ip_address

from steering.control.errors import ListenError
from steering.control.listening import Role

FIRST = 3  # SD_LISTEN_FDS_START
_VARIABLES = ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES")


def given_sockets(environment: MutableMapping[str, str] = os.environ) -> list[socket.socket]:
    """All of them, once: the variables are taken away, so that no child takes the same for its own.

    Raises ListenError for one that no address of ours can be.
    """
    meant, count = environment.get("LISTEN_PID", ""), environment.get("LISTEN_FDS", "")
    for name in _VARIABLES:
        environment.pop(name, None)
    if meant != str(os.getpid()) or not (count.isascii() and count.isdecimal()):
        return []
    found = []
    for descriptor in range(FIRST, FIRST + int(count)):
        os.set_inheritable(descriptor, False)
        try:
            found.append(socket.socket(fileno=descriptor))
        except OSError as exc:
            raise ListenError(f"descriptor {descriptor} of systemd's is no socket: {exc.strerror}") from exc
    for sock in found:
        if sock.family not in (socket.AF_INET, socket.AF_INET6) or sock.type not in (
            socket.SOCK_STREAM,
            socket.SOCK_DGRAM,
        ):
            raise ListenError(f"systemd passed a socket that is neither TCP nor UDP: {sock.getsockname()!r}")
    return found


def bound_to(sock: socket.socket, role: Role, host: str, port: int) -> bool:
    """Whether it is the one for that address."""
    kind = socket.SOCK_DGRAM if role is Role.DNS_UDP else socket.SOCK_STREAM
    at, its_port = sock.getsockname()[:2]
    return sock.type is kind and its_port == port and ip_address(at) == ip_address(host)
