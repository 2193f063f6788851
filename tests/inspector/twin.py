"""The inspector's opened side once more, slow and obvious: aiohttp's web.Server in front of its ClientSession.

The same conversation must end the same through both (test_twin); the bench shows what the difference in speed is.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientSession, TCPConnector, web
from aiohttp.abc import AbstractResolver, ResolveResult
from multidict import CIMultiDict

from tests.inspector.origin import TestCa

HOP_BY_HOP = frozenset(
    (
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "alt-svc"),
        *("content-length", "proxy-authenticate", "proxy-authorization", "host", "expect", "date", "server"),
    )
)


class _Early(asyncio.Protocol):
    """Keeps what arrives between the handshake's end and the moment that aiohttp takes the connection."""

    def __init__(self) -> None:
        self.data = b""

    def data_received(self, data: bytes) -> None:
        self.data += data


class _Loopback(AbstractResolver):
    async def resolve(self, host: str, port: int = 0, family: int = 0) -> list[ResolveResult]:
        return [ResolveResult(hostname=host, host="127.0.0.1", port=port, family=2, proto=0, flags=0)]

    async def close(self) -> None: ...


@asynccontextmanager
async def running_twin(ca: TestCa, trust: ssl.SSLContext, origin_port: int) -> AsyncIterator[int]:
    """The twin on a free port; yields it.  Takes CONNECT only, opens everything."""
    connector = TCPConnector(resolver=_Loopback(), ssl=trust, limit=0)
    session = ClientSession(connector=connector, auto_decompress=False)
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []  # one that nobody holds any more closes its connection

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        fields = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP)
        url = f"https://{request.host.partition(':')[0]}:{origin_port}{request.path_qs}"
        body = request.content if request.body_exists else None
        skip = ("Accept", "Accept-Encoding", "User-Agent", "Content-Type")
        async with session.request(
            request.method, url, headers=fields, data=body, allow_redirects=False, skip_auto_headers=skip
        ) as answer:
            kept = CIMultiDict((k, v) for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP)
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=kept)
            response.content_length = answer.content_length
            await response.prepare(request)
            async for data in answer.content.iter_any():
                await response.write(data)
            await response.write_eof()
            return response

    server = web.Server(forward, access_log=None)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        writers.append(writer)
        authority = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        protocol, early = server(), _Early()
        transport = writer.transport
        try:
            secured = await loop.start_tls(
                transport,
                early,
                ca.get(authority.rpartition(":")[0]),
                server_side=True,
            )
        except (OSError, ssl.SSLError):
            transport.abort()
            return
        assert secured is not None
        secured.set_protocol(protocol)
        protocol.connection_made(secured)
        if early.data:
            protocol.data_received(early.data)

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(accept(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    listener = await asyncio.start_server(accepted, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await server.shutdown(1)
        for writer in writers:
            writer.close()
        await session.close()
        await connector.close()
        await listener.wait_closed()
