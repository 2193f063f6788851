"""Upstreams over TLS, with their certificate verified, and loops."""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from steering_dns import Forwarder, parse_upstream
from steering_dns.exchange import mixed_case, query_for, question_for
from steering_dns.forwarder import ForwardError
from tests.dns.upstream import UpstreamServer
from tests.dns.world import RECORDS, world

NAME = b"\6pinned\7example\0"


def certificate(folder: Path, name: str) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    begin = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    made = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(begin + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    cert_path, key_path = folder / "cert.pem", folder / "key.pem"
    cert_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return cert_path, key_path


@asynccontextmanager
async def tls_upstream(folder: Path) -> AsyncIterator[tuple[UpstreamServer, int, ssl.SSLContext]]:
    """A server whose certificate is for dns.test, and a context that trusts it."""
    cert, key = certificate(folder, "dns.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with UpstreamServer(dict(RECORDS)) as upstream:
        server = await asyncio.start_server(upstream._stream, "127.0.0.1", 0, ssl=context)
        try:
            yield upstream, server.sockets[0].getsockname()[1], ssl.create_default_context(cafile=cert)
        finally:
            server.close()


async def test_tls_is_verified(tmp_path: Path) -> None:
    async with tls_upstream(tmp_path) as (upstream, port, trust):
        for name, good in (("dns.test", True), ("other.test", False)):
            forwarder = Forwarder(trust)
            ask = forwarder.ask((parse_upstream(f"tls://127.0.0.1:{port}#{name}"),), NAME, 1, 0, within_s=3)
            if good:
                assert b"\xcb\0\x71\x0a" in await ask
            else:
                with pytest.raises(ForwardError, match="certificate"):
                    await ask
            forwarder.close()
        assert len(upstream.asked) == 1


async def test_questions_share_one_stream(tmp_path: Path) -> None:
    async with tls_upstream(tmp_path) as (_, port, trust):
        forwarder = Forwarder(trust)
        group = (parse_upstream(f"tls://127.0.0.1:{port}#dns.test"),)
        replies = await asyncio.gather(*(forwarder.ask(group, NAME, rtype, 0, within_s=3) for rtype in (1, 28, 65)))
        assert [int.from_bytes(reply[6:8], "big") for reply in replies] == [1, 1, 1]
        forwarder.close()


async def test_same_questions_are_asked_once() -> None:
    async with world() as w:
        w.upstream.chaos.delay_s = 0.2
        found = await asyncio.gather(*(w.answer("pinned.example") for _ in range(10)))
        assert found == [("NOERROR", ["A 203.0.113.10"])] * 10
        assert w.upstream.asked.count(("pinned.example.", "A")) == 1


def test_nothing_of_the_client_goes_upstream_but_the_question() -> None:
    question = question_for(NAME, 28)
    assert query_for(b"\1\2", question, 3) == (
        b"\1\2\1\x10\0\1\0\0\0\0\0\1" + question + b"\0\0\x29\x04\xd0\0\0\x80\0\0\0"
    )
    assert mixed_case(NAME).lower() == NAME
    assert len({mixed_case(NAME) for _ in range(50)}) > 10
