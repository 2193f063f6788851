"""The credential on disk: whole, private, and an error that says what to do."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from steering.endpoint.device import Credential, forget, is_enrolled, load, save, save_certificate
from steering.endpoint.errors import EndpointError

BEGINS = datetime(2027, 1, 1, tzinfo=UTC)
ENDS = BEGINS + timedelta(days=90)


def certificate(key: ec.EllipticCurvePrivateKey, name: str = "d1") -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = x509.CertificateBuilder(subject, subject, key.public_key(), 7, BEGINS, ENDS)
    return builder.sign(key, hashes.SHA256())


@pytest.fixture
def credential() -> Credential:
    key = ec.generate_private_key(ec.SECP256R1())
    return Credential(
        device_id="d1",
        group="office",
        key=key,
        certificate=certificate(key),
        authority_pem=b"the authority",
        service_url="https://steering.example:8444",
    )


def facts(credential: Credential) -> tuple[object, ...]:
    numbers = credential.key.private_numbers()
    return (
        credential.device_id,
        credential.group,
        numbers.private_value,
        credential.certificate,
        credential.authority_pem,
        credential.service_url,
    )


def test_what_is_saved_is_loaded(tmp_path: Path, credential: Credential) -> None:
    folder = tmp_path / "state"
    assert not is_enrolled(folder)
    save(folder, credential)
    assert is_enrolled(folder)
    assert facts(load(folder)) == facts(credential)
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == dict.fromkeys(
        ("device.key", "device.pem", "authority.pem", "service.json"), 0o600
    )
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_renewed_certificate_takes_the_place_of_the_old(tmp_path: Path, credential: Credential) -> None:
    save(tmp_path, credential)
    renewed = certificate(credential.key, "renewed")
    save_certificate(tmp_path, renewed)
    assert load(tmp_path).certificate == renewed


def test_it_is_renewed_at_two_thirds_of_its_life(credential: Credential) -> None:
    assert credential.renew_at() == (BEGINS + timedelta(days=60)).timestamp()


def test_what_is_forgotten_is_gone(tmp_path: Path, credential: Credential) -> None:
    save(tmp_path, credential)
    forget(tmp_path)
    forget(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("file", "content", "why"),
    [
        ("service.json", b"{", "cannot be read"),
        ("service.json", b"{}", "cannot be read"),
        ("service.json", b"[]", "cannot be read"),
        ("service.json", None, "not enrolled"),
        ("device.key", None, "cannot be read"),
        ("device.key", b"no key", "cannot be read"),
        ("device.pem", b"no certificate", "cannot be read"),
        ("authority.pem", None, "cannot be read"),
    ],
)
def test_what_is_broken_is_said(
    tmp_path: Path, credential: Credential, file: str, content: bytes | None, why: str
) -> None:
    save(tmp_path, credential)
    if content is None:
        (tmp_path / file).unlink()
    else:
        (tmp_path / file).write_bytes(content)
    with pytest.raises(EndpointError, match=why):
        load(tmp_path)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path, credential: Credential) -> None:
    save(tmp_path, credential)
    (tmp_path / "device.key").chmod(0o640)
    with pytest.raises(EndpointError, match="chmod 600"):
        load(tmp_path)


def test_a_certificate_of_another_key_is_refused(tmp_path: Path, credential: Credential) -> None:
    save(tmp_path, credential)
    save_certificate(tmp_path, certificate(ec.generate_private_key(ec.SECP256R1())))
    with pytest.raises(EndpointError, match=r"is not for device\.key"):
        load(tmp_path)
