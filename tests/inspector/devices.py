"""Devices of a test's own CA, and what a helper on one says to the inspector, written with bare hands."""

import asyncio
import datetime
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from steering.formats.attestation import Claims, sign
from steering.policy import Program
from steering.policy.facts import System
from tests.inspector.clients import Rig, Wire, running
from tests.inspector.origin import DAY, TestCa

ALICES, BOBS = "a" * 32, "b" * 32
SLACK = Program(system=System.LINUX, names=("slack",), path="/usr/lib/slack/slack", root_owned=True)
CURL = Program(system=System.LINUX, names=("curl",))
MINUTE = datetime.timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class TestDevice:
    """A device with its credential.  file: certificate and key."""

    id: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate
    file: Path
    context: ssl.SSLContext

    __test__ = False

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(serialization.Encoding.DER)


class DeviceCa(TestCa):
    """Issues for devices, and for the listener that they call by 127.0.0.1."""

    def device(
        self,
        name: str,
        *groups: str,
        use: ObjectIdentifier = ExtendedKeyUsageOID.CLIENT_AUTH,
        curve: ec.EllipticCurve | None = None,
        back: datetime.timedelta = DAY,
        ahead: datetime.timedelta = DAY,
    ) -> TestDevice:
        key = ec.generate_private_key(curve or ec.SECP256R1())
        subject = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        subject += [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, group) for group in groups]
        builder = self._builder(x509.Name(subject), key.public_key(), back, ahead)
        builder = builder.add_extension(x509.ExtendedKeyUsage([use]), True)
        certificate = builder.sign(self._key, hashes.SHA256())
        file = self.folder / f"device-{certificate.serial_number:x}.pem"
        encoding, encryption = serialization.Encoding.PEM, serialization.NoEncryption()
        private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, encryption)
        file.write_bytes(private + certificate.public_bytes(encoding))
        context = self.trusting()
        context.load_cert_chain(file)
        return TestDevice(id=name, key=key, certificate=certificate, file=file, context=context)

    def listening(self) -> ssl.SSLContext:
        context = self.context("127.0.0.1")
        context.load_verify_locations(self.file)
        context.verify_mode = ssl.CERT_REQUIRED
        return context


@cache
def device_ca() -> DeviceCa:
    return DeviceCa("test devices")


@cache
def alices() -> TestDevice:
    return device_ca().device(ALICES, "sales")


@cache
def bobs() -> TestDevice:
    return device_ca().device(BOBS)


@dataclass
class Introduced(Wire):
    """A helper's connection that has been greeted."""

    device: TestDevice
    nonce: str = ""
    fields: dict[str, str] = field(default_factory=dict)

    async def greet(self) -> None:
        await self.send(b"OPTIONS * HTTP/1.1\r\nHost: steering\r\n\r\n")
        lines = (await self.head()).decode("ascii").split("\r\n")
        assert lines[0] == "HTTP/1.1 200 OK", lines
        self.fields = dict(line.split(": ", 1) for line in lines[1:] if line)
        self.nonce = self.fields["Steering-Nonce"]

    def token(self, authority: str, **claimed: Any) -> str:
        return token_of(self.device, authority, **{"nonce": self.nonce, **claimed})

    async def ask_connect(self, authority: str, *tokens: str) -> bytes:
        """CONNECT, and the head that answers it."""
        lines = "".join(f"Steering-Attestation: {token}\r\n" for token in tokens)
        await self.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n{lines}\r\n".encode())
        return await self.head()

    async def open_to(self, host: str, port: int, **claimed: Any) -> None:
        """CONNECT with an attestation, and TLS inside."""
        authority = f"{host}:{port}"
        head = await self.ask_connect(authority, self.token(authority, **claimed))
        assert head.startswith(b"HTTP/1.1 200 "), head
        await self.start_tls(host)

    async def ask(self, url: str, *fields: str) -> tuple[int, bytes, bytes]:
        """A plain request."""
        lines = "".join(f"{line}\r\n" for line in fields)
        host = url.removeprefix("http://").partition("/")[0]
        await self.send(f"GET {url} HTTP/1.1\r\nHost: {host}\r\n{lines}\r\n".encode())
        return await self.answer()


def token_of(by: TestDevice, authority: str, /, **claimed: Any) -> str:
    """An attestation, genuine but for what ``claimed`` says otherwise; key: who signs."""
    key = claimed.pop("key", by.key)
    claims: dict[str, Any] = {
        "device": by.id,
        "authority": authority,
        "nonce": "",
        "revision": "",
        "issued_at": time.time(),
        "user": "alice",
        "program": SLACK,
    }
    return sign(Claims(**(claims | claimed)), key)


async def arrive(rig: Rig, device: TestDevice) -> Introduced:
    """TLS with the device's certificate, not yet greeted."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.endpoint, ssl=device.context)
    return Introduced(reader, writer, device)


async def introduce(rig: Rig, device: TestDevice) -> Introduced:
    wire = await arrive(rig, device)
    await wire.greet()
    return wire


@asynccontextmanager
async def listening(rules: Sequence[dict[str, Any]] | None = None, **more: Any) -> AsyncIterator[Rig]:
    """An inspector that listens for helpers too."""
    rules = None if rules is None else list(rules)
    async with running(rules=rules, endpoint_tls=device_ca().listening(), **more) as rig:
        yield rig
