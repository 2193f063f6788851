"""The certificate of DNS over TLS and over HTTPS: a given one, or one of our CA for where the resolver is reached.

It is renewed while the service runs: a leaf of ours after two thirds of its life and with a new CA, given files when
they have changed.  What cannot be used leaves the one before in force, loudly.
"""

from collections.abc import Callable, Mapping, Sequence
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from steering.control.config import Loaded
from steering.control.device_authority import ServerIdentity
from steering.control.endpoint_tls import show
from steering.control.errors import ConfigError
from steering.control.listening import Listener, Role
from steering.control.machine import own_addresses
from steering.policy.hosts import Address, Host, parse_host
from steering.process.logs import logger
from steering_dns.secured import server_context
from steering_dns.settings import Discovery
from steering_inspector.authority import Authority, mint, remint_at

SECURE = (Role.DNS_TLS, Role.DNS_HTTPS)


class DnsCertificate:
    """authority: the CA as it is now, None where it cannot be used.  hosts: what a leaf of ours is for."""

    def __init__(
        self, loaded: Loaded, hosts: Sequence[Host], authority: Callable[[], Authority | None], crl_url: str
    ) -> None:
        section = loaded.config.dns
        self._files = tuple(map(loaded.path, filter(None, (section.certificate, section.key))))
        self._hosts = hosts
        self._authority = authority
        self._crl_url = crl_url
        self._minted_by = ""
        self.identity: ServerIdentity | None = None

    def renew(self, now: float) -> ServerIdentity | None:
        """What is to be shown from now on; None: no change.  Raises ConfigError where there is nothing to show."""
        try:
            found = self._given() if self._files else self._minted(now)
        except ConfigError as exc:
            if self.identity is None:
                raise
            logger("dns").error("the certificate cannot be renewed, the old one is still shown", error=str(exc))
            return None
        if found == self.identity:
            return None
        self.identity = found
        return found

    @property
    def certificate(self) -> x509.Certificate:
        assert self.identity is not None
        return x509.load_pem_x509_certificate(self.identity.chain_pem)

    def _given(self) -> ServerIdentity:
        if len(self._files) != 2:
            raise ConfigError("dns.certificate and dns.key belong together: set both, or neither for one of our CA")
        certificate, key = self._files
        try:
            identity = ServerIdentity(
                chain_pem=certificate.read_bytes(), key_pem=key.read_bytes().strip() + b"\n", renew_at=0.0
            )
            show(server_context("dot"), identity)
        except (OSError, ValueError) as exc:
            raise ConfigError(f"dns.certificate, dns.key: {certificate} and {key} cannot be used: {exc}") from exc
        return identity

    def _minted(self, now: float) -> ServerIdentity:
        authority = self._authority()
        if authority is None:
            raise ConfigError(
                "dns.tls_listen and dns.https_listen need the CA, which cannot be used, or a certificate and key of "
                "their own: set dns.certificate and dns.key"
            )
        if self.identity is not None and authority.id == self._minted_by and now < self.identity.renew_at:
            return self.identity
        key = ec.generate_private_key(ec.SECP256R1())
        first, *others = self._hosts
        leaf = mint(authority, first, key.public_key(), now, self._crl_url, also=others)
        self._minted_by = authority.id
        return ServerIdentity(
            chain_pem=leaf.public_bytes(serialization.Encoding.PEM),
            key_pem=key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
            renew_at=remint_at(leaf),
        )


def hosts_of(names: Sequence[str], listeners: Mapping[Role, Listener]) -> tuple[Host, ...]:
    """What clients may call the resolver: the names of the configuration, and the addresses that it is reached at."""
    return (*map(parse_host, names), *(parse_host(str(address)) for address in reached_at(listeners)))


def reached_at(listeners: Mapping[Role, Listener]) -> tuple[Address, ...]:
    """Where the resolver listens; on a wildcard address, at every address of this machine."""
    found: dict[Address, None] = {}
    for role in (*SECURE, Role.DNS_UDP):
        if role in listeners:
            address = ip_address(listeners[role].host)
            every = sorted(own_addresses(), key=lambda a: (a.is_loopback, a.version, int(a)))
            same = [a for a in every if a.version == address.version and not a.is_link_local]
            found.update(dict.fromkeys(same if address.is_unspecified else [address]))
    return tuple(found)


def discovery_of(certificate: x509.Certificate, listeners: Mapping[Role, Listener]) -> Discovery | None:
    """What ``_dns.resolver.arpa`` may say: only what clients will find true, so that the certificate has to be for the
    address at which they know the resolver, and to have a name (RFC 9462 4.2).
    """
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return None
    names = [name for name in alternative.get_values_for_type(x509.DNSName) if not name.startswith("*")]
    proved = set(alternative.get_values_for_type(x509.IPAddress))
    addresses = tuple(address for address in reached_at(listeners) if address in proved)
    if not names or not addresses:
        return None
    tls, https = (listeners[role].port if role in listeners else 0 for role in SECURE)
    return Discovery(name=names[0].lower(), addresses=addresses, tls_port=tls, https_port=https)
