"""Whether an origin is who it says: what the context takes, every fault in words, and the second look."""

import asyncio
import ssl
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from steering_inspector.origin import (
    TLS_REASONS,
    VERIFY_REASONS,
    CertificateFacts,
    OriginFault,
    describe_certificate,
    fault_of,
    fetch_certificate,
    origin_context,
)
from steering_inspector.pages import REASONS
from tests.inspector.origin import DAY, TestCa, inspector_ca, origin_ca, running_origin

LOOPBACK = ip_address("127.0.0.1")


def handshake(server: ssl.SSLContext, host: str, client: ssl.SSLContext | None = None) -> OriginFault | None:
    """What a client that trusts the test origins has against ``server``."""
    context = client or origin_context([origin_ca().file])
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    one = context.wrap_bio(to_client, to_server, server_hostname=host)
    two = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        try:
            one.do_handshake()
            return None
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as exc:
            return fault_of(exc)
        try:
            two.do_handshake()
        except ssl.SSLError:
            continue
    raise AssertionError("the handshake stands still")


def old_only() -> ssl.SSLContext:
    context = TestCa("test origins").context("www.example")
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that is the point
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    return context


@pytest.mark.parametrize(
    ("server", "host", "reason"),
    [
        (origin_ca().context("www.example"), "www.example", None),
        (origin_ca().context("www.example"), "WWW.example", None),
        (origin_ca().context("*.w.example"), "a.w.example", None),
        (origin_ca().context("*.w.example"), "a.b.w.example", "origin-wrong-name"),
        (origin_ca().context("127.0.0.1"), "127.0.0.1", None),
        (origin_ca().context("127.0.0.1"), "127.0.0.2", "origin-wrong-name"),
        (origin_ca().context("other.example"), "www.example", "origin-wrong-name"),
        # The name in CN alone proves nothing.
        (origin_ca().context("www.example", san=False), "www.example", "origin-wrong-name"),
        (origin_ca().context("www.example", back=5 * DAY, ahead=-DAY), "www.example", "origin-expired"),
        (origin_ca().context("www.example", back=-DAY), "www.example", "origin-not-yet-valid"),
        (inspector_ca().context("www.example"), "www.example", "origin-unknown-issuer"),
    ],
)
def test_what_is_believed(server: ssl.SSLContext, host: str, reason: str | None) -> None:
    fault = handshake(server, host)
    assert (fault.reason if fault else None) == reason


def test_a_certificate_that_signs_itself(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "www.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("www.example")]), False)
        .sign(key, hashes.SHA256())
    )
    pem, plain = serialization.Encoding.PEM, serialization.NoEncryption()
    content = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain) + certificate.public_bytes(pem)
    (tmp_path / "self.pem").write_bytes(content)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(tmp_path / "self.pem")
    assert handshake(server, "www.example") == OriginFault(*VERIFY_REASONS[18])


def test_old_tls_is_not_spoken() -> None:
    fault = handshake(old_only(), "www.example")
    assert fault is not None and fault.reason in ("origin-old-tls", "origin-handshake")
    assert origin_context().minimum_version is ssl.TLSVersion.TLSv1_2


def test_the_context_is_strict_whatever_the_version_of_python() -> None:
    context = origin_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    assert context.hostname_checks_common_name is False
    assert context.verify_flags & ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    assert not context.verify_flags & ssl.VerifyFlags.VERIFY_X509_STRICT


def test_a_trust_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        origin_context([tmp_path / "missing.pem"])
    (tmp_path / "empty.pem").write_text("nothing\n")
    with pytest.raises(ssl.SSLError):
        origin_context([tmp_path / "empty.pem"])


def ssl_error(reason: str | None) -> ssl.SSLError:
    error = ssl.SSLError(1, "said")
    error.reason = reason  # type: ignore[assignment]  # None where OpenSSL's number has no name
    return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ssl_error("UNSUPPORTED_PROTOCOL"), OriginFault(*TLS_REASONS["UNSUPPORTED_PROTOCOL"])),
        (ssl_error("WRONG_VERSION_NUMBER"), OriginFault(*TLS_REASONS["WRONG_VERSION_NUMBER"])),
        (
            ssl_error("SSLV3_ALERT_HANDSHAKE_FAILURE"),
            OriginFault("origin-handshake", "the TLS handshake failed: sslv3 alert handshake failure"),
        ),
        (ssl_error(None), OriginFault("origin-handshake", "the TLS handshake failed: the connection was closed")),
        (TimeoutError(), OriginFault("origin-timeout", "it did not answer in time")),
        (ConnectionRefusedError(111, "refused"), OriginFault("origin-unreachable", "it refuses connections")),
        (
            OSError(113, "No route to host"),
            OriginFault("origin-unreachable", "it cannot be reached: No route to host"),
        ),
        (ConnectionResetError(), OriginFault("origin-unreachable", "it cannot be reached: connection closed")),
        (ValueError("x"), OriginFault("origin-handshake", "the TLS handshake failed")),
    ],
)
def test_every_fault_in_words(error: Exception, expected: OriginFault) -> None:
    assert fault_of(error) == expected


def test_every_reason_has_a_page() -> None:
    reasons = {reason for reason, _ in (*VERIFY_REASONS.values(), *TLS_REASONS.values())}
    assert reasons - set(REASONS) == set()


async def test_the_second_look_reads_names_issuer_and_dates_and_asks_for_nothing() -> None:
    async with running_origin(inspector_ca().context("www.example", "192.0.2.7")) as origin:
        facts = await fetch_certificate(LOOPBACK, origin.port, "other.example", 5)
        assert facts is not None
        assert facts.names == ("www.example", "192.0.2.7")
        assert (facts.subject, facts.issuer, facts.self_signed) == ("CN=www.example", "CN=test inspector", False)
        assert facts.not_before.endswith(" UTC") and len(facts.sha256) == 64
        assert [key for key, _ in facts.details()] == [
            "Names in the certificate", "Issued to", "Issued by", "Valid", "SHA-256",
        ]  # fmt: skip
        assert origin.heads == []


@asynccontextmanager
async def listening(answer: bytes | None) -> AsyncIterator[int]:
    """Something that answers with these bytes, or with nothing at all."""
    over = asyncio.Event()

    async def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if answer is None:
            await over.wait()
        else:
            writer.write(answer)
        writer.close()

    server = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        over.set()
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize("answer", [b"220 mail.example ESMTP\r\n", b"", None])
async def test_the_second_look_finds_nothing(answer: bytes | None) -> None:
    async with listening(answer) as port:
        assert await fetch_certificate(LOOPBACK, port, "www.example", 0.3) is None


@given(st.binary(max_size=300))
def test_any_bytes_for_a_certificate(der: bytes) -> None:
    assert describe_certificate(der) is None


def test_a_damaged_certificate_is_described_or_not_but_raises_nothing() -> None:
    der = bytearray(origin_ca().certificate.public_bytes(serialization.Encoding.DER))
    for at in range(len(der)):
        kept, der[at] = der[at], der[at] ^ 0x55
        facts = describe_certificate(bytes(der))
        assert facts is None or isinstance(facts, CertificateFacts)
        der[at] = kept


@pytest.mark.parametrize(("length", "shown"), [(199, 199), (200, 200), (201, 200)])
def test_long_text_of_an_origin_is_cut(length: int, shown: int) -> None:
    name = ".".join(["a" * 49] * 5)[:length]
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2020, 1, 2, tzinfo=UTC))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), False)
        .sign(key, hashes.SHA256())
    )
    facts = describe_certificate(certificate.public_bytes(serialization.Encoding.DER))
    assert facts is not None
    assert [len(text) for text in facts.names] == [shown]
    assert (facts.not_before, facts.not_after) == ("2020-01-01 00:00 UTC", "2020-01-02 00:00 UTC")
