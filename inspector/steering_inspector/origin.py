"""Whether an origin is who it says: the strict context, and a failure in words for a person."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from steering.policy.hosts import Address

# OpenSSL's X509_V_ERR_* (x509_vfy.h) -> the named reason and its words.
VERIFY_REASONS: dict[int, tuple[str, str]] = {
    9: ("origin-not-yet-valid", "its certificate is not valid yet"),
    10: ("origin-expired", "its certificate has expired"),
    18: ("origin-self-signed", "its certificate is signed by itself, by nobody else"),
    19: ("origin-unknown-issuer", "its certificate comes from an authority that is not trusted here"),
    20: (
        "origin-unknown-issuer",
        "no trusted authority is known for it, or it sends an incomplete chain",
    ),
    21: ("origin-unknown-issuer", "its certificate cannot be traced to a trusted authority"),
    23: ("origin-revoked", "its certificate has been revoked"),
    24: ("origin-unknown-issuer", "its certificate was signed by one that may not sign certificates"),
    26: ("origin-wrong-purpose", "its certificate is not meant for web sites"),
    62: ("origin-wrong-name", "its certificate is for other names"),
    64: ("origin-wrong-name", "its certificate is for other addresses"),
    66: ("origin-weak-key", "its certificate's key is too weak"),
    67: ("origin-weak-key", "its issuer's key is too weak"),
    68: ("origin-weak-key", "its certificate is signed with a broken hash"),
}
# Mnemonics of ssl.SSLError.reason for what the origin refused.
TLS_REASONS: dict[str, tuple[str, str]] = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": ("origin-client-certificate", "it asks for a client certificate"),
    "UNSUPPORTED_PROTOCOL": ("origin-old-tls", "it speaks only versions of TLS that are no longer safe"),
    "TLSV1_ALERT_PROTOCOL_VERSION": ("origin-old-tls", "it speaks only versions of TLS that are no longer safe"),
    "WRONG_VERSION_NUMBER": ("origin-not-tls", "it does not answer with TLS"),
    "DH_KEY_TOO_SMALL": ("origin-weak-key", "its key exchange is too weak"),
    "UNSAFE_LEGACY_RENEGOTIATION_DISABLED": ("origin-old-tls", "it lacks secure renegotiation (RFC 5746)"),
}


@dataclass(frozen=True, slots=True)
class OriginFault:
    """reason: a key of ``pages.REASONS``.  text: what is wrong with the origin, to follow its name."""

    reason: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateFacts:
    """What a certificate says of itself; text of the origin, to be escaped wherever it is shown."""

    subject: str
    names: tuple[str, ...]
    issuer: str
    not_before: str
    not_after: str
    sha256: str
    self_signed: bool

    def details(self) -> tuple[tuple[str, str], ...]:
        more = f" and {len(self.names) - 10} more" if len(self.names) > 10 else ""
        return (
            ("Names in the certificate", (", ".join(self.names[:10]) or "none") + more),
            ("Issued to", self.subject or "nobody in particular"),
            ("Issued by", self.issuer + (" (itself)" if self.self_signed else "")),
            ("Valid", f"{self.not_before} to {self.not_after}"),
            ("SHA-256", self.sha256),
        )


def origin_context(trust_files: Sequence[Path] = ()) -> ssl.SSLContext:
    """The context for every origin; made once, the system's store takes 20 ms to load.

    A certificate without SAN is refused (RFC 9525 6.3; Python falls back to CN otherwise).  PARTIAL_CHAIN as in
    Python 3.13's default, on all versions alike: a trusted intermediate suffices.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_TRUSTED_FIRST | ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.verify_flags &= ~getattr(ssl, "VERIFY_X509_STRICT", 0)  # refuses private CAs that browsers take
    context.set_alpn_protocols(["http/1.1"])
    for path in trust_files:
        context.load_verify_locations(cafile=path)
    return context


def fault_of(exc: Exception) -> OriginFault:
    """What ``exc``, raised while connecting to or verifying an origin, says of it."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        reason, text = VERIFY_REASONS.get(exc.verify_code, ("origin-untrusted", f"it failed: {exc.verify_message}"))
        return OriginFault(reason, text)
    if isinstance(exc, ssl.SSLError):
        if exc.reason in TLS_REASONS:
            return OriginFault(*TLS_REASONS[exc.reason])
        said = (exc.reason or "the connection was closed").lower().replace("_", " ")
        return OriginFault("origin-handshake", f"the TLS handshake failed: {said}")
    if isinstance(exc, TimeoutError):
        return OriginFault("origin-timeout", "it did not answer in time")
    if isinstance(exc, ConnectionRefusedError):
        return OriginFault("origin-unreachable", "it refuses connections")
    if isinstance(exc, OSError):
        return OriginFault("origin-unreachable", f"it cannot be reached: {exc.strerror or 'connection closed'}")
    return OriginFault("origin-handshake", "the TLS handshake failed")


async def fetch_certificate(address: Address, port: int, server_name: str, timeout_s: float) -> CertificateFacts | None:
    """The certificate that an origin shows, without believing it and without sending a request; None if none came."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(
                str(address), port, ssl=context, server_hostname=server_name, limit=4096
            )
    except (OSError, TimeoutError, ValueError):
        return None
    tls: ssl.SSLObject | None = writer.get_extra_info("ssl_object")
    der = tls.getpeercert(binary_form=True) if tls else None
    writer.transport.abort()
    return describe_certificate(der) if der else None


def describe_certificate(der: bytes) -> CertificateFacts | None:
    """The facts of a certificate, or None for one that cannot be read: the origin may send anything."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        return CertificateFacts(
            subject=_short(certificate.subject.rfc4514_string()),
            names=_names(certificate),
            issuer=_short(certificate.issuer.rfc4514_string()),
            not_before=f"{certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC",
            not_after=f"{certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC",
            sha256=certificate.fingerprint(hashes.SHA256()).hex(),
            self_signed=certificate.subject == certificate.issuer,
        )
    except Exception:  # cryptography has many exceptions for what is no certificate, without a common base
        return None


def _names(certificate: x509.Certificate) -> tuple[str, ...]:
    try:
        san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    dns = san.get_values_for_type(x509.DNSName)
    addresses = san.get_values_for_type(x509.IPAddress)
    return tuple(_short(str(name)) for name in (*dns, *addresses))


def _short(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 3] + "..."
