"""Answers leave from the address that was asked."""

import asyncio
import socket

import dns.asyncquery
import dns.message
import pytest

from steering_dns.datagrams import WildcardSocket, datagrams_of
from tests.dns.world import world
from tests.kit import eventually, free_port_both


def test_only_a_wildcard_needs_more_than_its_socket() -> None:
    for address, plain in (("127.0.0.1", True), ("0.0.0.0", False)):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((address, 0))
            assert (datagrams_of(sock) is sock) is plain


@pytest.mark.needs("linux")
@pytest.mark.parametrize(
    ("listen", "asked"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.0.0.77"),
        ("::", "::1"),
        ("::", "127.0.0.77"),
    ],
)
@pytest.mark.parametrize("name", ["steered.example", "pinned.example"])
async def test_the_source_of_an_answer_is_where_it_was_asked(listen: str, asked: str, name: str) -> None:
    async with world() as w:
        sock = socket.socket(socket.AF_INET6 if ":" in listen else socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((listen, free_port_both()))
        await w.server.start([sock], [])
        query = dns.message.make_query(name, "A")
        # The client takes an answer from the asked address only.
        response = await dns.asyncquery.udp(query, asked, port=sock.getsockname()[1], timeout=5)
        assert response.rcode() == 0
        w.server.close()
        sock.close()


@pytest.mark.needs("linux")
async def test_what_comes_without_an_address_is_answered_by_the_route() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.setblocking(False)
        wrapped = WildcardSocket(sock)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.connect(sock.getsockname())
            client.send(b"hello")
            client.setblocking(False)
            packet, where = wrapped.recvfrom(100)
            assert (packet, where[:2]) == (b"hello", client.getsockname())
            wrapped.sendto(b"back", (*where[:3], []))
            received: list[bytes] = []
            asyncio.get_running_loop().add_reader(client.fileno(), lambda: received.append(client.recv(100)))
            await eventually(lambda: received == [b"back"])
            asyncio.get_running_loop().remove_reader(client.fileno())
