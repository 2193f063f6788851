"""A running helper's proxy with its origins and a stand-in inspector, and clients that go through it."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOCK_STREAM, SOL_SOCKET, socket
from typing import Any

from steering.endpoint.bundle.content import Bundle, Modes
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.identify.identity import Ends, Identifier, Identity, Method
from steering.endpoint.proxy.dial import DialError
from steering.endpoint.proxy.inspector import InspectorLinks
from steering.endpoint.proxy.service import EndpointProxy
from steering.endpoint.proxy.works import Attester, Works
from steering.endpoint.settings import Limits
from steering.policy import Policy, ReservedSettings, RulesModel, System, compile_policy, rule_set
from steering.policy.access import Access
from steering.policy.hosts import Address
from tests.endpoint.proxy.devices import DEVICE, GROUP, StandIn, device, stand_in
from tests.inspector.origin import Origin, origin_ca, running_origin
from tests.kit import eventually

NAMES = ("pin.example", "also.pin.example", "app.example", "www.example", "block.example", "dead.example")
RULES: list[dict[str, Any]] = [
    {"name": "pinned", "domains": ["pin.example"]},
    {"name": "slack", "domains": ["app.example"], "programs": ["slack"]},
    {"name": "banned", "action": "block", "domains": ["block.example"]},
]
LOOPBACK = ip_address("127.0.0.1")
SLACK = Identity(system=System.LINUX, pid=7, names=("slack",), user="alice", method=Method.MAP)
CURL = Identity(system=System.LINUX, pid=8, names=("curl",), user="alice", method=Method.MAP)
NOBODY = Identity(system=System.LINUX, user="alice", unknown="its process has ended")


def policy_of(rules: list[dict[str, Any]]) -> Policy:
    return compile_policy(rule_set(RulesModel.model_validate({"rules": rules})), ReservedSettings(internal_networks=()))


def client_hello(name: str) -> bytes:
    outgoing = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=name)
    with suppress(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


class Named:
    """An identifier for tests: it says who it is told.  quick: what ``fast`` says.  slow: what ``full`` says."""

    notes: tuple[str, ...] = ()
    wants: frozenset[str] = frozenset()

    def __init__(self, quick: Identity | None = CURL, slow: Identity = NOBODY) -> None:
        self.quick = quick
        self.slow = slow
        self.asked: list[str] = []
        self.ends: list[Ends] = []

    def watch(self) -> None: ...

    def close(self) -> None: ...

    def fast(self, ends: Ends) -> Identity | None:
        self.asked.append("fast")
        self.ends.append(ends)
        return self.quick

    async def full(self, ends: Ends) -> Identity:
        self.asked.append("full")
        return self.slow


@dataclass
class Rig:
    """lines: the access lines.  resolved: the names looked up.  addresses: what they have; others have loopback."""

    proxy: EndpointProxy
    works: Works
    live: LiveBundle
    inspector: StandIn
    tls: Origin
    plain: Origin
    port: int
    lines: list[Access]
    resolved: list[str]
    addresses: dict[str, list[Address]] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def swap(self, rules: list[dict[str, Any]] | None = None, **modes: str) -> None:
        self.live.swap(self.bundle(rules, **modes))

    def bundle(self, rules: list[dict[str, Any]] | None = None, **modes: str) -> Bundle:
        return Bundle(
            policy=policy_of(RULES if rules is None else rules),
            issued_at=0.0,
            inspectors=(f"127.0.0.1:{self.inspector.port}",),
            inspector_addresses=frozenset({ip_address("127.0.0.9")}),
            modes=Modes.model_validate(modes),
        )

    async def connect(self) -> "Wire":
        return Wire(*await asyncio.open_connection("127.0.0.1", self.port))

    async def open(self, authority: str, sni: str) -> "Wire":
        """CONNECT and TLS."""
        wire = await self.connect()
        await wire.ask_connect(authority)
        await wire.start_tls(sni)
        return wire

    async def settled(self, lines: int = 1) -> list[Access]:
        await eventually(lambda: len(self.lines) >= lines, what=f"line {lines} of {self.lines}")
        return self.lines


@dataclass
class Wire:
    """A client that writes its own bytes."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def head(self) -> bytes:
        async with asyncio.timeout(20):
            return await self.reader.readuntil(b"\r\n\r\n")

    async def rest(self) -> bytes:
        async with asyncio.timeout(20):
            return await self.reader.read()

    async def ended(self) -> bool:
        """Whether nothing more comes; a reset is an end too."""
        try:
            return await self.rest() == b""
        except (ConnectionResetError, ssl.SSLError):
            return True

    async def ask_connect(self, authority: str) -> None:
        await self.send(f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode())
        head = await self.head()
        assert head.startswith(b"HTTP/1.1 200 "), head

    async def start_tls(self, sni: str) -> None:
        context = origin_ca().trusting()
        context.check_hostname = bool(sni)
        if not sni:
            context.verify_mode = ssl.CERT_NONE
        await self.writer.start_tls(context, server_hostname=sni or None)

    async def get(self, host: str, path: str = "/hello") -> bytes:
        """The whole answer; the connection stays."""
        await self.send(f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        return await self.answer()

    async def answer(self) -> bytes:
        """An answer, by its length."""
        head = await self.head()
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        async with asyncio.timeout(20):
            return head + await self.reader.readexactly(length)

    async def close(self) -> None:
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()


def bound(address: str = "127.0.0.1") -> socket:
    sock = socket(AF_INET6 if ":" in address else AF_INET, SOCK_STREAM)
    sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
    sock.bind((address, 0))
    sock.listen(1024)
    return sock


def limits(**changed: Any) -> Limits:
    """Waits that a test has to sit out are short."""
    return Limits(**{"hello_s": 1.0, "linger_s": 0.5, "inspector_s": 5.0, "rest_s": 0.0, **changed})


@asynccontextmanager
async def running(
    *,
    rules: list[dict[str, Any]] | None = None,
    identifier: Identifier | None = None,
    bundle: bool = True,
    log_programs: bool = True,
    within: Limits | None = None,
    clock: Any = time.time,
    more: Sequence[socket] = (),
    **modes: str,
) -> AsyncIterator[Rig]:
    """bundle: whether there is one at the begin.  more: listeners beside 127.0.0.1."""
    within = within or limits()
    loop = asyncio.get_running_loop()
    lines: list[Access] = []
    resolved: list[str] = []
    listener = bound()
    async with (
        stand_in() as inspector,
        running_origin(origin_ca().context(*NAMES)) as tls,
        running_origin(None) as plain,
    ):

        async def resolve(name: str) -> list[Address]:
            resolved.append(name)
            if name == "dead.example":
                raise DialError("no-address", "its address could not be found")
            return rig.addresses.get(name, [LOOPBACK])

        links = InspectorLinks(device().context, within, resolve, loop)
        live = LiveBundle()
        works = Works(
            live=live,
            identifier=identifier or Named(),
            links=links,
            attester=Attester(device_id=DEVICE, group=GROUP, key=device().key),
            sink=lines.append,
            loop=loop,
            resolve=resolve,
            limits=within,
            clock=clock,
            log_programs=log_programs,
        )
        proxy = EndpointProxy(works)
        rig = Rig(
            proxy=proxy,
            works=works,
            live=live,
            inspector=inspector,
            tls=tls,
            plain=plain,
            port=listener.getsockname()[1],
            lines=lines,
            resolved=resolved,
        )
        if bundle:
            live.bundle = rig.bundle(rules, **modes)
        proxy.start([listener, *more])
        try:
            yield rig
        finally:
            await proxy.close()
