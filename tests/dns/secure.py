"""DNS over TLS and HTTPS, ours and of upstreams: certificates of their own, and aiohttp as the independent server."""

import asyncio
import datetime
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from steering_dns.secured import Contexts
from tests.dns.upstream import UpstreamServer
from tests.dns.world import RECORDS, World, world


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


@dataclass
class Secured:
    """A resolver with its listeners over TLS, and the file of the certificate that they show, for dns.test."""

    world: World
    tls_port: int
    https_port: int
    cert: Path
    client: ssl.SSLContext


@asynccontextmanager
async def secured(folder: Path, **more: Any) -> AsyncIterator[Secured]:
    cert, key = certificate(folder, "dns.test")
    contexts = Contexts()
    for context in (contexts.tls, contexts.https):
        context.load_cert_chain(cert, key)
    async with world(**more) as w:
        tls, https = (socket.create_server(("127.0.0.1", 0)) for _ in range(2))
        with tls, https:
            await w.server.start([], [], [tls], [https], contexts=contexts)
            client = ssl.create_default_context(cafile=cert)
            try:
                yield Secured(w, tls.getsockname()[1], https.getsockname()[1], cert, client)
            finally:
                w.server.close()


@asynccontextmanager
async def tls_upstream(folder: Path) -> AsyncIterator[tuple[UpstreamServer, int, ssl.SSLContext]]:
    """A server whose certificate is for dns.test, and a context that trusts it."""
    cert, key = certificate(folder, "dns.test")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    async with UpstreamServer(dict(RECORDS)) as upstream:
        server = await asyncio.start_server(upstream.stream, "127.0.0.1", 0, ssl=context)
        try:
            yield upstream, server.sockets[0].getsockname()[1], ssl.create_default_context(cafile=cert)
        finally:
            server.close()


class HttpsUpstream:
    """DNS over HTTPS (RFC 8484) before an ``UpstreamServer``.

    seen: method, path, Host, content type and message id of each request.  peers: the connections they came by.
    """

    def __init__(self, inner: UpstreamServer) -> None:
        self._inner = inner
        self._transports: list[asyncio.Transport] = []
        self.seen: list[tuple[str, str, str, str, bytes]] = []
        self.peers: set[object] = set()
        self.status, self.media = 200, "application/dns-message"
        self.body: bytes | None = None
        self.port = 0

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}/dns-query#dns.test"

    def hang_up(self) -> None:
        """End every connection."""
        for transport in self._transports:
            transport.abort()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        query = await request.read()
        self.seen.append((request.method, request.path, request.host, request.content_type, query[:2]))
        assert request.transport is not None
        self._transports.append(request.transport)
        self.peers.add(request.transport.get_extra_info("peername"))
        body = self._inner.reply(query, udp=False) if self.body is None else self.body
        headers = {"Location": "https://127.0.0.1/"} if self.status == 302 else {}
        return web.Response(status=self.status, body=body, content_type=self.media, headers=headers)


@asynccontextmanager
async def https_upstream(folder: Path, name: str = "dns.test") -> AsyncIterator[tuple[HttpsUpstream, ssl.SSLContext]]:
    """The server, with a certificate for ``name``, and a context that trusts it."""
    cert, key = certificate(folder, name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    upstream = HttpsUpstream(UpstreamServer(dict(RECORDS)))
    runner = web.ServerRunner(web.Server(upstream.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    upstream.port = runner.addresses[0][1]
    try:
        yield upstream, ssl.create_default_context(cafile=cert)
    finally:
        await runner.cleanup()
