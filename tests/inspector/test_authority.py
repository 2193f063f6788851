"""The CA and its leaves: the whole profile, field by field, and OpenSSL's opinion of it."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from steering.policy import parse_host
from steering_inspector.authority import Authority, mint, new_authority, remint_at
from tests.inspector.openssl import openssl, pem

NOW = 1_800_000_000.0
AT = datetime.fromtimestamp(NOW, UTC)
KEY = ec.generate_private_key(ec.SECP256R1())
CA = new_authority(NOW, name="test inspection CA")
LABEL = "a" * 55  # with ".example": 63


def leaf(host: str, now: float = NOW, authority: Authority = CA, crl_url: str = "") -> x509.Certificate:
    return mint(authority, parse_host(host), KEY.public_key(), now, crl_url)


def names_of(certificate: x509.Certificate) -> list[str]:
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [*san.get_values_for_type(x509.DNSName), *map(str, san.get_values_for_type(x509.IPAddress))]


def extensions_of(certificate: x509.Certificate) -> dict[str, tuple[bool, x509.ExtensionType]]:
    return {type(found.value).__name__: (found.critical, found.value) for found in certificate.extensions}


def test_the_profile_of_the_ca() -> None:
    certificate = CA.certificate
    extensions = {
        type(extension.value).__name__: (extension.critical, extension.value) for extension in certificate.extensions
    }
    assert set(extensions) == {"BasicConstraints", "KeyUsage", "SubjectKeyIdentifier"}
    assert extensions["BasicConstraints"] == (True, x509.BasicConstraints(ca=True, path_length=0))
    critical, usage = extensions["KeyUsage"]
    assert critical and isinstance(usage, x509.KeyUsage)
    assert (usage.key_cert_sign, usage.crl_sign, usage.digital_signature) == (True, True, False)
    assert certificate.subject == certificate.issuer
    assert certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == "test inspection CA"
    assert certificate.not_valid_before_utc == AT - timedelta(hours=24)
    assert certificate.not_valid_after_utc == AT + timedelta(days=3650)
    assert isinstance(CA.key.curve, ec.SECP256R1)
    assert CA.id == certificate.fingerprint(hashes.SHA256()).hex()


def test_the_profile_of_a_leaf() -> None:
    certificate = leaf("www.example", crl_url="http://127.0.0.1:8080/ca.crl")
    extensions = {
        type(extension.value).__name__: (extension.critical, extension.value) for extension in certificate.extensions
    }
    assert set(extensions) == {
        "SubjectAlternativeName", "BasicConstraints", "KeyUsage", "ExtendedKeyUsage", "SubjectKeyIdentifier",
        "AuthorityKeyIdentifier", "CRLDistributionPoints",
    }  # fmt: skip
    ski = CA.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    own = x509.SubjectKeyIdentifier.from_public_key(KEY.public_key())
    assert extensions["SubjectAlternativeName"] == (False, x509.SubjectAlternativeName([x509.DNSName("www.example")]))
    assert extensions["BasicConstraints"] == (True, x509.BasicConstraints(ca=False, path_length=None))
    critical, usage = extensions["KeyUsage"]
    assert critical and isinstance(usage, x509.KeyUsage)
    assert (usage.digital_signature, usage.key_cert_sign, usage.key_encipherment) == (True, False, False)
    assert extensions["ExtendedKeyUsage"] == (False, x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]))
    assert extensions["SubjectKeyIdentifier"] == (False, own)
    assert extensions["AuthorityKeyIdentifier"] == (False, x509.AuthorityKeyIdentifier(ski.digest, None, None))
    point = x509.DistributionPoint(
        [x509.UniformResourceIdentifier("http://127.0.0.1:8080/ca.crl")], None, None, None
    )  # fmt: skip
    assert extensions["CRLDistributionPoints"] == (False, x509.CRLDistributionPoints([point]))
    assert own != ski and certificate.public_key() != CA.certificate.public_key()
    assert certificate.issuer == CA.certificate.subject
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    certificate.verify_directly_issued_by(CA.certificate)


def test_validity_is_thirty_days_back_date_included() -> None:
    certificate = leaf("www.example")
    assert certificate.not_valid_before_utc == AT - timedelta(hours=24)
    assert certificate.not_valid_after_utc - certificate.not_valid_before_utc == timedelta(days=30)
    assert remint_at(certificate) == NOW + timedelta(days=19).total_seconds()


@pytest.mark.parametrize(("left", "expected"), [(28, 28), (29, 29), (30, 29)])
def test_a_leaf_does_not_outlive_its_ca(left: int, expected: int) -> None:
    late = NOW + timedelta(days=3650 - left).total_seconds()
    ends = leaf("www.example", late).not_valid_after_utc
    assert ends == datetime.fromtimestamp(late, UTC) + timedelta(days=expected)


@pytest.mark.parametrize(
    ("host", "in_subject"),
    [
        (LABEL + ".example", True),
        (LABEL + "a.example", True),
        (LABEL + "aa.example", False),
        (".".join([LABEL] * 4) + ".example", False),
    ],
)
def test_a_name_longer_than_a_cn_may_be_stands_in_a_critical_san(host: str, in_subject: bool) -> None:
    certificate = leaf(host)
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert (len(certificate.subject.rdns), san.critical) == (int(in_subject), not in_subject)
    assert names_of(certificate) == [host]


@pytest.mark.parametrize("host", ["192.0.2.7", "2001:db8::7"])
def test_an_address_is_an_address_in_san(host: str) -> None:
    certificate = leaf(host)
    assert names_of(certificate) == [host]
    san = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == []


def test_serials_are_random_and_long() -> None:
    serials = {leaf("www.example").serial_number for _ in range(20)}
    assert len(serials) == 20
    assert max(serials).bit_length() > 140 and all(0 < serial < 2**159 for serial in serials)


@pytest.mark.needs("openssl")
@pytest.mark.parametrize(
    ("host", "option"),
    [
        ("www.example", "-verify_hostname"),
        (LABEL + "aa.example", "-verify_hostname"),
        ("a_b.example", "-verify_hostname"),
        ("xn--bcher-kva.example", "-verify_hostname"),
        ("192.0.2.7", "-verify_ip"),
        ("2001:db8::7", "-verify_ip"),
    ],
)
def test_openssl_verifies_a_leaf_strictly(host: str, option: str, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_bytes(pem(CA.certificate))
    (tmp_path / "leaf.pem").write_bytes(pem(leaf(host)))
    common = ("verify", "-x509_strict", "-purpose", "sslserver", "-attime", str(int(NOW)), "-CAfile", "ca.pem")
    assert openssl(*common, option, host, "leaf.pem", cwd=tmp_path).endswith("leaf.pem: OK")
    other = "192.0.2.8" if option == "-verify_ip" else "other.example"
    assert "mismatch" in openssl(*common, option, other, "leaf.pem", cwd=tmp_path)


@pytest.mark.needs("openssl")
def test_openssl_reads_what_we_wrote(tmp_path: Path) -> None:
    (tmp_path / "leaf.pem").write_bytes(pem(leaf("www.example", crl_url="http://inspector.example/ca.crl")))
    text = openssl("x509", "-in", "leaf.pem", "-noout", "-text", cwd=tmp_path)
    for line in (
        "Signature Algorithm: ecdsa-with-SHA256", "ASN1 OID: prime256v1", "TLS Web Server Authentication",
        "DNS:www.example", "CA:FALSE", "Digital Signature", "URI:http://inspector.example/ca.crl",
    ):  # fmt: skip
        assert line in text, text


def test_python_takes_a_leaf_in_its_strictest_mood(tmp_path: Path) -> None:
    """VERIFY_X509_STRICT is the default from Python 3.13 on."""
    now = datetime.now(UTC).timestamp()
    fresh = new_authority(now, name="ca")
    certificate = leaf("www.example", now, fresh)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    key = KEY.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )  # fmt: skip
    (tmp_path / "leaf.pem").write_bytes(key + pem(certificate))
    server.load_cert_chain(tmp_path / "leaf.pem")
    client = ssl.create_default_context(cadata=pem(fresh.certificate).decode())
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_STRICT
    client.hostname_checks_common_name = False
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = client.wrap_bio(to_client, to_server, server_hostname="www.example")
    two = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(3):
        for side in (one, two):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    assert one.getpeercert(True) == certificate.public_bytes(serialization.Encoding.DER)


LABELS = st.from_regex(r"[a-z0-9]([a-z0-9_-]{0,61}[a-z0-9])?", fullmatch=True)


@given(st.lists(LABELS, min_size=1, max_size=4).map(lambda labels: ".".join([*labels, "example"])))
@settings(max_examples=60, deadline=None)
def test_whatever_the_name_the_leaf_is_for_just_that_name(name: str) -> None:
    if len(name) > 253:
        return
    host = parse_host(name)
    certificate = mint(CA, host, KEY.public_key(), NOW)
    assert names_of(certificate) == [host.text]
    assert x509.load_der_x509_certificate(certificate.public_bytes(serialization.Encoding.DER)) == certificate


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
@settings(max_examples=30, deadline=None)
def test_whatever_the_address_the_leaf_is_for_just_that_address(address: object) -> None:
    host = parse_host(str(address))
    assert host.address is not None
    assert names_of(mint(CA, host, KEY.public_key(), NOW)) == [str(host.address)]
