"""A device CA with a device's credential, and an inspector that speaks the helpers' wire contract over real TLS.

The stand-in verifies as the contract says, remembers what it was asked, and forwards to where it is told: it decides
nothing, so that tests of the helper see the helper alone.
"""

import asyncio
import datetime
import secrets
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from steering.endpoint.proxy.inspector import device_context
from steering.formats.attestation import AttestationError, Claims, verify
from tests.inspector.origin import TestCa

DEVICE = "0123456789abcdef" * 2
GROUP = "laptops"


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    key: ec.EllipticCurvePrivateKey
    context: ssl.SSLContext


class DeviceCa(TestCa):
    """Issues to devices too."""

    def device(self, device_id: str = DEVICE, group: str = GROUP) -> Device:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, device_id),
                x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, group),
            ]
        )
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.certificate.subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=89))
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        folder = Path(mkdtemp(prefix="device-", dir=self.folder))
        (folder / "device.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / "device.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = device_context(self.file.read_bytes(), str(folder / "device.pem"), str(folder / "device.key"))
        return Device(key=key, context=context)

    def listening(self) -> ssl.SSLContext:
        """For an inspector at 127.0.0.1 that demands a device's certificate."""
        context = self._make(("127.0.0.1",), True, datetime.timedelta(days=1), datetime.timedelta(days=30))
        context.verify_mode = ssl.CERT_REQUIRED
        context.options |= ssl.OP_NO_TICKET  # as the inspector: no session is resumed
        context.num_tickets = 0
        context.load_verify_locations(str(self.file))
        return context


@cache
def device_ca() -> DeviceCa:
    return DeviceCa("test devices")


@cache
def device() -> Device:
    return device_ca().device()


@dataclass
class Asked:
    """A request that the inspector was sent, with what was attested."""

    line: str
    claims: Claims
    head: bytes


@dataclass
class StandIn:
    """forward: where everything goes, (address, port).  refuse: a status for CONNECT instead of 200.

    quitting: close every connection at its first request after OPTIONS, unanswered.  errors: what was not believed.
    """

    forward: dict[str, int] = field(default_factory=dict)
    port: int = 0
    refuse: int = 0
    source: str = "127.0.0.1"
    quitting: bool = False
    greeting: bytes = b""
    asked: list[Asked] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    connections: int = 0
    writers: set[asyncio.StreamWriter] = field(default_factory=set)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.writers.add(writer)
        try:
            await self._serve(reader, writer)
        except AttestationError as exc:
            self.errors.append(exc.reason)
        except (OSError, asyncio.IncompleteReadError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()  # no peer is waited for at the end of a test
        finally:
            self.writers.discard(writer)
            writer.close()
            with suppress(Exception):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hello = await reader.readuntil(b"\r\n\r\n")
        assert hello.startswith(b"OPTIONS * HTTP/1.1\r\n"), hello
        nonce = secrets.token_urlsafe(18)
        greeting = (
            self.greeting
            or (
                f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSteering-Nonce: {nonce}\r\n"
                f"Steering-Revision: r\r\nSteering-Source: {self.source}\r\n\r\n"
            ).encode()
        )
        writer.write(greeting)
        head = await reader.readuntil(b"\r\n\r\n")
        if self.quitting:
            return
        line, *fields = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = line.split(" ")
        named = dict(field.lower().split(": ", 1) for field in fields)
        connecting = method == "CONNECT"
        authority = target if connecting else target.removeprefix("http://").partition("/")[0]
        if not connecting and ":" not in authority.rpartition("]")[2]:
            authority += ":80"
        certificate = writer.get_extra_info("peercert")
        name = dict(pair for part in certificate["subject"] for pair in part)["commonName"]
        claims = verify(
            self._only(fields),
            device().key.public_key(),
            device=name,
            authority=authority,
            nonce=nonce,
            now=time.time(),
        )
        assert "steering-attestation" in named
        self.asked.append(Asked(line, claims, head))
        if connecting and self.refuse:
            writer.write(b"HTTP/1.1 %d No\r\nContent-Length: 5\r\n\r\nsorry" % self.refuse)
            await writer.drain()
            return
        port = self.forward.get(authority.rpartition(":")[0], int(authority.rpartition(":")[2]))
        origin_reader, origin_writer = await asyncio.open_connection("127.0.0.1", port)
        if connecting:
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            path = "/" + target.removeprefix("http://").partition("/")[2]
            kept = [field for field in fields if not field.lower().startswith("steering-")]
            origin_writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *kept, "", ""]).encode("latin-1"))
        await asyncio.gather(_pump(reader, origin_writer), _pump(origin_reader, writer))

    def _only(self, fields: list[str]) -> str:
        tokens = [
            value for name, _, value in (field.partition(": ") for field in fields) if name.startswith("Steering")
        ]
        assert len(tokens) == 1, tokens
        return tokens[0]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


@asynccontextmanager
async def stand_in() -> AsyncIterator[StandIn]:
    inspector = StandIn()
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(inspector.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(accepted, "127.0.0.1", 0, ssl=device_ca().listening())
    inspector.port = server.sockets[0].getsockname()[1]
    try:
        yield inspector
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await server.wait_closed()
