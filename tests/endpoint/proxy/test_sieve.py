"""A crossing for one request: what passes, and that it ends when the answer has."""

import asyncio
from contextlib import suppress
from socket import socket, socketpair

import pytest

from steering.endpoint.proxy.body import body_of
from steering.endpoint.proxy.connection import UNOWNED
from steering.endpoint.proxy.onerequest import OneRequest
from steering.endpoint.proxy.sieve import cross_one
from steering.streams.crossing import Crossing
from steering.streams.link import Link
from tests.endpoint.proxy.rig import limits

ANSWER = b"HTTP/1.0 200 OK\r\n\r\nhi"


async def crossed(length: int | None, first: bytes) -> tuple[socket, socket, "asyncio.Future[Exception | None]"]:
    """A client, an origin, and the end of what crosses between them."""
    loop = asyncio.get_running_loop()
    (client, ours), (theirs, origin) = socketpair(), socketpair()
    for sock in (client, ours, theirs, origin):
        sock.setblocking(False)
    ended: asyncio.Future[Exception | None] = loop.create_future()
    to_client, to_origin = (Link(sock, loop, limits(), UNOWNED) for sock in (ours, theirs))
    crossing = Crossing(loop, to_client, to_origin, ended.set_result)
    cross_one(crossing, to_client, to_origin, OneRequest(body_of(length), upgrade=False), first)
    return client, origin, ended


async def test_it_ends_with_the_answer_though_the_client_stays() -> None:
    loop = asyncio.get_running_loop()
    client, origin, ended = await crossed(3, b"abcGET /")
    with client, origin:
        assert await loop.sock_recv(origin, 100) == b"abc"
        await loop.sock_sendall(client, b"more")
        await loop.sock_sendall(origin, ANSWER)
        origin.close()
        async with asyncio.timeout(10):
            assert await ended is None
        assert await loop.sock_recv(client, 100) == b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\nhi"
        with suppress(ConnectionResetError):
            assert await loop.sock_recv(client, 100) == b""


async def test_a_body_that_cannot_be_read_ends_it() -> None:
    client, origin, ended = await crossed(None, b"")
    with client, origin:
        await asyncio.get_running_loop().sock_sendall(client, b"zz\r\n")
        async with asyncio.timeout(10):
            assert "chunk" in str(await ended)


@pytest.mark.parametrize("first", [b"", b"GET / HTTP/1.1\r\n\r\n"])
async def test_a_client_that_ends_is_passed_on(first: bytes) -> None:
    loop = asyncio.get_running_loop()
    client, origin, ended = await crossed(0, first)
    with origin:
        client.close()
        assert await loop.sock_recv(origin, 100) == b""
        origin.close()
        async with asyncio.timeout(10):
            await ended
