"""What a TCP client can make grow, and how far."""

import asyncio
import contextlib
from ipaddress import ip_network

import dns.message
import pytest

from steering_dns import Limits
from steering_dns.tcp import PIECE_BYTES, TcpConnection
from tests.dns.unread import Unread
from tests.dns.world import world
from tests.kit import eventually


def frame(name: str, ident: int = 0) -> bytes:
    query = dns.message.make_query(name, "A", id=ident).to_wire()
    return len(query).to_bytes(2, "big") + query


async def answered(reader: asyncio.StreamReader) -> bool:
    with contextlib.suppress(EOFError, OSError):
        await asyncio.wait_for(reader.readexactly(2), 3)
        return True
    return False


@pytest.mark.parametrize(("open_first", "served"), [(1, True), (2, False), (3, False)])
async def test_connections_of_a_client_are_bounded(open_first: int, served: bool) -> None:
    async with world(limits=Limits(tcp_connections_per_client=2)) as w:
        writers = []
        for _ in range(open_first + 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
            writers.append(writer)
            with contextlib.suppress(OSError):
                writer.write(frame("steered.example"))
            last = await answered(reader)
        assert last is served
        for writer in writers:
            writer.close()


@pytest.mark.parametrize("lie", [b"", b"\0", b"\xff\xff" + b"x" * 100, frame("steered.example")[:-1]])
async def test_the_idle_are_closed(lie: bytes) -> None:
    async with world(limits=Limits(tcp_idle_s=0.2)) as w:
        reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
        writer.write(lie)
        assert await answered(reader) is False
        writer.close()


@pytest.mark.parametrize("nonsense", [b"\0\0", b"\0\1x", b"\0\x0c\0\0\x80" + b"\0" * 9])
async def test_what_is_no_question_ends_the_connection(nonsense: bytes) -> None:
    async with world() as w:
        reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
        writer.write(nonsense)
        assert await answered(reader) is False
        writer.close()


async def test_more_questions_than_may_wait_are_answered_in_turn() -> None:
    async with world(limits=Limits(tcp_questions=2)) as w:
        reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
        writer.write(b"".join(frame("pinned.example" if i % 2 else f"n{i}.pinned.example", i) for i in range(9)))
        writer.write_eof()
        seen = set()
        for _ in range(9):
            length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 5), "big")
            seen.add(dns.message.from_wire(await reader.readexactly(length)).id)
        assert seen == set(range(9))
        assert await reader.read() == b""
        writer.close()


async def test_who_asks_and_does_not_read_is_not_answered_further() -> None:
    async with world() as w:
        query = dns.message.make_query("huge.pinned.example", "TXT", id=0).to_wire()
        question = len(query).to_bytes(2, "big") + query
        transport = Unread(TcpConnection(w.server, Limits(), 10))
        transport.protocol.data_received(question)
        await eventually(lambda: len(transport.written) > 0)
        size = len(transport.written)
        transport.protocol.data_received(question * 500)
        assert size < len(transport.written) < Unread.HIGH_BYTES + 2 * PIECE_BYTES
        assert transport.protocol.eof_received(), "what was asked before the end is still answered"
        await transport.read_until(lambda: transport.closed)
        assert len(transport.written) == 501 * size
        transport.protocol.connection_lost(None)


async def test_drain_answers_those_who_wait() -> None:
    async with world() as w:
        w.upstream.chaos.delay_s = 0.3
        asking = asyncio.create_task(w.answer("pinned.example"))
        await eventually(lambda: ("pinned.example.", "A") in w.upstream.asked)
        await w.server.drain(5)
        assert await asking == ("NOERROR", ["A 203.0.113.10"])


@pytest.mark.parametrize(("open_first", "served"), [(1, True), (2, False), (3, False)])
async def test_strangers_are_refused_in_few_connections_that_are_nobody_elses(open_first: int, served: bool) -> None:
    limits = Limits(tcp_strangers=2, tcp_connections=1)
    async with world(allowed=(ip_network("127.0.0.1"),), limits=limits) as w:
        writers = []
        for _ in range(open_first):
            _, writer = await asyncio.open_connection("127.0.0.1", w.port, local_addr=("127.0.0.9", 0))
            writers.append(writer)
        await eventually(lambda: w.server.counters()["tcp:connections"] == min(open_first, 2))
        try:
            found = await w.answer("steered.example", tcp=True, source="127.0.0.9")
        except (EOFError, OSError):
            found = ("", [])
        assert found == (("REFUSED", []) if served else ("", []))
        assert await w.answer("steered.example", tcp=True) == ("NOERROR", ["A 192.0.2.1"])
        for writer in writers:
            writer.close()
