"""Marking the helper's own connections, so that capture leaves them alone whatever user the helper runs as (Linux)."""

import socket

_SO_MARK = getattr(socket, "SO_MARK", 36)


def mark(sock: socket.socket, own_mark: int) -> None:
    """own_mark: 0 for none.  Raises OSError without CAP_NET_ADMIN or CAP_NET_RAW."""
    if own_mark:
        sock.setsockopt(socket.SOL_SOCKET, _SO_MARK, own_mark)


def allowed(own_mark: int) -> int:
    """``own_mark`` where this process may set it, else 0."""
    with socket.socket() as probe:
        try:
            mark(probe, own_mark)
        except OSError:
            return 0
    return own_mark


def create_connection(host: str, port: int, timeout_s: float, own_mark: int) -> socket.socket:
    """As ``socket.create_connection``, with every attempt marked.  Blocks.  Raises OSError."""
    last: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, where in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            sock.settimeout(timeout_s)
            mark(sock, own_mark)
            sock.connect(where)
        except OSError as exc:
            sock.close()
            last = exc
        else:
            return sock
    raise last
