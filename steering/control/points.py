"""The enforcement points of one worker, built from the configuration and handed policy, sockets and sink."""

import asyncio
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from steering.control.config import Config
from steering.control.device_authority import ServerIdentity
from steering.control.endpoint_tls import EndpointTls, context_of, show
from steering.control.errors import ConfigError
from steering.control.listening import Role
from steering.policy.access import Sink
from steering.policy.hosts import Address
from steering.policy.live import Live
from steering_dns.forwarder import Forwarder
from steering_dns.secured import Contexts
from steering_dns.server import DnsServer
from steering_dns.settings import Discovery, DnsSettings
from steering_dns.upstreams import Upstream, UpstreamError, load_system_upstreams, parse_upstream
from steering_inspector.authority import Authority
from steering_inspector.leaves import LeafContexts
from steering_inspector.origin import origin_context
from steering_inspector.server import Inspector
from steering_inspector.settings import InspectorSettings

# What the points count falls into two kinds: these are what is there now, everything else only grows.
GAUGES = frozenset(
    (
        "connections",
        "clients",
        "devices",
        "origin_connections",
        "origin_idle",
        "cache:entries",
        "cache:bytes",
        "tcp:connections",
        "upstream:looped",
    )
)


def dns_settings(
    config: Config,
    own_names: Mapping[str, tuple[Address, ...]],
    loop_token: str,
    discovery: Discovery | None = None,
) -> DnsSettings:
    """Raises ConfigError for upstreams that are none, or where none is known."""
    section = config.dns
    return DnsSettings(
        inspector_addresses=tuple(map(ip_address, section.inspector_addresses)),
        upstreams=upstreams_of(config),
        zones={zone: tuple(map(_upstream, texts)) for zone, texts in section.zones.items()},
        follow_cname=section.follow_cname,
        steered=tuple(map(ip_network, section.steered)),
        allowed=tuple(map(ip_network, section.allowed)),
        own_names=dict(own_names),
        allowed_private=tuple(map(ip_network, config.inspector.allow_destinations)),
        discovery=discovery,
        query_log=section.query_log,
        loop_token=loop_token,
    )


def upstreams_of(config: Config) -> tuple[Upstream, ...]:
    """The configured upstreams, or the system's.  Raises ConfigError."""
    if config.dns.upstreams:
        return tuple(map(_upstream, config.dns.upstreams))
    try:
        return load_system_upstreams()
    except UpstreamError as exc:
        raise ConfigError(f"dns.upstreams: {exc}") from exc


def _upstream(text: str) -> Upstream:
    try:
        return parse_upstream(text)
    except UpstreamError as exc:
        raise ConfigError(f"dns: {exc}") from exc


def inspector_settings(
    config: Config, own: frozenset[tuple[str, int]], local: frozenset[str], service: str
) -> InspectorSettings:
    """own: our listeners.  local: this machine's addresses.  service: a word that no other service goes by."""
    section = config.inspector
    return InspectorSettings(
        connect_ports=frozenset(section.connect_ports),
        origin_tls_port=section.origin_tls_port,
        origin_http_port=section.origin_http_port,
        allowed=tuple(map(ip_network, section.allowed)),
        allow_destinations=tuple(map(ip_network, section.allow_destinations)),
        own=own,
        local=local,
        advertised=f"steering-{service}",
        allow_no_http1=section.allow_no_http1,
        allow_non_tls=section.allow_non_tls,
        allow_no_sni=section.allow_no_sni,
    )


@dataclass(slots=True)
class Points:
    """The points of one worker, running."""

    dns: DnsServer
    inspector: Inspector
    endpoint_context: ssl.SSLContext | None = None
    dns_contexts: Contexts | None = None

    def show_helpers(self, tls: EndpointTls) -> None:
        """Show helpers a renewed certificate."""
        if self.endpoint_context is not None:
            show(self.endpoint_context, tls.identity)

    def show_resolver(self, identity: ServerIdentity) -> None:
        """Show clients of DNS over TLS and HTTPS a renewed certificate."""
        if self.dns_contexts is not None:
            show(self.dns_contexts.tls, identity)
            show(self.dns_contexts.https, identity)

    def replace_revoked(self, device_ids: frozenset[str]) -> None:
        """Refuse these devices from now on, and end what they have open."""
        self.inspector.replace_revoked(device_ids)

    def counters(self) -> dict[str, dict[str, int]]:
        return {"dns": self.dns.counters(), "inspector": self.inspector.counters()}

    async def drain(self, timeout_s: float) -> None:
        # The inspector resolves through the resolver, so that one goes last.
        await self.inspector.drain(timeout_s)
        await self.dns.drain(min(timeout_s, 2.0))


def check_trust(files: Sequence[Path]) -> None:
    """Raises ConfigError for CA files that cannot be loaded: found here, not by every worker at its start."""
    for file in files:
        try:
            origin_context((file,))
        except (OSError, ValueError) as exc:
            raise ConfigError(f"inspector.trust: {file} cannot be loaded: {exc}") from exc


async def start_points(
    *,
    dns: DnsSettings,
    inspector: InspectorSettings,
    trust: Sequence[Path],
    sockets: Mapping[Role, Sequence[socket.socket]],
    live: Live,
    authority: Authority | None,
    crl_url: str,
    sink: Sink,
    endpoint_tls: EndpointTls | None = None,
    revoked: frozenset[str] = frozenset(),
    dns_identity: ServerIdentity | None = None,
) -> Points:
    """Start both points of a worker on its sockets.

    endpoint_tls: what the inspector's listener for helpers shows.  revoked: devices that it does not listen to.
    dns_identity: what the resolver shows over TLS and HTTPS.
    """
    server = DnsServer(dns, live, sink, Forwarder(await asyncio.to_thread(upstream_context, tuple(trust))))
    contexts = None if dns_identity is None else Contexts()
    if contexts is not None and dns_identity is not None:
        show(contexts.tls, dns_identity)
        show(contexts.https, dns_identity)
    roles = (Role.DNS_UDP, Role.DNS_TCP, Role.DNS_TLS, Role.DNS_HTTPS)
    await server.start(*(sockets.get(role, ()) for role in roles), contexts=contexts)
    context = await asyncio.to_thread(origin_context, tuple(trust))
    helpers = context_of(endpoint_tls, required=True) if endpoint_tls else None
    running = Inspector(
        inspector,
        live,
        leaves_of(authority, crl_url),
        context,
        server.resolver().addresses,
        sink,
        time.time,
        endpoint_tls=helpers,
        revoked=revoked,
    )
    running.start(
        sockets.get(Role.EXPLICIT, ()),
        sockets.get(Role.TLS, ()),
        sockets.get(Role.HTTP, ()),
        sockets.get(Role.ENDPOINT, ()),
    )
    return Points(server, running, helpers, contexts)


def upstream_context(trust: Sequence[Path]) -> ssl.SSLContext:
    """By what DoT and DoH upstreams are verified: what the system trusts, and the files of ``inspector.trust``."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for file in trust:
        context.load_verify_locations(cafile=file)
    return context


def leaves_of(authority: Authority | None, crl_url: str) -> LeafContexts | None:
    return None if authority is None else LeafContexts(authority, crl_url=crl_url)
