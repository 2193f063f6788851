"""Names and addresses that come before the rules, alike at every point.

RESERVED is the whole table: nothing else is exempt anywhere.  ``ReservedSettings`` adds what the
configuration names (internal zones and networks, the service's own names).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from steering.policy.hosts import Address, Host
from steering.policy.model import Action
from steering.policy.points import Effect, Point

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Reserved:
    """One entry of the table.

    names: each with its subdomains, or exactly it where it begins with '='.
    action: what the full decision says: a PAC answers DIRECT only where this is bypass.
    dns: the effect on address queries (A, AAAA, HTTPS, SVCB); other types are forwarded, but for nxdomain.
        None for entries of addresses alone.
    """

    key: str
    why: str
    action: Action
    pac: Effect
    dns: Effect | None
    inspector: Effect
    endpoint: Effect
    names: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()

    def effect(self, point: Point) -> Effect | None:
        return {
            Point.PAC: self.pac,
            Point.DNS: self.dns,
            Point.INSPECTOR: self.inspector,
            Point.ENDPOINT: self.endpoint,
        }[point]

    def __reduce__(self) -> tuple[Callable[[str], "Reserved"], tuple[str]]:
        """Entries are told apart by identity, also in a worker that was sent a policy."""
        return entry, (self.key,)


def _local(
    key: str, why: str, *, dns: Effect | None, names: tuple[str, ...] = (), networks: tuple[str, ...] = ()
) -> Reserved:
    """What no inspector on the internet side could reach: clients go there themselves."""
    return Reserved(
        key=key,
        why=why,
        action=Action.BYPASS,
        pac=Effect.PAC_DIRECT,
        dns=dns,
        inspector=Effect.REFUSE,
        endpoint=Effect.ENDPOINT_DIRECT,
        names=names,
        networks=tuple(map(ip_network, networks)),
    )


LOOPBACK = _local(
    "loopback",
    "this machine itself: browsers never send it to a proxy, whatever a PAC says",
    dns=Effect.DNS_REAL,  # RFC 6761 6.3: answered with the loopback addresses, never forwarded
    names=("localhost",),
    networks=("127.0.0.0/8", "::1/128"),
)
LINK_LOCAL = _local(
    "link-local", "link-local addresses do not leave the wire", dns=None, networks=("169.254.0.0/16", "fe80::/10")
)
SINGLE_LABEL = _local(
    "single-label", "a name without a dot is completed by the client's search list", dns=Effect.DNS_REAL
)
LOCAL_NAMES = _local(
    "local-names",
    "kept for local use (RFC 6762, 6761, 7686, 8375, ICANN .internal): nobody on the internet owns it",
    dns=Effect.DNS_NXDOMAIN,
    names=("local", "internal", "home.arpa", "onion", "invalid", "test"),
)
INTERNAL = _local("internal", "an internal zone or network of the configuration", dns=Effect.DNS_REAL)
OWN = _local("own-name", "one of this service's own names", dns=Effect.DNS_REAL)
REVERSE = Reserved(
    key="reverse",
    why="reverse look-ups are forwarded; no web site has a name there",
    action=Action.INSPECT,
    pac=Effect.PAC_PROXY,
    dns=Effect.DNS_NODATA,  # whoever is delegated a reverse zone could put an address there
    inspector=Effect.REFUSE,
    endpoint=Effect.ENDPOINT_PROXY,
    names=("in-addr.arpa", "ip6.arpa"),
)
RESOLVER = Reserved(
    key="resolver",
    why="discovery of designated resolvers (RFC 9462): forwarded, it would move clients past this resolver",
    action=Action.INSPECT,
    pac=Effect.PAC_PROXY,
    dns=Effect.DNS_NODATA,
    inspector=Effect.REFUSE,
    endpoint=Effect.ENDPOINT_PROXY,
    names=("resolver.arpa",),
)
CANARY = Reserved(
    key="canary",
    why="a negative answer tells browsers and Apple devices to keep using this network's resolver",
    action=Action.BLOCK,
    pac=Effect.PAC_PROXY,
    dns=Effect.DNS_NXDOMAIN,
    inspector=Effect.REFUSE,
    endpoint=Effect.ENDPOINT_PROXY,
    names=("use-application-dns.net", "mask.icloud.com", "mask-h2.icloud.com"),
)
PROBE = Reserved(
    key="probe",
    why="connectivity probes compare the real answer; steered, devices report 'no internet'",
    action=Action.INSPECT,
    pac=Effect.PAC_PROXY,
    dns=Effect.DNS_REAL,
    inspector=Effect.OPEN,
    endpoint=Effect.ENDPOINT_PROXY,
    names=(
        "=dns.msftncsi.com",
        "=www.msftconnecttest.com",
        "=ipv6.msftconnecttest.com",
        "=www.msftncsi.com",
        "=captive.apple.com",
        "=connectivitycheck.gstatic.com",
        "=connectivitycheck.android.com",
        "=detectportal.firefox.com",
        "=nmcheck.gnome.org",
        "=connectivity-check.ubuntu.com",
        "=network-test.debian.org",
    ),
)

RESERVED: tuple[Reserved, ...] = (
    LOOPBACK,
    LINK_LOCAL,
    SINGLE_LABEL,
    LOCAL_NAMES,
    INTERNAL,
    OWN,
    REVERSE,
    RESOLVER,
    CANARY,
    PROBE,
)


def entry(key: str) -> Reserved:
    """The entry of that key.  Raises KeyError."""
    return {reserved.key: reserved for reserved in RESERVED}[key]


DEFAULT_INTERNAL_NETWORKS: tuple[Network, ...] = tuple(
    map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"))
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReservedSettings:
    """What the configuration adds to the table.  Names are normalised."""

    internal_zones: tuple[str, ...] = ()
    internal_networks: tuple[Network, ...] = DEFAULT_INTERNAL_NETWORKS
    own_names: tuple[str, ...] = ()


# Entries that the inspector's configuration may open up, each within the networks that it names: the destination is
# judged after resolution.  The service's own names, reverse zones and canaries stay refused.
OPENABLE = frozenset(("loopback", "internal", "single-label", "local-names"))


def opened_up(reserved: Reserved | None, host: Host, networks: Sequence[Network]) -> bool:
    """Whether the inspector opens a reserved ``host`` because ``networks`` of destinations are opened up."""
    if reserved is None or reserved.key not in OPENABLE:
        return False
    if host.address is None:
        return bool(networks)
    bare = getattr(host.address, "ipv4_mapped", None) or host.address
    return any(bare in network for network in networks)


def reserved_names(settings: ReservedSettings) -> dict[str, tuple[Reserved, bool]]:
    """Name -> (entry, whether it stands for its subdomains too).  The service's own names win over the table."""
    table: dict[str, tuple[Reserved, bool]] = {}
    for reserved in RESERVED:
        for name in reserved.names:
            table[name.removeprefix("=")] = (reserved, not name.startswith("="))
    for zone in settings.internal_zones:
        table[zone] = (INTERNAL, True)
    for name in settings.own_names:
        # Its own name may be a zone's: the names below stay what they were, to which OWN does the same.
        table[name] = (OWN, table.get(name, (OWN, False))[1])
    return table


def reserved_address(address: Address, settings: ReservedSettings) -> Reserved | None:
    """The entry that holds an address literal.  An IPv4-mapped address is the IPv4 address it carries."""
    bare = getattr(address, "ipv4_mapped", None) or address
    for reserved in RESERVED:
        if any(bare in network for network in reserved.networks):
            return reserved
    if any(bare in network for network in settings.internal_networks):
        return INTERNAL
    return None
