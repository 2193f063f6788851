"""One upstream over one transport: a question out, the matching reply back.

Shell.  UDP uses many connected sockets on random ports, random ids and 0x20 (random case), each of them a thing that
a forger must guess; TCP and TLS keep one connection and pipeline on it; HTTPS is aiohttp's.  A reply is taken only
if address, id and question match.
"""

import asyncio
import contextlib
import random
import socket
import ssl
from typing import Protocol

import aiohttp

from steering_dns.upstreams import Transport, Upstream
from steering_dns.wire import MAX_TCP_REPLY, opt_record

SOCKETS = 32  # per upstream
QUESTIONS_PER_SOCKET = 256  # then its port is changed
MAX_FORGERIES = 16  # mismatching replies on a socket before it is given up
IDLE_S = 20.0
MAX_PIPELINE = 512
NO_EDNS = 4
_MEDIA = "application/dns-message"

_random = random.SystemRandom()


class ExchangeError(Exception):
    """No usable reply; the text says why."""


class Asking(Protocol):
    async def ask(self, name: bytes, qtype: int, flags: int) -> bytes: ...

    def close(self) -> None: ...


def question_for(name: bytes, qtype: int) -> bytes:
    return name + qtype.to_bytes(2, "big") + b"\0\1"


def query_for(ident: bytes, question: bytes, flags: int) -> bytes:
    """RD=1 always; flags: 1 DO, 2 CD, 4 NO_EDNS.

    Nothing of the client goes upstream but the name, the type and the first two.
    """
    opt = b"" if flags & NO_EDNS else opt_record(0, do=bool(flags & 1))
    head = ident + bytes((1, (flags & 2) << 3)) + b"\0\1\0\0\0\0\0" + bytes((1 if opt else 0,))
    return head + question + opt


def mixed_case(name: bytes) -> bytes:
    """The name with random case (draft-vixie-dnsext-dns0x20)."""
    bits = _random.getrandbits(len(name))
    return bytes(byte ^ 0x20 if 0x61 <= byte <= 0x7A and bits >> at & 1 else byte for at, byte in enumerate(name))


class UdpExchange:
    """mixed: whether the upstream gives the case of names back, as nearly all do."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._sockets: list[_UdpSocket] = []
        self.mixed = True
        self.truncated = 0
        self._tcp = StreamExchange(upstream)

    async def ask(self, name: bytes, qtype: int, flags: int) -> bytes:
        sent = question_for(mixed_case(name) if self.mixed else name, qtype)
        reply = await self._socket().ask(sent, flags)
        same = reply[12 : 12 + len(sent)] == sent
        if same and not reply[2] & 0x02:
            return reply
        # Cut, or in another case: by TCP nobody off the path can forge it.
        self.truncated += 1
        reply = await self._tcp.ask(name, qtype, flags)
        if not same:
            self.mixed = False
        return reply

    def _socket(self) -> "_UdpSocket":
        alive = self._sockets = [s for s in self._sockets if not s.retired]
        if len(alive) < SOCKETS:
            alive.append(_UdpSocket(self._upstream))
            return alive[-1]
        return _random.choice(alive)

    def close(self) -> None:
        for each in self._sockets:
            each.close()
        self._tcp.close()


class _UdpSocket:
    def __init__(self, upstream: Upstream) -> None:
        family = socket.AF_INET6 if upstream.address.version == 6 else socket.AF_INET
        self._sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._waiting: dict[bytes, tuple[bytes, asyncio.Future[bytes]]] = {}
        self._asked = self._forged = 0
        self._open = True
        try:
            found = socket.getaddrinfo(str(upstream.address), upstream.port, flags=socket.AI_NUMERICHOST)
            self._sock.connect(found[0][4])  # with the interface of a link-local address
        except OSError as exc:
            self._sock.close()
            raise ExchangeError(f"cannot reach {upstream}: {exc}") from exc
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._sock.fileno(), self._readable)

    @property
    def retired(self) -> bool:
        return not self._open or self._asked >= QUESTIONS_PER_SOCKET or self._forged >= MAX_FORGERIES

    async def ask(self, question: bytes, flags: int) -> bytes:
        ident = _random.randbytes(2)
        while ident in self._waiting:
            ident = _random.randbytes(2)
        future: asyncio.Future[bytes] = self._loop.create_future()
        self._waiting[ident] = (question.lower(), future)
        self._asked += 1
        try:
            self._sock.send(query_for(ident, question, flags))
            return await future
        except OSError as exc:
            raise ExchangeError(f"upstream does not answer: {exc}") from exc
        finally:
            self._waiting.pop(ident, None)
            if self.retired and not self._waiting:
                self.close()

    def _readable(self) -> None:
        for _ in range(64):
            try:
                reply = self._sock.recv(65535)
            except BlockingIOError:
                return
            except OSError as exc:  # ICMP says that nobody listens there
                self._fail(exc)
                return
            if not _take(reply, self._waiting):
                self._forged += 1

    def _fail(self, exc: OSError) -> None:
        for _, future in self._waiting.values():
            if not future.done():
                future.set_exception(ExchangeError(f"upstream does not answer: {exc}"))

    def close(self) -> None:
        if self._open:
            self._open = False
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._fail(OSError("closed"))


def _take(reply: bytes, waiting: dict[bytes, tuple[bytes, asyncio.Future[bytes]]]) -> bool:
    """Give a reply to whoever waits for it; False: nobody does, or it answers another question."""
    found = waiting.get(reply[:2])
    if found is None or len(reply) < 12 or not reply[2] & 0x80 or reply[2] & 0x78 or reply[4:6] != b"\0\1":
        return False
    question, future = found
    if reply[12 : 12 + len(question)].lower() != question.lower():
        return False
    if not future.done():
        future.set_result(reply)
    return True


class StreamExchange:
    """TCP or TLS, one connection, reopened when it has ended or gives no answers any more."""

    def __init__(self, upstream: Upstream, tls: ssl.SSLContext | None = None) -> None:
        self._upstream = upstream
        self._tls = tls
        self._links: list[_Link] = []  # the last one is asked; those before it only finish
        self._opening = asyncio.Lock()

    async def ask(self, name: bytes, qtype: int, flags: int) -> bytes:
        question = question_for(name, qtype)
        for fresh in (False, True):
            link, reused = await self._connected(fresh=fresh)
            try:
                return await link.ask(question, flags)
            except ExchangeError:
                if not reused:  # an idle connection may end at any time: that says nothing of the upstream
                    raise
        raise ExchangeError("the connection ended")

    async def _connected(self, *, fresh: bool) -> tuple["_Link", bool]:
        async with self._opening:
            self._links = [link for link in self._links if link.usable]
            if self._links and not self._links[-1].silent and not fresh:
                return self._links[-1], True
            try:
                reader, writer = await asyncio.open_connection(
                    str(self._upstream.address),
                    self._upstream.port,
                    ssl=self._tls,
                    server_hostname=self._upstream.server_name if self._tls else None,
                )
            except (OSError, ssl.SSLError) as exc:
                raise ExchangeError(f"cannot connect to {self._upstream}: {exc}") from exc
            self._links.append(_Link(reader, writer))
            return self._links[-1], False

    def close(self) -> None:
        for link in self._links:
            link.close()


class _Link:
    """silent: nothing came while a question waited, so the other end may have gone without a word."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[bytes, tuple[bytes, asyncio.Future[bytes]]] = {}
        self.usable = True
        self.silent = False
        self._received = 0
        self._reading = asyncio.create_task(self._read())

    async def ask(self, question: bytes, flags: int) -> bytes:
        if len(self._waiting) >= MAX_PIPELINE:
            raise ExchangeError("too many questions wait on the connection")
        ident = _random.randbytes(2)
        while ident in self._waiting:
            ident = _random.randbytes(2)
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting[ident] = (question, future)
        query, before = query_for(ident, question, flags), self._received
        try:
            self._writer.write(len(query).to_bytes(2, "big") + query)
            if not self.usable:
                raise ExchangeError("the connection ended")
            return await future
        except asyncio.CancelledError:
            self.silent = self.silent or self._received == before
            raise
        finally:
            self._waiting.pop(ident, None)
            if self.silent and not self._waiting:
                self.close()

    async def _read(self) -> None:
        try:
            while True:
                async with asyncio.timeout(IDLE_S):
                    length = int.from_bytes(await self._reader.readexactly(2), "big")
                    _take(await self._reader.readexactly(length), self._waiting)
                    self._received += 1
        except (OSError, EOFError, TimeoutError, ssl.SSLError):
            pass
        finally:
            self.close()

    def close(self) -> None:
        if self.usable:
            self.usable = False
            self._reading.cancel()
            with contextlib.suppress(OSError, RuntimeError):
                self._writer.transport.abort()
            for _, future in self._waiting.values():
                if not future.done():
                    future.set_exception(ExchangeError("the connection ended"))


class HttpsExchange:
    """RFC 8484 by POST; id 0, as the RFC asks for."""

    def __init__(self, upstream: Upstream, tls: ssl.SSLContext) -> None:
        host = f"[{upstream.address}]" if upstream.address.version == 6 else str(upstream.address)
        self._url = f"https://{host}:{upstream.port}{upstream.path}"
        name = f"[{upstream.server_name}]" if ":" in upstream.server_name else upstream.server_name
        self._host = name if upstream.port == 443 else f"{name}:{upstream.port}"
        self._upstream = upstream
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._closing: asyncio.Future[None] | None = None  # held, or it may never run

    async def ask(self, name: bytes, qtype: int, flags: int) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        question = question_for(name, qtype)
        query = query_for(b"\0\0", question, flags)
        try:
            try:
                reply = await self._post(self._session, query)
            except aiohttp.ServerDisconnectedError:  # an idle connection that had ended: says nothing of the upstream
                reply = await self._post(self._session, query)
        except (aiohttp.ClientError, OSError) as exc:
            raise ExchangeError(f"cannot ask {self._upstream}: {exc}") from exc
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        if not _take(reply, {b"\0\0": (question, future)}):
            raise ExchangeError(f"{self._upstream} answered another question")
        return reply

    async def _post(self, session: aiohttp.ClientSession, query: bytes) -> bytes:
        async with session.post(
            self._url,
            data=query,
            headers={"Content-Type": _MEDIA, "Accept": _MEDIA, "Host": self._host},
            ssl=self._tls,
            server_hostname=self._upstream.server_name,
            allow_redirects=False,
        ) as response:
            if response.status != 200 or response.content_type != _MEDIA:
                raise ExchangeError(f"{self._upstream} answered {response.status} {response.content_type}")
            return await _read_at_most(response.content, MAX_TCP_REPLY)

    def close(self) -> None:
        if self._session is not None:
            self._closing = asyncio.ensure_future(self._session.close())
            self._session = None


async def _read_at_most(stream: aiohttp.StreamReader, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in stream.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise ExchangeError("the reply is too long")
    return bytes(body)


def exchange_with(upstream: Upstream, tls: ssl.SSLContext | None) -> Asking:
    """tls: for TLS and HTTPS, which cannot be without."""
    match upstream.transport:
        case Transport.UDP:
            return UdpExchange(upstream)
        case Transport.TCP:
            return StreamExchange(upstream)
        case Transport.TLS if tls is not None:
            return StreamExchange(upstream, tls)
        case Transport.HTTPS if tls is not None:
            return HttpsExchange(upstream, tls)
        case _:
            raise ExchangeError(f"{upstream} needs TLS")
