"""What a local program says first, however it comes."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from socket import SHUT_WR, socket, socketpair

import pytest

from steering.endpoint.proxy.client import Client, ClientGone, Inside
from steering.endpoint.proxy.request import RequestError
from steering.policy import parse_host
from tests.endpoint.proxy.rig import limits

REQUEST = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


def hello(sni: str) -> bytes:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    tls = context.wrap_bio(incoming, outgoing, server_hostname=sni or None)
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return outgoing.read()


@asynccontextmanager
async def client(**changed: object) -> AsyncIterator[tuple[Client, socket]]:
    ours, theirs = socketpair()
    with ours, theirs:
        ours.setblocking(False)
        yield Client(ours, asyncio.get_running_loop(), limits(**changed)), theirs


HELLO = hello("www.example")


@pytest.mark.parametrize(
    ("sent", "inside", "left"),
    [
        (HELLO + b"more", Inside(sni=parse_host("www.example")), HELLO + b"more"),
        (hello(""), Inside(), None),
        (b"", Inside(), b""),
        (b"\x00", Inside(), b"\x00"),
        (b"GET", Inside(), b"GET"),
        (b"GE /a", Inside(), b"GE /a"),
        (b"SSH-2.0", Inside(), b"SSH-2.0"),
        (b"EHLO a", Inside(), b"EHLO a"),
        (HELLO[:50], Inside(), HELLO[:50]),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", Inside(), None),
        (REQUEST + b"body", Inside(head=REQUEST), b"body"),
        (b"OPTIONS /a HTTP/1.1\r\n\r\n", Inside(head=b"OPTIONS /a HTTP/1.1\r\n\r\n"), b""),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
async def test_what_stands_first_in_a_tunnel(sent: bytes, inside: Inside, left: bytes | None, size: int) -> None:
    async with client(read_bytes=size) as (found, theirs):
        theirs.sendall(sent)
        theirs.shutdown(SHUT_WR)
        assert await found.peek() == inside
        await _to_the_end(found)
        assert left is None or bytes(found.buffer) == left


async def _to_the_end(found: Client) -> None:
    try:
        while True:
            await found.receive()
    except ClientGone:
        pass


async def test_silence_is_waited_for_no_longer_than_allowed() -> None:
    async with client(hello_s=0.05) as (found, _):
        assert await found.peek() == Inside()
        assert not found.spoke


@pytest.mark.parametrize(("over", "known"), [(-1, False), (0, True), (1, True)])
async def test_the_size_of_a_hello(over: int, known: bool) -> None:
    async with client(max_hello_bytes=len(HELLO) + over, read_bytes=1, hello_s=5.0) as (found, theirs):
        theirs.sendall(HELLO)
        assert (await found.peek() != Inside()) == known


@pytest.mark.parametrize(("over", "fits"), [(-1, False), (0, True), (1, True)])
@pytest.mark.parametrize("size", [1, 1000])
async def test_the_size_of_a_head(over: int, fits: bool, size: int) -> None:
    async with client(max_head_bytes=len(REQUEST) + over, read_bytes=size) as (found, theirs):
        theirs.sendall(REQUEST)
        if fits:
            assert await found.head() == REQUEST
        else:
            with pytest.raises(RequestError) as caught:
                await found.head()
            assert caught.value.status == 431


async def test_plain_http_inside_that_does_not_end() -> None:
    async with client(head_s=0.05) as (found, theirs):
        theirs.sendall(REQUEST[:-1])
        with pytest.raises(RequestError) as caught:
            await found.peek()
        assert caught.value.status == 408


async def test_who_is_let_go_has_its_answer_though_it_still_sends() -> None:
    async with client(linger_s=5.0) as (found, theirs):
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        going = loop.create_task(found.let_go(b"no"))
        assert await loop.sock_recv(theirs, 10) == b"no"
        assert await loop.sock_recv(theirs, 10) == b""
        await loop.sock_sendall(theirs, bytes(100_000))
        theirs.shutdown(SHUT_WR)
        await going


async def test_who_does_not_take_its_answer_is_not_waited_for() -> None:
    async with client(linger_s=0.05) as (found, _):
        await found.let_go(bytes(10 << 20))


async def test_a_client_that_has_gone() -> None:
    async with client() as (found, theirs):
        theirs.close()
        with pytest.raises(ClientGone):
            await found.receive()
        with pytest.raises(ClientGone):
            await found.send(b"x" * (1 << 20))
