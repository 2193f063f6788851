"""What the inspector is configured with: ports, networks, limits, what is opened up."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_network

Network = IPv4Network | IPv6Network

PRIVATE: tuple[Network, ...] = tuple(
    map(
        ip_network,
        ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"),
    )
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer may cost us.  Times in seconds, sizes in bytes.

    max_head_bytes, max_fields, max_line_bytes: of a request or response head (precedents: nginx 32 KiB, Envoy
        60 KiB and 100 fields).  max_hello_bytes: of a ClientHello with its record headers.
    head_s: from a head's first byte to its end, in all and not per read.  keepalive_s: between requests.
    connect_s: per address.  dial_s: for name, addresses and origin handshake together.
    response_s: from a request to the head that answers it.  body_idle_s: without a byte in a body that is due.
    min_upload_bytes_s: over windows of ``rate_window_s`` in which we were willing to read.
    tunnel_idle_s: without a byte in either direction (tunnels and WebSockets).
    max_interim: 1xx answers before the final one.
    read_bytes: one read; above 128 KiB malloc maps each buffer anew, which doubles the price of bulk traffic.
    high_water_bytes: unsent bytes at which the other side is no longer read.
    max_linger_bytes, linger_s: discarded after a last answer, so that a reset does not overtake it.
    """

    max_head_bytes: int = 65536
    max_fields: int = 100
    max_line_bytes: int = 16384
    max_hello_bytes: int = 65536
    max_interim: int = 20
    max_connections: int = 10_000
    max_connections_per_client: int = 1024
    max_pool_idle: int = 512
    max_pool_idle_per_origin: int = 32
    max_sessions: int = 4096
    read_bytes: int = 114_688
    high_water_bytes: int = 262_144
    max_linger_bytes: int = 1_048_576
    head_s: float = 10.0
    hello_s: float = 5.0
    handshake_s: float = 10.0
    keepalive_s: float = 60.0
    connect_s: float = 5.0
    dial_s: float = 20.0
    response_s: float = 300.0
    body_idle_s: float = 60.0
    response_idle_s: float = 300.0
    tunnel_idle_s: float = 3600.0
    pool_idle_s: float = 30.0
    linger_s: float = 2.0
    rate_window_s: float = 20.0
    min_upload_bytes_s: int = 100
    sweep_s: float = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorSettings:
    """One inspector.

    connect_ports: what CONNECT may name.  origin_tls_port, origin_http_port: what transparent connections dial.
    http_ports: what a plain request through the explicit proxy may name; None: 80, 443 and those
        from 1024 on, so that no mail or login service can be talked to.
    allowed: networks of clients.  allow_destinations: opened up in the destination guard.
    own: addresses and ports that the service listens on; never dialled.  local: this machine's addresses, for which
        a wildcard among them stands.
    allow_no_http1, allow_non_tls: tunnel what cannot be opened although no rule bypasses it.
    allow_no_sni: open a CONNECT to a name without SNI under the name of the CONNECT.
    advertised: the name in Via, by which a request that comes round again is known; "": one made of this machine's
        name, so that one inspector behind another is no loop, and all workers of a machine are one.
    """

    connect_ports: frozenset[int] = frozenset({443})
    origin_tls_port: int = 443
    origin_http_port: int = 80
    allowed: tuple[Network, ...] = PRIVATE
    http_ports: frozenset[int] | None = None
    allow_destinations: tuple[Network, ...] = ()
    own: frozenset[tuple[str, int]] = frozenset()
    local: frozenset[str] = frozenset()
    allow_no_http1: bool = False
    allow_non_tls: bool = False
    allow_no_sni: bool = False
    advertised: str = ""
    limits: Limits = field(default_factory=Limits)
