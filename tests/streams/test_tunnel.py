"""Both ways of a tunnel: every byte, half-closed, backed up, cut, and no descriptor left behind."""

import asyncio
import gc
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from steering.streams import tunnel
from steering.streams.tunnel import SPLICE_AFTER, Pair
from tests.kit import eventually

MIB = 1024 * 1024


def test_it_can_be_imported_where_there_is_no_fcntl() -> None:
    """As on Windows."""
    code = "import sys; sys.modules['fcntl'] = None; import steering.streams.tunnel"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


class Tunnel:
    """A pair between two sockets of a test's own.  ends: what it said at its end."""

    def __init__(self, first: bytes = b"") -> None:
        self.client, inside = socket.socketpair()
        self.origin, outside = socket.socketpair()
        for sock in (self.client, inside, self.origin, outside):
            sock.setblocking(False)
        self.ends: list[OSError | None] = []
        self.pair = Pair(asyncio.get_running_loop(), inside, outside, self.ends.append)
        self.pair.start(first)

    async def pass_on(self, source: socket.socket, sink: socket.socket, data: bytes) -> bytes:
        """Send from one side, end that side, and read to the end on the other."""
        loop = asyncio.get_running_loop()

        async def send() -> None:
            await loop.sock_sendall(source, data)
            source.shutdown(socket.SHUT_WR)

        sending, got = loop.create_task(send()), bytearray()
        async with asyncio.timeout(20):
            while piece := await loop.sock_recv(sink, 262_144):
                got += piece
            await sending
        return bytes(got)

    def close(self) -> None:
        self.pair.close()
        self.client.close()
        self.origin.close()


@pytest.mark.parametrize("size", [0, 1, SPLICE_AFTER - 1, SPLICE_AFTER, SPLICE_AFTER + 1, 5 * MIB])
@pytest.mark.parametrize("downwards", [False, True])
async def test_every_byte_passes_in_its_order(size: int, downwards: bool) -> None:
    data = (b"%07d\n" * (size // 8 + 1)) % tuple(range(size // 8 + 1))
    there = Tunnel()
    source, sink = (there.origin, there.client) if downwards else (there.client, there.origin)
    assert await there.pass_on(source, sink, data[:size]) == data[:size]
    way = there.pair.down if downwards else there.pair.up
    assert (way.carried, there.pair.carried) == (size, size)
    there.close()


async def test_what_was_read_before_goes_first() -> None:
    there = Tunnel(b"hello, ")
    assert await there.pass_on(there.client, there.origin, b"there") == b"hello, there"
    assert there.pair.up.carried == 12
    there.close()


async def test_one_side_may_end_long_before_the_other() -> None:
    there = Tunnel()
    assert await there.pass_on(there.client, there.origin, b"question") == b"question"
    assert there.ends == []
    assert await there.pass_on(there.origin, there.client, b"answer" * 100_000) == b"answer" * 100_000
    assert there.ends == [None] and there.pair.closed
    there.close()


async def test_both_ways_at_once() -> None:
    there, data = Tunnel(), bytes(range(256)) * 8192
    up, down = await asyncio.gather(
        there.pass_on(there.client, there.origin, data), there.pass_on(there.origin, there.client, data)
    )
    assert (up == data, down == data, there.ends) == (True, True, [None])
    there.close()


async def test_a_sink_that_does_not_read_holds_the_source_back() -> None:
    """What is under way is bounded by a pipe, a read and the kernel's buffers."""
    there, sent = Tunnel(), 0
    stalled = 0
    while stalled < 20:
        try:
            sent += there.client.send(bytes(65536))
            stalled = 0
        except BlockingIOError:
            stalled += 1
        await asyncio.sleep(0)
    assert there.pair.up.carried <= sent < 4 * MIB
    got = 0
    there.client.shutdown(socket.SHUT_WR)
    loop = asyncio.get_running_loop()
    while piece := await loop.sock_recv(there.origin, 262_144):
        got += len(piece)
    assert got == sent
    there.close()


async def test_without_descriptors_for_pipes_it_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(flags: int) -> tuple[int, int]:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(os, "pipe2", none_left)
    there, data = Tunnel(), bytes(range(256)) * 8192
    assert await there.pass_on(there.client, there.origin, data) == data
    there.close()


async def test_where_there_is_no_splice_it_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tunnel, "_CAN_SPLICE", False)
    there, data = Tunnel(), bytes(range(256)) * 8192
    assert await there.pass_on(there.client, there.origin, data) == data
    there.close()


async def test_a_reset_ends_both_ways_once() -> None:
    loop, ends = asyncio.get_running_loop(), list[OSError | None]()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        inside, _ = listener.accept()
    origin, outside = socket.socketpair()
    for sock in (inside, origin, outside):
        sock.setblocking(False)
    pair = Pair(loop, inside, outside, ends.append)
    pair.start(b"")
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    client.close()
    await eventually(lambda: bool(ends))
    assert [type(end) for end in ends] == [ConnectionResetError]
    assert await loop.sock_recv(origin, 10) == b""
    pair.close()
    origin.close()


async def test_no_descriptor_is_left_behind() -> None:
    def count() -> int:
        return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))

    Tunnel().close()  # with this the loop has what it needs
    gc.collect()
    before = count()
    for _ in range(10):
        there = Tunnel()
        await there.pass_on(there.client, there.origin, bytes(2 * SPLICE_AFTER))
        there.close()
    assert count() == before
