"""Binding the helper's listeners: on this computer alone, all of them before anything is served."""

import errno
import socket
from dataclasses import dataclass

from steering.endpoint.errors import EndpointError
from steering.endpoint.settings import EndpointSettings, parse_listen

BACKLOG = 1024


@dataclass(frozen=True, slots=True)
class Listening:
    """explicit: CONNECT, plain HTTP, SOCKS and the PAC.  captured: what is redirected here, none without capture."""

    explicit: tuple[socket.socket, ...]
    captured: tuple[socket.socket, ...]

    @property
    def address(self) -> str:
        """ "ADDRESS:PORT" of the proxy."""
        return _shown(self.explicit[0])

    @property
    def captured_port(self) -> int:
        return int(self.captured[0].getsockname()[1])

    def close(self) -> None:
        for listener in (*self.explicit, *self.captured):
            listener.close()


def bind(settings: EndpointSettings) -> Listening:
    """Raises EndpointError, with nothing bound."""
    explicit = [_bound("listen", *parse_listen(settings.listen))]
    captured: list[socket.socket] = []
    try:
        if settings.capture:
            host, port = parse_listen(settings.transparent_listen)
            captured.append(_bound("transparent_listen", host, port))
            captured += _beside(captured[0])
    except EndpointError:
        Listening(tuple(explicit), tuple(captured)).close()
        raise
    return Listening(tuple(explicit), tuple(captured))


def _beside(listener: socket.socket) -> list[socket.socket]:
    """The same port for the other family: a redirect leads to the loopback address of the connection's own."""
    name = listener.getsockname()
    other = "127.0.0.1" if ":" in name[0] else "::1"
    if other == "::1" and not socket.has_ipv6:
        return []
    try:
        return [_bind(other, int(name[1]))]
    except OSError as exc:
        if exc.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            return []  # this computer has no such family
        raise _refused("transparent_listen", other, int(name[1]), exc) from exc


def _bound(setting: str, host: str, port: int) -> socket.socket:
    try:
        return _bind(host, port)
    except OSError as exc:
        raise _refused(setting, host, port, exc) from exc


def _bind(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows: there, reuse would let others take the port over
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if ":" in host:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host, port))
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _refused(setting: str, host: str, port: int, exc: OSError) -> EndpointError:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if exc.errno == errno.EADDRINUSE:
        return EndpointError(f"{where} is taken by another program: stop it, or name another port with '{setting}'")
    return EndpointError(f"{where} cannot be listened on ('{setting}'): {exc.strerror or exc}")


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
