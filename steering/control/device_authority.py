"""The device CA: what helpers prove themselves with, and what the listeners for helpers are known by.

A CA of its own, in ``device-ca`` of the state folder.  The inspection CA is trusted by browsers for every site, this
one by helpers and by their listeners alone: neither key is worth anything in the other's place.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from steering.control.errors import StateError
from steering.policy import parse_host
from steering_inspector.authority import Authority
from steering_inspector.keystore import KeystoreError, load_or_create

FOLDER, NAME = "device-ca", "Steering device CA"
LIFE = timedelta(days=90)
BACKDATED = timedelta(hours=24)  # clocks of laptops run behind
MAX_CSR_BYTES = 8192
_PEM = serialization.Encoding.PEM


class CsrRefused(ValueError):
    """A certificate signing request that no certificate is issued for; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerIdentity:
    """What a listener for helpers shows: its certificate followed by the CA's, and the key, both PEM."""

    chain_pem: bytes
    key_pem: bytes
    renew_at: float


@dataclass(frozen=True, slots=True)
class DeviceAuthority:
    """An issuing CA for devices and their listeners."""

    issuer: Authority

    @property
    def pem(self) -> bytes:
        return self.issuer.certificate.public_bytes(_PEM)

    @property
    def sha256(self) -> str:
        """Of the certificate's DER, as an enrolment token carries it."""
        return sha256(self.issuer.certificate.public_bytes(serialization.Encoding.DER)).hexdigest()

    def issue_device(self, key: ec.EllipticCurvePublicKey, device_id: str, group: str, now: float) -> x509.Certificate:
        """For one device: its id as CN, its group, if any, as OU.  Nothing of what it asked for but the key."""
        names = [x509.NameAttribute(NameOID.COMMON_NAME, device_id)]
        if group:
            names.append(x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, group))
        builder = self._builder(x509.Name(names), key, ExtendedKeyUsageOID.CLIENT_AUTH, now)
        return builder.sign(self.issuer.key, hashes.SHA256())

    def issue_server(self, hosts: Sequence[str], now: float) -> ServerIdentity:
        """For a listener that helpers call by ``hosts`` (names and addresses), with a key of its own."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Steering for helpers")])
        alternative = x509.SubjectAlternativeName([_general_name(host) for host in dict.fromkeys(hosts)])
        builder = self._builder(subject, key.public_key(), ExtendedKeyUsageOID.SERVER_AUTH, now)
        leaf = builder.add_extension(alternative, critical=False).sign(self.issuer.key, hashes.SHA256())
        return ServerIdentity(
            chain_pem=leaf.public_bytes(_PEM) + self.pem,
            key_pem=key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
            renew_at=now + (leaf.not_valid_after_utc.timestamp() - now) * 2 / 3,
        )

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, use: ObjectIdentifier, now: float
    ) -> x509.CertificateBuilder:
        issuer = self.issuer.certificate
        begins = datetime.fromtimestamp(int(now), UTC)
        ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begins - BACKDATED)
            .not_valid_after(min(begins + LIFE, issuer.not_valid_after_utc))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_KEY_USAGE, critical=True)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)
        )


_KEY_USAGE = x509.KeyUsage(
    digital_signature=True,
    key_cert_sign=False,
    crl_sign=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    encipher_only=False,
    decipher_only=False,
)


def load_device_authority(state: Path, now: float, passphrase: bytes | None = None) -> DeviceAuthority:
    """The CA in ``device-ca``, made where there is none.  Raises StateError with what to do."""
    try:
        (state / FOLDER).mkdir(mode=0o700, exist_ok=True)
        return DeviceAuthority(load_or_create(state / FOLDER, now, name=NAME, passphrase=passphrase).authority)
    except (KeystoreError, OSError) as exc:
        raise StateError(f"the CA of devices cannot be used: {exc}") from exc


def key_of_csr(pem: object) -> ec.EllipticCurvePublicKey:
    """The key that a request asks a certificate for.  Raises CsrRefused.

    The signature shows that who asks has the key; subject and extensions are not looked at.
    """
    if not isinstance(pem, str) or len(pem) > MAX_CSR_BYTES:
        raise CsrRefused(f"a certificate signing request is PEM of at most {MAX_CSR_BYTES} bytes")
    try:
        csr = x509.load_pem_x509_csr(pem.encode())
        key = csr.public_key()
        if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
            raise CsrRefused("the key of a device is an EC key on P-256")
        if not csr.is_signature_valid:
            raise CsrRefused("the certificate signing request is not signed by its own key")
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise exc if isinstance(exc, CsrRefused) else CsrRefused("that is no certificate signing request") from exc
    return key


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(parse_host(host).text)
