"""An origin of our own: certificates, and a TLS server that behaves, or misbehaves, as the path asks it to.

Speaks HTTP with bare hands, so that every wrong byte can be written.
"""

import asyncio
import atexit
import datetime
import hashlib
import shutil
import ssl
import tempfile
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = datetime.timedelta(days=1)
Reply = Callable[["Head", asyncio.StreamReader, asyncio.StreamWriter], Awaitable[bool | None]]


class TestCa:
    """A small CA.  ``context(name)`` is a server context with a leaf for it, as ``leaves.LeafContexts`` gives."""

    __test__ = False

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._leaf_key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._contexts: dict[str, ssl.SSLContext] = {}
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.certificate = (
            self._builder(self._name, self._key.public_key(), DAY, 30 * DAY)
            .add_extension(x509.BasicConstraints(True, 0), True)
            .add_extension(usage, True)
            .sign(self._key, hashes.SHA256())
        )
        self.folder = Path(tempfile.mkdtemp(prefix="test-ca-"))
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        self.file = self.folder / "ca.pem"
        self.file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, back: datetime.timedelta, ahead: datetime.timedelta
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - back)
            .not_valid_after(now + ahead)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), False)
        )

    def get(self, host: str, now: float = 0.0) -> ssl.SSLContext:
        return self.context(host)

    def context(
        self, *names: str, san: bool = True, back: datetime.timedelta = DAY, ahead: datetime.timedelta = 30 * DAY
    ) -> ssl.SSLContext:
        key = repr((names, san, back, ahead))
        if key not in self._contexts:
            self._contexts[key] = self._make(names, san, back, ahead)
        return self._contexts[key]

    def _make(
        self, names: tuple[str, ...], san: bool, back: datetime.timedelta, ahead: datetime.timedelta
    ) -> ssl.SSLContext:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
        builder = self._builder(subject, self._leaf_key.public_key(), back, ahead)
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False)
        if san:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        leaf = builder.sign(self._key, hashes.SHA256())
        private = self._leaf_key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        file = self.folder / f"leaf-{len(self._contexts)}.pem"
        file.write_bytes(private + leaf.public_bytes(serialization.Encoding.PEM))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        context.set_alpn_protocols(["http/1.1"])
        return context

    def trusting(self) -> ssl.SSLContext:
        """A client context that trusts this CA alone."""
        context = ssl.create_default_context(cafile=str(self.file))
        context.set_alpn_protocols(["http/1.1"])
        return context


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


@cache
def inspector_ca() -> TestCa:
    return TestCa("test inspector")


@cache
def origin_ca() -> TestCa:
    return TestCa("test origins")


class Head:
    """A request head as the origin received it."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        lines = raw.decode("latin-1").split("\r\n")
        self.method, self.target, self.version = lines[0].split(" ")
        split = [line.partition(":") for line in lines[1:-2]]
        self.fields = [(name.lower(), value.strip()) for name, _, value in split]

    def get(self, name: str) -> str:
        return dict(self.fields).get(name, "")


class Origin:
    """A running origin.  heads: what it was asked.  connections: how many were made to it."""

    def __init__(self) -> None:
        self.heads: list[Head] = []
        self.connections = 0
        self.port = 0
        self.replies: dict[str, Reply] = dict(REPLIES)
        self.writers: set[asyncio.StreamWriter] = set()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            while True:
                head = Head(await reader.readuntil(b"\r\n\r\n"))
                self.heads.append(head)
                path = head.target.partition("?")[0]
                reply = self.replies.get(path) or self.replies["/hello"]
                if await reply(head, reader, writer):
                    return
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError, asyncio.LimitOverrunError):
            pass
        finally:
            self.writers.discard(writer)
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()


async def read_body(head: Head, reader: asyncio.StreamReader) -> tuple[bytes, list[bytes]]:
    """The body and the trailers; big bodies are hashed instead of kept: then the digest."""
    if head.get("transfer-encoding"):
        body, trailers = b"", []
        while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
            body += await reader.readexactly(size)
            await reader.readexactly(2)
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":
            trailers.append(line[:-2])
        return body, trailers
    return await reader.readexactly(int(head.get("content-length") or 0)), []


def whole(body: bytes, extra: bytes = b"") -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n%b\r\n%b" % (len(body), extra, body)


async def hello(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    await read_body(head, reader)
    answer = whole(b"hello\n", b'X-Origin: yes\r\nAlt-Svc: h3=":443"\r\nKeep-Alive: timeout=5\r\n')
    writer.write(answer[: -len(b"hello\n")] if head.method == "HEAD" else answer)
    return None


async def echo(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    if head.get("expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body, trailers = await read_body(head, reader)
    writer.write(whole(body, b"X-Trailers: %b\r\n" % b",".join(trailers)))
    return None


async def digest(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    if head.get("expect"):
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    left, sum_ = int(head.get("content-length")), hashlib.sha256()
    while left:
        data = await reader.read(min(left, 262_144))
        if not data:
            return True
        left -= len(data)
        sum_.update(data)
    writer.write(whole(sum_.hexdigest().encode()))
    return None


async def show_head(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    await read_body(head, reader)
    writer.write(whole(head.raw))
    return None


async def big(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    left = int(head.target.partition("?")[2])
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
    block = bytes(65536)
    while left:
        writer.write(block[: min(left, 65536)])
        left -= min(left, 65536)
        await writer.drain()
    return None


async def chunked(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    writer.write(b"5;ext=1\r\nhello\r\n1\r\n\n\r\n0\r\nX-Sum: 42\r\n\r\n")
    return None


async def until_close(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    writer.write(b"HTTP/1.0 200 OK\r\n\r\nuntil the end")
    return True


async def early(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n")
    await writer.drain()
    return True


async def websocket(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    key = head.get("sec-websocket-key").encode() + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
    accept = b64encode(hashlib.sha1(key).digest())
    writer.write(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n")
    writer.write(b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n")
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    return True


def fixed(answer: bytes, *, close: bool = True) -> Reply:
    """Always these bytes."""

    async def reply(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
        writer.write(answer)
        await writer.drain()
        return close

    return reply


async def endless_head(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Filler: " + b"a" * 1000 + b"\r\n")
        await writer.drain()


async def silent(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    await reader.read()
    return True


async def reset(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
    writer.transport.abort()
    return True


REPLIES: dict[str, Reply] = {
    "/hello": hello,
    "/echo": echo,
    "/digest": digest,
    "/head": show_head,
    "/big": big,
    "/chunked": chunked,
    "/until-close": until_close,
    "/early": early,
    "/ws": websocket,
    "/endless-head": endless_head,
    "/many-1xx": fixed(b"HTTP/1.1 102 Processing\r\n\r\n" * 100 + whole(b"late\n")),
    "/some-1xx": fixed(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + whole(b"hinted\n"), close=False),
    "/short": fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"),
    "/surplus": fixed(whole(b"hello\n") + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison", close=False),
    "/both": fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    "/bare-lf": fixed(b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello", close=False),
    "/not-modified": fixed(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n", close=False),
    "/gzip-chunked": fixed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    "/length-space": fixed(b"HTTP/1.1 200 OK\r\nContent-Length : 5\r\n\r\nhello"),
    "/unasked": fixed(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n"),
    "/bad-chunk": fixed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX0\r\n\r\n"),
    "/silent": silent,
    "/reset": reset,
}


@asynccontextmanager
async def running_origin(context: ssl.SSLContext | None) -> AsyncIterator[Origin]:
    """An origin on a free port of 127.0.0.1; plain HTTP without a context."""
    origin = Origin()
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(origin.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=context)
    origin.port = server.sockets[0].getsockname()[1]
    try:
        yield origin
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
