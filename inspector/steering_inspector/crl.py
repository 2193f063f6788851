"""The revocation list of our authority: empty, since leaves live for days, but SChannel insists on one."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from steering_inspector.authority import Authority

LIFE = timedelta(days=7)


def empty_crl(authority: Authority, now: float) -> bytes:
    """A list that revokes nothing, DER, valid for seven days."""
    begins = datetime.fromtimestamp(int(now), UTC)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(authority.certificate.subject)
        .last_update(begins - timedelta(hours=1))
        .next_update(begins + LIFE)
        .add_extension(x509.CRLNumber(int(now)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                authority.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            ),
            critical=False,
        )
    )
    return builder.sign(authority.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
