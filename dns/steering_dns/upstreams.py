"""Which resolvers are asked, as written in the configuration, and that none of them is this very service.

``udp://ADDR:PORT`` (falls back to TCP), ``tcp://ADDR:PORT``, ``tls://ADDR:PORT#NAME`` (DNS over TLS, the
certificate must be for NAME), ``https://ADDR:PORT/PATH#NAME`` (DNS over HTTPS).  Always addresses: a name of the
resolver would have to be resolved first, by whom?
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address


class UpstreamError(ValueError):
    """Not an upstream that can be used; the text is fit to be shown to people."""


class Transport(Enum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    HTTPS = "https"


DEFAULT_PORT = {Transport.UDP: 53, Transport.TCP: 53, Transport.TLS: 853, Transport.HTTPS: 443}


@dataclass(frozen=True, slots=True)
class Upstream:
    """server_name: what the certificate must be for ("" without TLS).  path: of DNS over HTTPS."""

    transport: Transport
    address: Address
    port: int
    server_name: str = ""
    path: str = ""

    def __str__(self) -> str:
        host = f"[{self.address}]" if self.address.version == 6 else str(self.address)
        name = f"#{self.server_name}" if self.server_name else ""
        return f"{self.transport.value}://{host}:{self.port}{self.path}{name}"


def parse_upstream(text: str) -> Upstream:
    """Read one upstream.  A bare address means UDP on port 53.  Raises UpstreamError."""
    if "://" not in text:
        return Upstream(Transport.UDP, _address(text.strip(), text), 53)
    try:
        parts = urlsplit(text.strip())
        transport = Transport(parts.scheme)
        port = parts.port or DEFAULT_PORT[transport]
    except ValueError as exc:
        raise UpstreamError(
            f"{text!r}: write udp://ADDR:PORT, tcp://ADDR:PORT, tls://ADDR:PORT#NAME or https://ADDR/PATH#NAME"
        ) from exc
    if parts.username is not None or parts.query:
        raise UpstreamError(f"{text!r}: an upstream has no user and no query")
    address = _address(parts.hostname or "", text)
    secure = transport in (Transport.TLS, Transport.HTTPS)
    if parts.fragment and not secure:
        raise UpstreamError(f"{text!r}: #NAME belongs to tls:// and https://")
    path = parts.path if transport is Transport.HTTPS else ""
    if transport is not Transport.HTTPS and parts.path not in ("", "/"):
        raise UpstreamError(f"{text!r}: only https:// has a path")
    name = (parts.fragment or str(address)) if secure else ""
    return Upstream(transport, address, port, name, path or ("/dns-query" if transport is Transport.HTTPS else ""))


def _address(host: str, text: str) -> Address:
    try:
        return _unmapped(ip_address(host.strip("[]")))
    except ValueError as exc:
        raise UpstreamError(
            f"{text!r}: {host!r} is no address; an upstream is written by address, its name after '#' (tls, https)"
        ) from exc


def _unmapped(address: Address) -> Address:
    """``::ffff:127.0.0.1`` is 127.0.0.1: written so, it would not be known as one of our own."""
    return getattr(address, "ipv4_mapped", None) or address


def parse_resolv_conf(content: str) -> tuple[Upstream, ...]:
    """The name servers of a ``resolv.conf``; lines that cannot be read are passed over, as every resolver does."""
    found: list[Upstream] = []
    for line in content.splitlines():
        words = line.split()
        if len(words) >= 2 and words[0] == "nameserver":
            try:
                upstream = Upstream(Transport.UDP, _unmapped(ip_address(words[1])), 53)
            except ValueError:
                continue
            if upstream not in found:
                found.append(upstream)
    return tuple(found)


def load_system_upstreams(path: Path = Path("/etc/resolv.conf")) -> tuple[Upstream, ...]:
    """The system's own resolvers.  Raises UpstreamError when there are none."""
    try:
        found = parse_resolv_conf(path.read_text("utf-8", "replace"))
    except OSError as exc:
        raise UpstreamError(f"the system's resolvers cannot be read ({exc}); set upstreams in [dns]") from exc
    if not found:
        raise UpstreamError(f"{path} names no resolver; set upstreams in [dns]")
    return found


def refuse_ourselves(
    upstreams: Iterable[Upstream], listeners: Iterable[tuple[Address, int]], own_addresses: Iterable[Address] = ()
) -> None:
    """Raise UpstreamError if an upstream is one of our own listeners: every question would go round in circles.

    own_addresses: addresses of this machine, for listeners on a wildcard address; loopback is always one.
    """
    listening = list(listeners)
    own = set(own_addresses)
    for upstream in upstreams:
        for address, port in listening:
            here = upstream.address == address or (
                address.is_unspecified
                and (upstream.address in own or upstream.address.is_loopback or upstream.address.is_unspecified)
            )
            if here and upstream.port == port:
                raise UpstreamError(f"upstream {upstream} is this resolver itself; set upstreams in [dns] to another")
