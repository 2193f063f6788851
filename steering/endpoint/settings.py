"""The helper's own settings: what it listens on, and what a peer may cost it."""

from dataclasses import dataclass, field
from ipaddress import ip_address

from steering.endpoint.errors import EndpointError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds, sizes in bytes.

    max_user_connections: of one user, so that others on the computer are served too; likewise of all who are not known
    at once.
    mark: SO_MARK of what is dialled, 0 for none; capture knows the helper's own connections by it.
    head_s: from accept to the end of the first head.  hello_s: for a ClientHello; who says nothing by then is
    decided by the name of the CONNECT alone.  dial_s: for name, addresses and connection together.
    attempt_s: before the next address is tried beside the one before.  linger_s: for a refused client to take its
    answer while it still sends.
    warm: connections to the inspector kept ready.  warm_s: how long one is kept (the inspector closes idle ones).
    rest_s: how long an inspector that did not answer is left alone.  source_s: how often the inspector is asked
    anew under which address it sees us.
    """

    max_connections: int = 8192
    max_user_connections: int = 6144
    max_head_bytes: int = 65536
    max_hello_bytes: int = 65536
    read_bytes: int = 65536
    high_water_bytes: int = 262_144
    head_s: float = 10.0
    hello_s: float = 5.0
    dial_s: float = 15.0
    attempt_s: float = 0.25
    inspector_s: float = 5.0
    linger_s: float = 2.0
    idle_s: float = 3600.0
    sweep_s: float = 20.0
    warm: int = 4
    warm_s: float = 45.0
    rest_s: float = 2.0
    source_s: float = 300.0
    mark: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """listen: CONNECT, plain HTTP, SOCKS and the PAC, on one port.  transparent_listen: what captured connections are
    redirected to.  capture: whether they are.  access: "-", "off" or a file.  poll_s: between looks for a new policy.
    """

    listen: str = "127.0.0.1:3129"
    transparent_listen: str = "127.0.0.1:15001"
    capture: bool = False
    log_format: str = "console"
    access: str = "-"
    poll_s: float = 60.0
    limits: Limits = field(default_factory=Limits)


def parse_listen(text: str) -> tuple[str, int]:
    """``ADDRESS:PORT`` on this machine alone.  Raises EndpointError."""
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ip_address(host[1:-1] if bracketed else host)
        if bracketed != (address.version == 6) or not (port.isascii() and port.isdecimal()):
            raise ValueError(text)
    except ValueError as exc:
        raise EndpointError(f"{text!r} is no address to listen on: write ADDRESS:PORT, as 127.0.0.1:3129") from exc
    if len(port) > 5 or int(port) > 65535:
        raise EndpointError(f"{text!r}: {port} is no port")
    if not address.is_loopback:
        raise EndpointError(f"{text!r}: the helper serves this computer alone; name a loopback address")
    return str(address), int(port)
