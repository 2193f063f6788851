"""The empty revocation list, and that OpenSSL checks a leaf against it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from steering.policy import parse_host
from steering_inspector.authority import mint, new_authority
from steering_inspector.crl import empty_crl
from tests.inspector.openssl import openssl, pem

NOW = 1_800_000_000.0
CA = new_authority(NOW, name="test inspection CA")


def test_it_revokes_nothing_for_a_week_and_is_signed_by_the_ca() -> None:
    crl = x509.load_der_x509_crl(empty_crl(CA, NOW + 0.9))
    at = datetime.fromtimestamp(NOW, UTC)
    assert list(crl) == []
    assert (crl.last_update_utc, crl.next_update_utc) == (at - timedelta(hours=1), at + timedelta(days=7))
    assert crl.issuer == CA.certificate.subject
    assert crl.is_signature_valid(CA.key.public_key())
    assert crl.extensions.get_extension_for_class(x509.CRLNumber).value == x509.CRLNumber(int(NOW))
    ski = CA.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    aki = crl.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert aki.key_identifier == ski.digest


def test_a_later_list_has_a_higher_number() -> None:
    numbers = [
        x509.load_der_x509_crl(empty_crl(CA, at)).extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
        for at in (NOW, NOW + 1)
    ]
    assert numbers[0] < numbers[1]


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(("after_s", "said"), [(0, "leaf.pem: OK"), (8 * 86400, "CRL has expired")])
def test_openssl_checks_a_leaf_against_it(tmp_path: Path, after_s: int, said: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    (tmp_path / "ca.pem").write_bytes(pem(CA.certificate))
    (tmp_path / "leaf.pem").write_bytes(pem(mint(CA, parse_host("www.example"), key, NOW)))
    (tmp_path / "ca.crl").write_bytes(empty_crl(CA, NOW))
    openssl("crl", "-inform", "DER", "-in", "ca.crl", "-out", "crl.pem", cwd=tmp_path)
    out = openssl(
        "verify", "-crl_check", "-CRLfile", "crl.pem", "-CAfile", "ca.pem", "-attime", str(int(NOW + after_s)),
        "leaf.pem", cwd=tmp_path,
    )  # fmt: skip
    assert said in out
