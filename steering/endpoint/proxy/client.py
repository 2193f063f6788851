"""What a local program says before anything is decided: read from its socket, kept until somebody takes it."""

import asyncio
import re
import socket
from contextlib import suppress
from dataclasses import dataclass

from steering.endpoint.proxy import socks
from steering.endpoint.proxy.request import Connect, RequestError, end_of_head
from steering.endpoint.settings import Limits
from steering.formats.clienthello import MalformedHello, NotTls, parse_client_hello
from steering.policy import Host, PolicyError, parse_host
from steering.streams.dialling import readable

# A request that was meant for its origin: what a browser sends by CONNECT for ws://, and SOCKS clients for http://.
_REQUEST = re.compile(rb"[A-Z]{3,16} /")
_MAY_BECOME_REQUEST = re.compile(rb"[A-Z]{0,16}|[A-Z]{3,16} ")


class ClientGone(ConnectionError):
    """The client has closed, or its connection broke, before it was served."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inside:
    """What stands first in a tunnel.  sni: None where there is none.  head: of plain HTTP, or b"" """

    sni: Host | None = None
    head: bytes = b""


class Client:
    """buffer: what was read and not taken.  spoke: whether anything came."""

    __slots__ = ("_limits", "_loop", "buffer", "sock", "spoke")

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self.sock = sock
        self._loop = loop
        self._limits = limits
        self.buffer = bytearray()
        self.spoke = False

    async def receive(self) -> None:
        """Raises ClientGone."""
        try:
            while (data := self._received()) is None:
                await readable(self._loop, self.sock)
        except OSError as exc:
            raise ClientGone(str(exc)) from exc
        if not data:
            raise ClientGone("the client closed before it was served")
        self.spoke = True
        self.buffer += data

    def _received(self) -> bytes | None:
        """None where nothing has come yet.  Most often it has, and nobody need wait."""
        try:
            return self.sock.recv(self._limits.read_bytes)
        except (BlockingIOError, InterruptedError):
            return None

    async def send(self, data: bytes) -> None:
        """Raises ClientGone."""
        try:
            sent = self._sent(data)
            if sent < len(data):
                await self._loop.sock_sendall(self.sock, data[sent:])
        except OSError as exc:
            raise ClientGone(str(exc)) from exc

    def _sent(self, data: bytes) -> int:
        try:
            return self.sock.send(data)
        except (BlockingIOError, InterruptedError):
            return 0

    def taken(self, size: int = -1) -> bytes:
        size = len(self.buffer) if size < 0 else size
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    async def head(self) -> bytes:
        """A whole request head.  Raises RequestError, ClientGone."""
        before = 0
        while (end := end_of_head(self.buffer, before)) < 0 and len(self.buffer) < self._limits.max_head_bytes:
            before = len(self.buffer)
            await self.receive()
        if not 0 < end <= self._limits.max_head_bytes:
            raise RequestError(431, "too-large", "the head of the request is too large")
        return self.taken(end)

    async def socks_request(self) -> Connect:
        """Raises SocksError, ClientGone.  A client that is not taken has been told so."""
        while (greeting := socks.parse_greeting(bytes(self.buffer))) is None:
            await self.receive()
        self.taken(greeting.size)
        if not greeting.acceptable:
            await self.send(socks.NOT_CHOSEN)
            raise RequestError(400, "bad-request", "a SOCKS client that insists on authentication")
        await self.send(socks.CHOSEN)
        try:
            while (found := socks.parse_request(bytes(self.buffer))) is None:
                await self.receive()
        except socks.SocksError as exc:
            await self.send(socks.reply(exc.reply))
            raise RequestError(400, "bad-request", str(exc)) from exc
        self.taken(found[1])
        return found[0]

    async def peek(self) -> Inside:
        """What stands first in the tunnel: nothing of it is taken but the head of plain HTTP.

        ``Inside()`` also for what is neither, for silence, and for a client that has said everything.
        Raises RequestError for plain HTTP that does not come to an end.
        """
        with suppress(TimeoutError, NotTls, MalformedHello, ClientGone):
            async with asyncio.timeout(self._limits.hello_s):
                while _MAY_BECOME_REQUEST.fullmatch(self.buffer):
                    await self.receive()
                if not _REQUEST.match(self.buffer):
                    return await self._hello()
        return Inside(head=await self._inner_head()) if _REQUEST.match(self.buffer) else Inside()

    async def _inner_head(self) -> bytes:
        try:
            async with asyncio.timeout(self._limits.head_s):
                return await self.head()
        except TimeoutError as exc:
            raise RequestError(408, "timeout", "the head of the request did not come in time") from exc

    async def _hello(self) -> Inside:
        while (hello := parse_client_hello(bytes(self.buffer))) is None:
            if len(self.buffer) >= self._limits.max_hello_bytes:
                return Inside()
            await self.receive()
        with suppress(PolicyError):
            return Inside(sni=parse_host(hello.sni) if hello.sni else None)
        return Inside()

    async def let_go(self, answer: bytes) -> None:
        """Say ``answer`` and wait for the client to take it: to close on one that still sends would destroy it."""
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(self._limits.linger_s):
                await self.send(answer)
                self.sock.shutdown(socket.SHUT_WR)
                while True:
                    await self.receive()
                    self.buffer.clear()
