"""The split-horizon resolver: bypassed names get the real answer, everything else the inspector's address."""

from steering_dns.forwarder import Forwarder
from steering_dns.resolve import ResolveError, Resolver
from steering_dns.server import DnsServer
from steering_dns.settings import DnsSettings, Limits
from steering_dns.upstreams import Upstream, UpstreamError, load_system_upstreams, parse_upstream, refuse_ourselves

__all__ = [
    "DnsServer",
    "DnsSettings",
    "Forwarder",
    "Limits",
    "ResolveError",
    "Resolver",
    "Upstream",
    "UpstreamError",
    "load_system_upstreams",
    "parse_upstream",
    "refuse_ourselves",
]
