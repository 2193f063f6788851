"""The CA as an Apple configuration profile: one tap on an iPhone or Mac."""

import plistlib
from uuid import NAMESPACE_URL, uuid5


def ca_profile(certificate_der: bytes, *, name: str, identifier: str) -> bytes:
    """A profile that installs the certificate as a root (com.apple.security.root)."""
    payload = {
        "PayloadType": "com.apple.security.root",
        "PayloadVersion": 1,
        "PayloadIdentifier": f"{identifier}.ca",
        "PayloadUUID": str(uuid5(NAMESPACE_URL, f"{identifier}.ca")).upper(),
        "PayloadDisplayName": name,
        "PayloadDescription": "Trusts the certificates that the inspector shows.",
        "PayloadCertificateFileName": "steering-ca.cer",
        "PayloadContent": certificate_der,
    }
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(uuid5(NAMESPACE_URL, identifier)).upper(),
        "PayloadDisplayName": name,
        "PayloadRemovalDisallowed": False,
        "PayloadContent": [payload],
    }
    return plistlib.dumps(profile)
