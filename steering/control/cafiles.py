"""The CA as the service uses it: loaded or missed at the start, offered to clients, watched for its end."""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from steering.deploy.facts import Ca
from steering.deploy.render import ca_profile
from steering.process.logs import logger
from steering_inspector.crl import empty_crl
from steering_inspector.keystore import Keystore, KeystoreError, load_mounted, load_or_create

NAME = "Steering inspection CA"
CA_PEM = "/ca.pem"

# Path -> body, content type, file name.
Files = Mapping[str, tuple[bytes, str, str]]


def passphrase() -> bytes | None:
    """From the environment alone: a file beside the key would protect nothing."""
    text = os.environ.get("STEERING_CA_PASSPHRASE", "")
    return text.encode() if text else None


def load_ca(state: Path) -> tuple[Keystore | None, str]:
    """The CA in the state folder, made where there is none; None and the reason where it cannot be used."""
    try:
        return load_or_create(state, time.time(), name=NAME, passphrase=passphrase()), ""
    except (KeystoreError, OSError) as exc:
        logger("ca").error("the certificate authority cannot be used: only bypasses are passed", error=str(exc))
        return None, str(exc)


def load_shared_ca(folder: Path) -> tuple[Keystore | None, str]:
    """The CA of the service that is followed, if it is mounted here; never one of our own, which nobody would trust."""
    try:
        return load_mounted(folder, time.time(), passphrase=passphrase()), ""
    except KeystoreError as exc:
        return None, str(exc)


def files_of(store: Keystore | None, now: float) -> Files:
    """What is served of it, with a revocation list as of ``now``.

    During a rotation PEM and profile hold both certificates; DER has room for the one in use.
    """
    if store is None:
        return {}
    trusted = [Ca.of(certificate.public_bytes(Encoding.DER)) for certificate in store.trusted(now)]
    profile = ca_profile(trusted, organisation="Steering", identifier="steering").encode()
    return {
        CA_PEM: (store.bundle(now), "application/x-pem-file", "steering-ca.pem"),
        "/ca.crt": (store.der, "application/x-x509-ca-cert", "steering-ca.crt"),
        "/ca.crl": (empty_crl(store.authority, now), "application/pkix-crl", "steering-ca.crl"),
        "/ca.mobileconfig": (profile, "application/x-apple-aspen-config", "steering-ca.mobileconfig"),
    }


def warnings_of(store: Keystore | None, missed: str, now: float) -> list[str]:
    """What an administrator should know of the CA.  missed: why there is none."""
    return [missed] if store is None else store.warnings(now)
