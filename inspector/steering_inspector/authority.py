"""The certificate authority that signs leaves, and the one profile of certificate that every client takes.

Pure: keys and certificates are values, the instant is an argument.  The profile and the reason of each field:

validity   30 days, backdated 24 h: clocks of clients run behind, browsers refuse long ones, back-date included
key        EC P-256, the leaf's own: with the CA's, every handshake would use the CA's key
SAN        exactly the name asked for: no coalescing of HTTP/2 connections, nothing copied from the origin
subject    CN up to its 64 characters (RFC 5280 ub-common-name), else empty and then SAN critical (4.2.1.6)
AKI        the CA's SKI, copied: Python 3.13 refuses a leaf without one, and compares bytes
CRL DP     Windows' SChannel fails without somewhere to ask
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from steering.policy.hosts import Host

LEAF_LIFE = timedelta(days=30)
BACKDATED = timedelta(hours=24)
MAX_COMMON_NAME = 64


@dataclass(frozen=True, slots=True)
class Authority:
    """An issuing CA."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def id(self) -> str:
        """The SHA-256 fingerprint of the certificate: what leaf caches are keyed by."""
        return self.certificate.fingerprint(hashes.SHA256()).hex()


def _moment(now: float) -> datetime:
    return datetime.fromtimestamp(int(now), UTC)


def new_authority(now: float, *, name: str, years: int = 10) -> Authority:
    """A self-signed CA that may sign leaves and CRLs and no further CA."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Steering"), x509.NameAttribute(NameOID.COMMON_NAME, name[:64])]
    )
    begins = _moment(now)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - BACKDATED)
        .not_valid_after(begins + timedelta(days=365 * years))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(sign_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return Authority(builder.sign(key, hashes.SHA256()), key)


def mint(
    authority: Authority,
    host: Host,
    public_key: ec.EllipticCurvePublicKey,
    now: float,
    crl_url: str = "",
    *,
    also: Sequence[Host] = (),
) -> x509.Certificate:
    """A leaf for ``host`` (a name or an address literal).  also: what else a server of our own is reached by."""
    issuer = authority.certificate
    names = [x509.NameAttribute(NameOID.COMMON_NAME, host.text)] if len(host.text) <= MAX_COMMON_NAME else []
    alternatives = [x509.DNSName(h.text) if h.address is None else x509.IPAddress(h.address) for h in (host, *also)]
    ski = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    begins = _moment(now)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name(names))
        .issuer_name(issuer.subject)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begins - BACKDATED)
        .not_valid_after(min(begins - BACKDATED + LEAF_LIFE, issuer.not_valid_after_utc))
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=not names)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(sign_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski), critical=False)
    )
    if crl_url:
        point = x509.DistributionPoint([x509.UniformResourceIdentifier(crl_url)], None, None, None)
        builder = builder.add_extension(x509.CRLDistributionPoints([point]), critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def remint_at(leaf: x509.Certificate) -> float:
    """When a leaf is to be replaced: after two thirds of its life."""
    begins, ends = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    return begins + (ends - begins) * 2 / 3


def _key_usage(*, sign_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not sign_certificates,
        key_cert_sign=sign_certificates,
        crl_sign=sign_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
