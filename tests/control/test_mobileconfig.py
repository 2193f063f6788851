"""The Apple profile: a property list with the certificate in it, the same at every making."""

import plistlib
from uuid import UUID

from steering.control.mobileconfig import ca_profile


def test_profile() -> None:
    made = ca_profile(b"\x30\x00der", name="Name & <Co>", identifier="steering.ca")
    assert made == ca_profile(b"\x30\x00der", name="Name & <Co>", identifier="steering.ca"), "an update, not a second"
    profile = plistlib.loads(made)
    (payload,) = profile.pop("PayloadContent")
    assert {UUID(profile.pop("PayloadUUID")).version, UUID(payload.pop("PayloadUUID")).version} == {5}
    assert profile == {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": "steering.ca",
        "PayloadDisplayName": "Name & <Co>",
        "PayloadRemovalDisallowed": False,
    }
    assert payload == {
        "PayloadType": "com.apple.security.root",
        "PayloadVersion": 1,
        "PayloadIdentifier": "steering.ca.ca",
        "PayloadDisplayName": "Name & <Co>",
        "PayloadDescription": "Trusts the certificates that the inspector shows.",
        "PayloadCertificateFileName": "steering-ca.cer",
        "PayloadContent": b"\x30\x00der",
    }
