"""Connections to the inspector over TLS with the device's certificate, a few kept ready.

Each tells once, at its begin, the nonce that an attestation on it must carry, and which address the inspector sees
this computer under: the source that rules speak of.
"""

import asyncio
import re
import socket
import ssl
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from typing import NamedTuple

from steering.endpoint.proxy.dial import DialError, Resolve, addresses_of, connect
from steering.endpoint.proxy.request import end_of_head
from steering.endpoint.settings import Limits
from steering.formats.attestation import NONCE_HEADER, REVISION_HEADER, SOURCE_HEADER
from steering.policy import UNSEEN, PolicyError, Unseen, parse_host
from steering.policy.hosts import Address
from steering.streams.link import Link

HELLO = b"OPTIONS * HTTP/1.1\r\nHost: steering\r\n\r\n"
MAX_ANSWER = 16384
_STATUS = re.compile(rb"HTTP/1\.1 ([0-9]{3})[ \r]")


class InspectorUnreachable(Exception):
    """No inspector of the bundle took a connection; the text says what the last one did."""


@dataclass(slots=True, kw_only=True)
class Ready:
    """A connection that waits for its one use.  until: of the loop's clock.  spare: it has waited for a while, so the
    inspector may have closed it without our knowing yet.
    """

    link: Link
    nonce: str
    until: float
    spare: bool = False


class _Spare:
    """Owner of a link that waits: whatever the inspector does with it ends it."""

    def __init__(self, link: Link) -> None:
        self._link = link
        link.owner = self
        link.resume()

    def on_secured(self) -> None:
        """It is secured."""

    def on_bytes(self, data: bytes) -> None:
        self._link.close()

    def on_eof(self, clean: bool) -> None:
        self._link.close()

    def on_lost(self, error: Exception) -> None:
        """It is closed."""

    def on_drained(self) -> None:
        """Nothing large was sent."""


class Awaiting:
    """A link, and its owner while an answer is awaited: ``head`` gives its head, and keeps what came behind it.

    first: said at once when the link is secured, in one segment with the end of the handshake.
    """

    def __init__(
        self,
        sock: socket.socket,
        loop: asyncio.AbstractEventLoop,
        limits: Limits,
        link: Link | None = None,
        first: bytes = b"",
    ) -> None:
        self._first = first
        self.link = link or Link(sock, loop, limits, self)
        self.link.owner = self
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self.secured = False
        self.buffer = bytearray()

    def on_secured(self) -> None:
        self.secured = True
        self.link.write(self._first)
        self._wake()

    def on_bytes(self, data: bytes) -> None:
        self.buffer += data
        self._wake()

    def on_eof(self, clean: bool) -> None:
        self._error = self._error or ConnectionError("the connection was closed")
        self._wake()

    def on_lost(self, error: Exception) -> None:
        self._error = error
        self._wake()

    def on_drained(self) -> None:
        """Nothing large is sent here."""

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Raises the link's error where it breaks before ``condition`` holds."""
        while not condition():
            if self._error is not None:
                raise self._error
            self._waiter = self._loop.create_future()
            await self._waiter

    async def head(self) -> bytes:
        """The next head, taken out of ``buffer``.  Raises OSError or ssl.SSLError, ValueError for one that is none."""
        await self.until(lambda: end_of_head(self.buffer) > 0 or len(self.buffer) > MAX_ANSWER)
        end = end_of_head(self.buffer)
        if end < 0:
            raise ValueError("an answer without end")
        head = bytes(self.buffer[:end])
        del self.buffer[:end]
        return head


class InspectorLinks:
    """inspectors: "HOST:PORT", in order of preference.  source: as the inspector last saw us, UNSEEN before, and
    after this computer has moved to another network.  error: of the last attempt, "" where it succeeded.
    """

    def __init__(
        self, context: ssl.SSLContext, limits: Limits, resolve: Resolve, loop: asyncio.AbstractEventLoop
    ) -> None:
        self.inspectors: tuple[str, ...] = ()
        self.source: Address | Unseen = UNSEEN
        self.revision = ""
        self.error = ""
        self._context = context
        self._limits = limits
        self._resolve = resolve
        self._loop = loop
        self._ready: deque[Ready] = deque()
        self._filling: set[asyncio.Task[None]] = set()
        self._resting: dict[str, float] = {}
        self._asked_at = 0.0
        self._way: tuple[Towards, str] | None = None
        self._closed = False

    def use(self, inspectors: tuple[str, ...]) -> None:
        """From a new bundle."""
        if inspectors != self.inspectors:
            self.inspectors = inspectors
            self._resting.clear()
            self.drop()
        self._fill(self._limits.warm)

    def replace_context(self, context: ssl.SSLContext) -> None:
        """After the device's certificate was renewed."""
        self._context = context
        self.drop()
        self._fill(self._limits.warm)

    async def take(self, *, fresh: bool = False) -> Ready:
        """A connection for one use.  fresh: not one that has waited.  Raises InspectorUnreachable."""
        while self._ready and not fresh:
            ready = self._ready.popleft()
            if not ready.link.closed and ready.until > self._loop.time():
                ready.link.pause()
                self._fill(self._limits.warm)
                return ready
            ready.link.close()
        ready = await self._connect()
        self._fill(self._limits.warm)
        return ready

    def check(self, now: float) -> None:
        """Now and then: let go what has waited too long, and find out whether this computer has moved.

        What nobody uses is not replaced: ten thousand idle laptops must not keep an inspector busy.
        """
        while self._ready and (self._ready[0].link.closed or self._ready[0].until <= now):
            self._ready.popleft().link.close()
        if self._way is not None and way_out(self._way[0]) != self._way[1]:
            self.drop()
            self._fill(1)
        elif self._asked_at + self._limits.source_s <= now:
            self._asked_at = now
            self._fill(1)

    def drop(self) -> None:
        """Close what is ready or on its way: the network, or who we are, has changed."""
        for task in self._filling:
            task.cancel()
        self._filling.clear()
        while self._ready:
            self._ready.popleft().link.close()
        self.source = UNSEEN
        self._way = None

    def close(self) -> None:
        self._closed = True
        self.drop()

    def _fill(self, wanted: int) -> None:
        missing = wanted - len(self._ready) - len(self._filling)
        for _ in range(missing if self.inspectors and not self._closed else 0):
            task = self._loop.create_task(self._prepare())
            self._filling.add(task)
            task.add_done_callback(self._filling.discard)

    async def _prepare(self) -> None:
        with suppress(InspectorUnreachable):
            ready = await self._connect()
            if self._closed:
                ready.link.close()
            else:
                ready.spare = True
                _Spare(ready.link)
                self._ready.append(ready)

    async def _connect(self) -> Ready:
        failures = []
        for inspector in self.inspectors:
            if self._resting.get(inspector, 0.0) > self._loop.time():
                continue
            try:
                async with asyncio.timeout(self._limits.inspector_s):
                    ready = await self._connect_to(inspector)
            except (OSError, ValueError, DialError, PolicyError) as exc:
                self._resting[inspector] = self._loop.time() + self._limits.rest_s
                failures.append(f"{inspector}: {_words(exc)}")
                continue
            self._resting.pop(inspector, None)
            self.error = ""
            return ready
        if failures or not self.inspectors:
            self.error = "; ".join(failures) or "the policy names no inspector"
        raise InspectorUnreachable(self.error)

    async def _connect_to(self, inspector: str) -> Ready:
        name, _, port = inspector.rpartition(":")
        host = parse_host(name)
        sock = await connect(await addresses_of(host, self._resolve), int(port), self._limits)
        awaiting = Awaiting(sock, self._loop, self._limits, first=HELLO)
        link = awaiting.link
        try:
            # No session is resumed: our listeners give none, and to keep and show one costs 380 us of copies.
            link.secure(self._context, server_side=False, server_hostname=host.text)
            await awaiting.until(lambda: awaiting.secured)
            ready = self._read_hello(link, await awaiting.head())
            if awaiting.buffer:
                raise ValueError("it answered more than a head")
            link.pause()
            self._way = Towards(*sock.getpeername()[:2]), str(sock.getsockname()[0])
        except BaseException:
            link.close()
            raise
        return ready

    def _read_hello(self, link: Link, head: bytes) -> Ready:
        status, fields = read_answer(head)
        nonce, source = fields.get(NONCE_HEADER.lower(), ""), fields.get(SOURCE_HEADER.lower(), "")
        if status != 200 or not nonce:
            raise ValueError(
                f"it answered {status}; is that the inspector's endpoint_listen, and is this device enrolled?"
            )
        self.source = ip_address(source)
        self.revision = fields.get(REVISION_HEADER.lower(), "")
        self._asked_at = self._loop.time()
        return Ready(link=link, nonce=nonce, until=self._asked_at + self._limits.warm_s)


class Towards(NamedTuple):
    """An inspector's address and port."""

    address: str
    port: int


def way_out(towards: Towards) -> str:
    """Our own address on the way to an inspector; "" without a way.  Nothing is sent."""
    family = socket.AF_INET6 if ":" in towards.address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(tuple(towards))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def read_answer(head: bytes) -> tuple[int, dict[str, str]]:
    """Status and fields (names in lower case) of an answer's head.  Raises ValueError."""
    found = _STATUS.match(head)
    if found is None:
        raise ValueError("it does not answer with HTTP/1.1")
    fields = {}
    for line in head[:-4].split(b"\r\n")[1:]:
        name, colon, value = line.partition(b":")
        if colon:
            fields[name.decode("latin-1").lower()] = value.decode("latin-1").strip()
    return int(found[1]), fields


def _words(exc: BaseException) -> str:
    if isinstance(exc, TimeoutError):
        return "it did not answer in time"
    if isinstance(exc, ssl.SSLCertVerificationError):
        return f"its certificate is not of this service ({exc.verify_message})"
    if isinstance(exc, ssl.SSLError):
        return f"TLS failed ({exc.reason}); this device may have been revoked"
    return str(exc)


def device_context(authority_pem: bytes, certificate_file: str, key_file: str) -> ssl.SSLContext:
    """TLS as this device, trusting the device CA alone."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.load_verify_locations(cadata=authority_pem.decode("ascii"))
    context.load_cert_chain(certificate_file, key_file)
    context.set_alpn_protocols(["http/1.1"])
    return context
