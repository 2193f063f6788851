"""A running inspector with its origins, and the clients that the tests send through it."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from socket import AF_INET, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket
from typing import Any

from cryptography import x509
from cryptography.x509.oid import NameOID

from steering.policy import Policy, ReservedSettings, RulesModel, compile_policy, rule_set
from steering.policy.access import Access
from steering.policy.hosts import Address
from steering.policy.live import Live
from steering.streams.link import Link
from steering_inspector.server import Inspector
from steering_inspector.settings import InspectorSettings, Limits, Network
from steering_inspector.workings import HandshakeFailure
from tests.inspector.origin import Origin, inspector_ca, origin_ca, running_origin
from tests.streams.links import Told

LOOPBACK = ip_network("127.0.0.0/8")
NAMES = ("www.example", "pinned.example", "blocked.example", "other.example", "10.9.8.7")
RULES: list[dict[str, Any]] = [
    {"name": "pinned", "action": "bypass", "domains": ["pinned.example"]},
    {"name": "banned", "action": "block", "domains": ["blocked.example"]},
]


def policy_of(
    rules: list[dict[str, Any]], internal_networks: tuple[Network, ...] = (), groups: dict[str, Any] | None = None
) -> Policy:
    reserved = ReservedSettings(internal_networks=internal_networks)
    return compile_policy(rule_set(RulesModel.model_validate({"rules": rules, "groups": groups or {}})), reserved)


def bound() -> socket:
    sock = socket(AF_INET, SOCK_STREAM)
    sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(128)
    return sock


@dataclass
class Rig:
    """log: the access lines.  failures: the evidence.  resolved: what names were resolved, to loopback or to
    ``addresses``; those in ``unanswered`` never are.
    """

    inspector: Inspector
    origin: Origin
    plain: Origin
    live: Live
    explicit: int
    tls: int
    http: int
    log: list[Access]
    failures: list[HandshakeFailure]
    resolved: list[str]
    addresses: dict[str, list[Address]] = field(default_factory=dict)
    unanswered: set[str] = field(default_factory=set)
    endpoint: int = 0

    @property
    def proxy(self) -> str:
        return f"http://127.0.0.1:{self.explicit}"

    def url(self, host: str, path: str = "/hello") -> str:
        return f"https://{host}:{self.origin.port}{path}"

    async def connect(self) -> "Wire":
        return Wire(*await asyncio.open_connection("127.0.0.1", self.explicit))

    async def open(self, host: str, *, connect: str = "", sni: str | None = None) -> "Wire":
        """CONNECT and TLS, trusting the inspector's CA and the origins'."""
        wire = await self.connect()
        authority = f"{connect or host}:{self.origin.port}"
        await wire.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = await wire.head()
        assert head.startswith(b"HTTP/1.1 200 "), head
        await wire.start_tls(host if sni is None else sni)
        return wire

    async def settled(self, lines: int = 1) -> list[Access]:
        """The access log once it holds that many lines."""
        await until(lambda: len(self.log) >= lines)
        return self.log


async def until(true: Callable[[], bool], timeout_s: float = 10) -> None:
    """Wait for something that no event announces."""
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def issuer(wire: "Wire") -> str:
    certificate = wire.writer.get_extra_info("peercert")
    return str(dict(pair for part in certificate["issuer"] for pair in part)["commonName"])


def trusting() -> ssl.SSLContext:
    context = inspector_ca().trusting()
    context.load_verify_locations(str(origin_ca().file))
    return context


@dataclass
class Wire:
    """A client that writes its own bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def start_tls(self, host: str) -> None:
        await self.writer.start_tls(trusting(), server_hostname=host)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        async with asyncio.timeout(10):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def answer(self, method: str = "GET") -> tuple[int, bytes, bytes]:
        """Status, head and body of one response, read by its framing."""
        head = await self.head()
        status = int(head.split(b" ", 2)[1])
        fields = head.lower()
        async with asyncio.timeout(20):
            if status < 200 or status in (204, 304) or method == "HEAD":
                body = b""
            elif b"transfer-encoding: chunked" in fields:
                body = b""
                while size := int(await self.reader.readuntil(b"\r\n"), 16):
                    body += await self.reader.readexactly(size)
                    await self.reader.readexactly(2)
                while (line := await self.reader.readuntil(b"\r\n")) != b"\r\n":
                    head += b"trailer " + line
            elif b"content-length: " in fields:
                length = int(fields.split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await self.reader.readexactly(length)
            else:
                body = await self.reader.read()
        return status, head, body

    async def get(self, host: str, path: str, *extra: bytes, method: str = "GET") -> tuple[int, bytes, bytes]:
        await self.send(
            f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n".encode() + b"".join(e + b"\r\n" for e in extra) + b"\r\n"
        )
        return await self.answer(method)

    async def at_end(self) -> bytes:
        """Everything until the connection ends, however it ends."""
        got = b""
        async with asyncio.timeout(10):
            try:
                while data := await self.reader.read(65536):
                    got += data
            except (ConnectionError, ssl.SSLError):
                pass
        return got

    async def close(self) -> None:
        self.writer.close()
        try:
            async with asyncio.timeout(5):
                await self.writer.wait_closed()
        except (ConnectionError, ssl.SSLError, TimeoutError):
            pass


async def dial_tls(
    rig: Rig, port: int, *, connect: str = "", sni: str | None = None, alpn: Sequence[str] = ("http/1.1",)
) -> tuple[Link, Told]:
    """A TLS client with a free choice of SNI and ALPN that verifies nothing and may half-close; secured, or refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    loop, told = asyncio.get_running_loop(), Told()
    sock = socket(AF_INET, SOCK_STREAM)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", port))
    link = Link(sock, loop, Limits(), told)
    if connect:
        link.resume()
        link.write(f"CONNECT {connect} HTTP/1.1\r\nHost: {connect}\r\n\r\n".encode())
        await until(lambda: told.got.endswith(b"\r\n\r\n"))
        assert told.got.startswith(b"HTTP/1.1 200 "), told.got
        told.got = b""
    link.secure(context, server_side=False, server_hostname=sni)
    await until(lambda: bool(told.secured or told.over))
    return link, told


def issuer_of(link: Link) -> str:
    """Who signed the certificate that a link was shown."""
    der = link.tls.getpeercert(binary_form=True) if link.tls else None
    assert der is not None
    issuer = x509.load_der_x509_certificate(der).issuer
    return str(issuer.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


@asynccontextmanager
async def running(
    *,
    rules: list[dict[str, Any]] | None = None,
    origin: ssl.SSLContext | None = None,
    limits: Limits | None = None,
    can_open: bool = True,
    clock: Callable[[], float] = time.time,
    endpoint_tls: ssl.SSLContext | None = None,
    revoked: frozenset[str] = frozenset(),
    **settings: Any,
) -> AsyncIterator[Rig]:
    """An inspector between loopback listeners and two origins; every name resolves to loopback.

    endpoint_tls: for a listener for helpers; without it there is none.
    """
    log: list[Access] = []
    failures: list[HandshakeFailure] = []
    resolved: list[str] = []
    addresses: dict[str, list[Address]] = {}
    unanswered: set[str] = set()
    async with AsyncExitStack() as stack:
        secure = await stack.enter_async_context(running_origin(origin or origin_ca().context(*NAMES)))
        plain = await stack.enter_async_context(running_origin(None))
        explicit, tls, http = bound(), bound(), bound()
        live = Live(policy_of(RULES if rules is None else rules))

        async def resolve(name: str) -> Sequence[Address]:
            resolved.append(name)
            if name in unanswered:
                await asyncio.Event().wait()
            return addresses.get(name, [ip_address("127.0.0.1")])

        configured = InspectorSettings(
            **{
                "connect_ports": frozenset((443, secure.port)),
                "origin_tls_port": secure.port,
                "origin_http_port": plain.port,
                "allow_destinations": (LOOPBACK,),
                "limits": limits or Limits(),
                "advertised": "steering",
                **settings,
            }
        )
        verify = origin_ca().trusting()
        verify.hostname_checks_common_name = False
        inspector = Inspector(
            configured,
            live,
            inspector_ca() if can_open else None,
            verify,
            resolve,
            log.append,
            clock,
            on_handshake_failure=failures.append,
            endpoint_tls=endpoint_tls,
            revoked=revoked,
        )
        helpers = [bound()] if endpoint_tls else []
        endpoint = helpers[0].getsockname()[1] if helpers else 0
        ports = (explicit.getsockname()[1], tls.getsockname()[1], http.getsockname()[1])
        inspector.start([explicit], [tls], [http], helpers)
        try:
            yield Rig(inspector, secure, plain, live, *ports, log, failures, resolved, addresses, unanswered, endpoint)
        finally:
            await inspector.close()
