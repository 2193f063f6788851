"""The device's credential on disk: its key, its certificate, whom it trusts, and the service it belongs to.

Files in the helper's state folder (0700), each replaced whole: ``device.key`` (0600), ``device.pem``,
``authority.pem`` and, written last so that a half-enrolled folder is none, ``service.json``.
"""

import json
import os
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from steering.endpoint.errors import EndpointError

KEY, CERTIFICATE, AUTHORITY, SERVICE = "device.key", "device.pem", "authority.pem", "service.json"
RENEW_AFTER = 2 / 3  # of a certificate's life


@dataclass(frozen=True, slots=True, kw_only=True)
class Credential:
    """device_id: 32 hexadecimal digits.  group: "" for none.  authority_pem: of the device CA.

    service_url: "https://HOST:PORT" of the control service's listener for helpers.
    """

    device_id: str
    group: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    authority_pem: bytes
    service_url: str

    def renew_at(self) -> float:
        """When the certificate is to be renewed, in epoch seconds."""
        begins, ends = self.certificate.not_valid_before_utc, self.certificate.not_valid_after_utc
        return begins.timestamp() + (ends - begins).total_seconds() * RENEW_AFTER


def is_enrolled(folder: Path) -> bool:
    return (folder / SERVICE).is_file()


def load(folder: Path) -> Credential:
    """Raises EndpointError where the folder holds no usable credential."""
    if not is_enrolled(folder):
        raise EndpointError(f"{folder} is not enrolled: run 'steering endpoint enrol TOKEN' first")
    try:
        mode = (folder / KEY).stat().st_mode
        if os.name == "posix" and mode & 0o077:
            raise EndpointError(
                f"{folder / KEY} can be read by others (mode {mode & 0o777:03o}): chmod 600, or enrol anew"
            )
        key = serialization.load_pem_private_key((folder / KEY).read_bytes(), None)
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise EndpointError(f"{folder / KEY} holds no EC key: enrol anew")
        certificate = x509.load_pem_x509_certificate((folder / CERTIFICATE).read_bytes())
        service = json.loads((folder / SERVICE).read_text("utf-8"))
        if certificate.public_key() != key.public_key():
            raise EndpointError(f"{folder / CERTIFICATE} is not for {KEY}: enrol anew")
        return Credential(
            device_id=str(service["device_id"]),
            group=str(service["group"]),
            key=key,
            certificate=certificate,
            authority_pem=(folder / AUTHORITY).read_bytes(),
            service_url=str(service["url"]),
        )
    except (OSError, ValueError, KeyError, TypeError, UnsupportedAlgorithm) as exc:
        raise EndpointError(f"the credential in {folder} cannot be read: {exc}; enrol anew") from exc


def save(folder: Path, credential: Credential) -> None:
    """Raises OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / SERVICE).unlink(missing_ok=True)  # of a credential before: two must not mix
    key = credential.key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    write_whole(folder / KEY, key)
    save_certificate(folder, credential.certificate)
    write_whole(folder / AUTHORITY, credential.authority_pem)
    service = {"url": credential.service_url, "device_id": credential.device_id, "group": credential.group}
    write_whole(folder / SERVICE, json.dumps(service, indent=1).encode())


def save_certificate(folder: Path, certificate: x509.Certificate) -> None:
    """A renewed certificate for the same key.  Raises OSError."""
    write_whole(folder / CERTIFICATE, certificate.public_bytes(serialization.Encoding.PEM))


def client_context(folder: Path, credential: Credential) -> ssl.SSLContext:
    """To call listeners of this service with: trusts the device CA alone, shows the device's certificate.

    Raises EndpointError.
    """
    try:
        context = trusting(credential.authority_pem.decode("ascii"))
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
    except (OSError, ValueError) as exc:
        raise EndpointError(f"the credential in {folder} cannot be used: {exc}; enrol anew") from exc
    return context


def trusting(authority_pem: str) -> ssl.SSLContext:
    """A context that verifies chain and name by one CA alone.  Raises OSError, ValueError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_verify_locations(cadata=authority_pem)
    return context


def forget(folder: Path) -> None:
    """Remove the credential, ``service.json`` first."""
    for name in (SERVICE, KEY, CERTIFICATE, AUTHORITY):
        (folder / name).unlink(missing_ok=True)


def write_whole(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file so that a reader, also after a power cut, sees the old one or the new one.  Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.writing")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0), mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
