"""What files are made from: the addresses of a service, its CA, and what of it other machines cannot use."""

import json
import re
from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha1
from ipaddress import IPv4Address, IPv6Address, ip_address
from textwrap import wrap
from urllib.parse import quote, urlsplit, urlunsplit
from uuid import NAMESPACE_URL, uuid5

from steering.deploy.errors import DeployError
from steering.policy.errors import PolicyError
from steering.policy.hosts import normalise_name

Address = IPv4Address | IPv6Address
EXAMPLE_ZONE = "corp.example"
# RFC 3986's unreserved characters and the separators that a path and a host need: a quote, a blank, a backslash, a "$",
# a comma or a semicolon of a configured address goes into no file as itself.
_SAFE = "-._~:/[]@%"
# What ProtectHome= and PrivateTmp= take from a unit's sight.
HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # noqa: S108  # told to nobody as a place to write
_VAR_LIB = "/var/lib/"
_PROXY = re.compile(r"[A-Za-z0-9.\-_\[\]:]+:[0-9]{1,5}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ca:
    """pem: the certificate, without those before it.  der: the same."""

    pem: str
    der: bytes

    @classmethod
    def of(cls, der: bytes) -> "Ca":
        """As RFC 7468 writes it."""
        lines = wrap(b64encode(der).decode("ascii"), 64)
        return cls(pem="\n".join(("-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", "")), der=der)

    @property
    def thumbprint(self) -> str:
        """SHA-1 in capitals: how Windows names a certificate; nothing is proved by it."""
        return sha1(self.der, usedforsecurity=False).hexdigest().upper()

    @property
    def oma_uri(self) -> str:
        """Where Windows' management takes it (RootCATrustedCertificates CSP)."""
        return f"./Vendor/MSFT/RootCATrustedCertificates/Root/{self.thumbprint}/EncodedCertificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Listen:
    """An address that the service listens on.  datagram: UDP."""

    host: Address
    port: int
    datagram: bool = False

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if self.host.version == 6 else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Installed:
    """The service on its own machine, by absolute paths; config is "" where there is no file.

    writes: what it writes beside its state.
    """

    program: str
    config: str
    state: str
    writes: tuple[str, ...] = ()
    listens: tuple[Listen, ...] = ()

    @property
    def hidden(self) -> tuple[str, ...]:
        """Paths below folders that are emptied for a service that is closed in."""
        paths = (self.program, self.config, self.state, *self.writes)
        return tuple(path for path in paths if path.startswith(HIDDEN))

    @property
    def state_directory(self) -> str:
        """Its name below /var/lib, where systemd makes it; "" for a state elsewhere."""
        return self.state.removeprefix(_VAR_LIB) if self.state.startswith(_VAR_LIB) else ""

    @property
    def writable(self) -> tuple[str, ...]:
        return self.writes if self.state_directory else (self.state, *self.writes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a configuration and a command line say.

    base_url: of the control service.  control, dns: addresses that they listen on, None where it is every address.
    dns_port: 0 where there is no resolver.  addresses, resolvers, zone: given outright, in place of what is derived.
    ca_before: the one that a rotation takes the place of, while devices are to trust both.
    token: in the PAC's address; "" for everybody's PAC.
    """

    base_url: str
    control: Address | None
    dns: Address | None
    dns_port: int
    proxies: Sequence[str]
    internal_zones: Sequence[str] = ()
    ca: Ca | None = None
    ca_before: Ca | None = None
    token: str = ""
    zone: str = ""
    addresses: Sequence[str] = ()
    resolvers: Sequence[str] = ()
    organisation: str = "Steering"
    installed: Installed | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What templates read.

    addresses: of the control service, for ``wpad``.  resolvers: that clients can be handed out (port 53).
    notes: what stands in the way of other machines, a sentence each.
    """

    pac_url: str
    zone: str
    addresses: tuple[Address, ...]
    resolvers: tuple[Address, ...]
    proxy: str
    internal_zones: tuple[str, ...]
    ca: Ca | None
    ca_before: Ca | None
    organisation: str
    identifier: str
    notes: tuple[str, ...]
    installed: Installed | None = None

    @property
    def trusted(self) -> tuple[Ca, ...]:
        return tuple(ca for ca in (self.ca, self.ca_before) if ca is not None)

    @property
    def trusted_pem(self) -> str:
        return "".join(ca.pem for ca in self.trusted)

    @property
    def chromium_proxy(self) -> str:
        """Chrome's ProxySettings as Windows' registry has them: JSON in a string."""
        settings = {"ProxyMode": "pac_script", "ProxyPacMandatory": True, "ProxyPacUrl": self.pac_url}
        return json.dumps(settings, separators=(",", ":"))

    @property
    def proxy_url(self) -> str:
        return f"http://{self.proxy}"

    @property
    def no_proxy(self) -> str:
        """What the variable of that name says, for programs that are told of the proxy by the environment."""
        return ",".join(("localhost", "127.0.0.1", "::1", *(f".{zone}" for zone in self.internal_zones)))

    @property
    def v4(self) -> tuple[Address, ...]:
        return tuple(a for a in self.addresses if a.version == 4)

    @property
    def v6(self) -> tuple[Address, ...]:
        return tuple(a for a in self.addresses if a.version == 6)

    @property
    def resolvers4(self) -> tuple[Address, ...]:
        return tuple(a for a in self.resolvers if a.version == 4)

    @property
    def resolvers6(self) -> tuple[Address, ...]:
        return tuple(a for a in self.resolvers if a.version == 6)

    def uuid(self, what: str) -> str:
        """Always the same for one service, so that a profile that is installed again replaces the one before."""
        return str(uuid5(NAMESPACE_URL, f"{self.identifier}.{what}")).upper()


def facts_of(given: Given) -> Facts:
    """Raises DeployError for what no file could hold."""
    base = clean_url(given.base_url)
    path = f"/p/{quote(given.token, safe='-._~')}/proxy.pac" if given.token else "/proxy.pac"
    host = _literal(urlsplit(base).hostname or "")
    addresses = _addresses(given.addresses) or tuple(a for a in (host or given.control,) if a is not None)
    listening = () if given.dns is None or given.dns_port != 53 else (given.dns,)
    if any(character != " " and not character.isprintable() for character in given.organisation):
        raise DeployError(f"the organisation's name {given.organisation!r} holds what cannot be printed")
    return Facts(
        pac_url=base + path,
        zone=_zone(given),
        addresses=addresses,
        resolvers=_addresses(given.resolvers) or listening,
        proxy=_proxy(given.proxies),
        internal_zones=tuple(given.internal_zones),
        ca=given.ca,
        ca_before=given.ca_before,
        organisation=given.organisation,
        identifier=f"steering.{_zone(given)}",
        notes=tuple(_notes(given, addresses)),
        installed=given.installed,
    )


def clean_url(text: str) -> str:
    """The same address with every unsafe character percent-encoded.  Raises DeployError where that is no address."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise DeployError(f"{text!r} is no address of a service: {exc}") from exc
    if parts.scheme not in ("http", "https") or not host or parts.username is not None:
        raise DeployError(f"{text!r} is no address of a service")
    place = f"[{_literal(host)}]" if ":" in host and _literal(host) else _name(host)
    netloc = place if port is None else f"{place}:{port}"
    return urlunsplit((parts.scheme, netloc, quote(parts.path.rstrip("/"), safe=_SAFE), "", ""))


def _name(host: str) -> str:
    try:
        return normalise_name(host) if _literal(host) is None else host
    except PolicyError as exc:
        raise DeployError(f"{host!r} is no name of a host: {exc}") from exc


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _addresses(texts: Sequence[str]) -> tuple[Address, ...]:
    try:
        return tuple(map(ip_address, texts))
    except ValueError as exc:
        raise DeployError(f"{exc}: give an address") from exc


def _zone(given: Given) -> str:
    return _name(_known_zone(given) or EXAMPLE_ZONE)


def _known_zone(given: Given) -> str:
    """The zone of the clients: as given, else the first internal one, else what holds the service's own name."""
    host = urlsplit(given.base_url).hostname or ""
    above = host.partition(".")[2] if _literal(host) is None else ""
    return given.zone or next(iter(given.internal_zones), "") or above


def _proxy(proxies: Sequence[str]) -> str:
    first = next(iter(proxies), "")
    if first and not _PROXY.fullmatch(first):
        raise DeployError(f"{first!r} is no proxy: write HOST:PORT")
    return first


def _notes(given: Given, addresses: Sequence[Address]) -> list[str]:
    notes = []
    parts = urlsplit(given.base_url)
    if any(address.is_loopback for address in addresses) or parts.hostname == "localhost":
        notes.append("no other machine reaches a loopback address: set control.listen and control.public_url")
    if not _known_zone(given):
        notes.append(f"{EXAMPLE_ZONE} is a placeholder: say with --zone what the clients' search domain is")
    if (parts.port or {"http": 80, "https": 443}[parts.scheme]) != 80 or parts.scheme != "http":
        notes.append("the name wpad is asked for on port 80 alone: control.listen must be there for 'wpad-*'")
    if given.dns_port and given.dns_port != 53 and not given.resolvers:
        notes.append("a resolver can be handed out on port 53 alone: set dns.listen, or give --resolver")
    first = next(iter(given.proxies), "")
    literal = _literal(first.rpartition(":")[0].strip("[]"))
    if literal is not None and literal.is_loopback:
        notes.append("no other machine reaches an inspector on loopback: set inspector.listen and inspector.advertise")
    return notes
