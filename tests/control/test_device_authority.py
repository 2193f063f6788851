"""The device CA: its own key, one profile for devices, one for listeners, and nothing from requests but the key."""

from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from steering.control.device_authority import (
    MAX_CSR_BYTES,
    CsrRefused,
    DeviceAuthority,
    key_of_csr,
    load_device_authority,
)
from steering.control.errors import StateError
from steering.endpoint.enrol import request_for
from steering_inspector.keystore import load_or_create
from tests.control.helpers import new_key

NOW = 1_800_000_000.0
DAY_S = 86400.0


@pytest.fixture
def authority(tmp_path: Path) -> DeviceAuthority:
    return load_device_authority(tmp_path, NOW)


def names(certificate: x509.Certificate) -> dict[str, str]:
    return {attribute.rfc4514_attribute_name: str(attribute.value) for attribute in certificate.subject}


def uses(certificate: x509.Certificate) -> list[x509.ObjectIdentifier]:
    return list(certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)


def test_it_is_made_once_and_is_not_the_inspection_ca(tmp_path: Path) -> None:
    first = load_device_authority(tmp_path, NOW)
    assert load_device_authority(tmp_path, NOW).sha256 == first.sha256
    inspection = load_or_create(tmp_path, NOW, name="inspection")
    assert inspection.authority.key.public_key() != first.issuer.key.public_key()
    keys = list(tmp_path.glob("device-ca/**/*.key"))
    assert [key.stat().st_mode & 0o777 for key in keys] == [0o600]


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, authority: DeviceAuthority) -> None:
    (key,) = tmp_path.glob("device-ca/**/*.key")
    key.chmod(0o640)
    with pytest.raises(StateError, match=r"the CA of devices cannot be used: .* can be read by others"):
        load_device_authority(tmp_path, NOW)


@pytest.mark.parametrize(("group", "expected"), [("", {"CN": "ab" * 16}), ("sales", {"CN": "ab" * 16, "OU": "sales"})])
def test_a_devices_certificate(authority: DeviceAuthority, group: str, expected: dict[str, str]) -> None:
    key = new_key()
    made = authority.issue_device(key.public_key(), "ab" * 16, group, NOW)
    made.verify_directly_issued_by(authority.issuer.certificate)
    assert (names(made), uses(made)) == (expected, [ExtendedKeyUsageOID.CLIENT_AUTH])
    assert made.public_key() == key.public_key()
    assert made.not_valid_before_utc.timestamp() == NOW - DAY_S
    assert made.not_valid_after_utc.timestamp() == NOW + 90 * DAY_S


def test_a_listeners_certificate(authority: DeviceAuthority) -> None:
    made = authority.issue_server(["steering.example", "192.0.2.1", "2001:db8::1", "192.0.2.1"], NOW)
    leaf, ca = x509.load_pem_x509_certificates(made.chain_pem)
    alternative = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in alternative] == ["steering.example", "192.0.2.1", "2001:db8::1"]
    assert uses(leaf) == [ExtendedKeyUsageOID.SERVER_AUTH] and ca == authority.issuer.certificate
    assert made.renew_at == NOW + 60 * DAY_S
    key = serialization.load_pem_private_key(made.key_pem, None)
    assert key.public_key() == leaf.public_key() != ca.public_key()


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "administrator")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def forged() -> str:
    """A request for one key, signed by another."""
    request = x509.load_pem_x509_csr(request_for(new_key()).encode())
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    return x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM).decode()


def test_a_request_gives_its_key_and_nothing_else() -> None:
    key = new_key()
    assert key_of_csr(pem(key)) == key.public_key()


@pytest.mark.parametrize(
    ("csr", "why"),
    [
        (lambda: "", "no certificate signing request"),
        (lambda: None, "is PEM"),
        (lambda: "x" * MAX_CSR_BYTES, "no certificate signing request"),
        (lambda: "x" * (MAX_CSR_BYTES + 1), "is PEM"),
        (lambda: pem(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (lambda: pem(rsa.generate_private_key(65537, 2048)), "P-256"),
        (forged, "not signed by its own key"),
    ],
)
def test_requests_that_are_refused(csr: Callable[[], object], why: str) -> None:
    with pytest.raises(CsrRefused, match=why):
        key_of_csr(csr())
