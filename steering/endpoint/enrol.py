"""Enrolment and renewal: from a token to a credential on disk, and to the next certificate in time.

The token carries the hash of the device CA.  So the first connection, which cannot verify anything yet, is asked for
nothing but that CA; the secret is sent on a second one, when CA and name are proved.
"""

import asyncio
import platform
import shutil
import ssl
import time
from base64 import b64decode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from steering.endpoint import device
from steering.endpoint.bundle.client import FOLDER as BUNDLE_FOLDER
from steering.endpoint.bundle.client import ROOT
from steering.endpoint.device import Credential, trusting
from steering.endpoint.errors import EndpointError
from steering.endpoint.service_link import ServiceLink
from steering.formats.enrolment import EnrolmentToken, TokenError, parse_token
from steering.process.logs import logger

LOOK_S = 600.0
log = logger("enrol")

_PEM = serialization.Encoding.PEM


async def enrol(text: str, folder: Path, name: str = "", system: str = "") -> Credential:
    """Make this computer a device of the service that ``text`` (a token) names, with its state in ``folder``.

    name, system: what administrators see; by default as this computer calls itself.  Raises EndpointError.
    """
    try:
        token = parse_token(text)
    except TokenError as exc:
        raise EndpointError(str(exc)) from exc
    if time.time() >= token.expires_at:
        raise EndpointError("the enrolment token has expired (or this computer's clock is wrong): ask for a new one")
    authority = await _fetch_authority(token)
    key = ec.generate_private_key(ec.SECP256R1())
    link = ServiceLink(token.url, trusting(authority))
    try:
        answer = await link.post(
            "/enrol",
            {
                "token": token.secret,
                "csr": request_for(key),
                "name": name or platform.node(),
                "system": system or f"{platform.system()} {platform.release()}",
            },
        )
    finally:
        await link.close()
    try:
        credential = Credential(
            device_id=str(answer["device_id"]),
            group=str(answer.get("group", "")),
            key=key,
            certificate=_certificate(str(answer["certificate"]), key),
            authority_pem=authority.encode("ascii"),
            service_url=str(answer["url"] or token.url),
        )
        _save(folder, credential, b64decode(answer["tuf_root"], validate=True))
    except (KeyError, TypeError, ValueError, UnsupportedAlgorithm) as exc:
        raise EndpointError(f"{token.url} gives no answer of a Steering service: {exc!r}") from exc
    except OSError as exc:
        raise EndpointError(f"the credential cannot be kept in {folder}: {exc}") from exc
    return credential


async def renew(folder: Path, credential: Credential, link: ServiceLink) -> Credential:
    """A new certificate for the same device and key, on disk.  Raises EndpointError."""
    answer = await link.post("/renew", {"csr": request_for(credential.key)})
    try:
        certificate = _certificate(str(answer["certificate"]), credential.key)
        device.save_certificate(folder, certificate)
    except (KeyError, ValueError, UnsupportedAlgorithm) as exc:
        raise EndpointError(f"the service sent no certificate for this device: {exc!r}") from exc
    except OSError as exc:
        raise EndpointError(f"the renewed certificate cannot be kept in {folder}: {exc}") from exc
    return device.load(folder)


async def keep_renewed(
    folder: Path,
    credential: Credential,
    link: ServiceLink,
    on_renewed: Callable[[Credential], None],
    *,
    clock: Callable[[], float] = time.time,
    look_s: float = LOOK_S,
) -> None:
    """Renew in time, until cancelled.  on_renewed: is given the credential that is on disk from then on."""
    while True:
        if clock() >= credential.renew_at():
            try:
                credential = await renew(folder, credential, link)
            except EndpointError as exc:
                log.error("the device's certificate cannot be renewed", error=str(exc))
            else:
                log.info("the device's certificate is renewed")
                on_renewed(credential)
        await asyncio.sleep(look_s)


def request_for(key: ec.EllipticCurvePrivateKey) -> str:
    """A certificate signing request; what it says besides the key counts for nothing."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "steering endpoint")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(_PEM).decode("ascii")


async def _fetch_authority(token: EnrolmentToken) -> str:
    """The device CA (PEM) of the service.  Raises EndpointError where it is not the one that the token names."""
    unverified = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    unverified.minimum_version = ssl.TLSVersion.TLSv1_2
    unverified.check_hostname, unverified.verify_mode = False, ssl.CERT_NONE  # the hash proves it
    link = ServiceLink(token.url, unverified)
    try:
        authority = x509.load_pem_x509_certificate(await link.get("/authority"))
    except ValueError as exc:
        raise EndpointError(f"{token.url} is no Steering service, or something on the way answers for it") from exc
    finally:
        await link.close()
    if sha256(authority.public_bytes(serialization.Encoding.DER)).hexdigest() != token.authority_sha256:
        raise EndpointError(
            f"{token.url} is not the service that made this token, or something on the way answers for it: "
            "nothing was sent"
        )
    return authority.public_bytes(_PEM).decode("ascii")


def _certificate(pem: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    certificate = x509.load_pem_x509_certificate(pem.encode("ascii"))
    if certificate.public_key() != key.public_key():
        raise ValueError("the certificate is for another key")
    return certificate


def _save(folder: Path, credential: Credential, root: bytes) -> None:
    """The credential last: a folder is enrolled only when it is whole.  Nothing of a service before is kept."""
    device.forget(folder)
    bundle = folder / BUNDLE_FOLDER
    if bundle.exists():
        shutil.rmtree(bundle)
    bundle.mkdir(mode=0o700, parents=True)
    device.write_whole(bundle / ROOT, root)
    device.save(folder, credential)
