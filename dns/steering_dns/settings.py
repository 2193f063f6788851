"""What the resolver is told by the configuration: plain values, checked by whoever read them."""

import secrets
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from steering_dns.upstreams import Upstream

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

EVERYBODY: tuple[Network, ...] = (ip_network("0.0.0.0/0"), ip_network("::/0"))
OWN_NETWORKS: tuple[Network, ...] = tuple(
    map(ip_network, ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer can make grow, and how far."""

    steered_ttl_s: int = 30
    max_ttl_s: int = 300  # of bypassed answers: a rule change reaches everyone within it
    cache_entries: int = 100_000
    cache_bytes: int = 64 << 20
    stale_s: float = 3600
    memo_entries: int = 16_384  # decisions remembered per view
    replies: int = 8192  # whole packets remembered with their answers, over all views
    views: int = 64
    clients: int = 16_384  # client addresses whose view is remembered
    questions: int = 4096  # asked of upstreams at one time
    questions_per_client: int = 512
    answer_within_s: float = 5.0
    tcp_connections: int = 1024
    tcp_connections_per_client: int = 32
    tcp_strangers: int = 16  # connections of clients that only get REFUSED, all together
    refusals_per_s: float = 5.0  # by UDP, to each /24 and /56 outside ``allowed``
    refusals_burst: int = 20
    refused_prefixes: int = 16_384
    tcp_questions: int = 64  # unanswered, on one connection
    tcp_idle_s: float = 10.0
    secure_idle_s: float = 30.0  # over TLS, where a new connection costs a handshake
    probe_again_s: float = 10.0  # after an upstream did not answer whether it asks us in its turn; then ever longer


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """What ``_dns.resolver.arpa`` tells (RFC 9462): the resolver's name, its addresses, and ports, 0 for not served."""

    name: str
    addresses: tuple[Address, ...]
    tls_port: int
    https_port: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DnsSettings:
    """inspector_addresses: what steered names resolve to.  upstreams: asked in this order, the well ones first.

    zones: normalised name -> its own upstreams; never steered.  steered, allowed: client networks.
    own_names: normalised names of the service itself -> the addresses to answer; a name without any is forwarded.
    allowed_private: networks that a public name may resolve to although they are private.
    discovery: None where clients are told of no encrypted way to ask.
    query_log: report every query to the sink.  loop_token: the same in all workers of one service.
    """

    inspector_addresses: tuple[Address, ...]
    upstreams: tuple[Upstream, ...]
    zones: dict[str, tuple[Upstream, ...]] = field(default_factory=dict)
    follow_cname: bool = False
    steered: tuple[Network, ...] = EVERYBODY
    allowed: tuple[Network, ...] = OWN_NETWORKS
    own_names: dict[str, tuple[Address, ...]] = field(default_factory=dict)
    allowed_private: tuple[Network, ...] = ()
    discovery: Discovery | None = None
    query_log: bool = False
    limits: Limits = Limits()
    loop_token: str = field(default_factory=lambda: secrets.token_hex(8))
