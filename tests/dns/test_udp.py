"""One socket's datagrams: in batches and one by one, the same is said."""

import asyncio
import socket

import dns.message
import pytest

from steering_dns.batches import SLOTS
from steering_dns.udp import UdpListener
from tests.dns.world import World, policy_of, world
from tests.kit import eventually, free_port_both

NAMES = ("steered.example", "pinned.example", "huge.pinned.example", "bad.pinned.example", "mask.icloud.com", "printer")


async def ask_all(w: World, packets: list[bytes], *, batches: bool, expected: int) -> list[bytes]:
    """The answers of a listener to packets that wait all at once, in the order of their ids."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        sock.bind(("127.0.0.1", free_port_both()))
        client.connect(sock.getsockname())
        client.setblocking(False)
        for packet in packets:
            client.send(packet)
        listener = UdpListener(w.server, sock, batches=batches)
        found: list[bytes] = []
        loop = asyncio.get_running_loop()
        loop.add_reader(client.fileno(), lambda: found.append(client.recv(4096)))
        try:
            await eventually(lambda: len(found) >= expected)
        finally:
            loop.remove_reader(client.fileno())
            listener.close()
        return sorted(found)


@pytest.mark.needs("linux")
async def test_batches_say_what_single_datagrams_do() -> None:
    queries = []
    for i in range(3 * SLOTS):
        query = dns.message.make_query(NAMES[i % len(NAMES)], ("A", "AAAA", "HTTPS", "TXT")[i % 4], use_edns=i % 3 - 1)
        query.id = i
        queries.append(query.to_wire())
    odd = [b"", b"x", b"\xff\xf0" + b"\x80" * 20, b"\xff\xf1" + b"\0" * 10, b"\xff\xf2" + b"\0" * 5000]
    async with world() as w:
        expected = len(queries) + 2  # FORMERR for what has a header
        first = await ask_all(w, queries + odd, batches=True, expected=expected)
        again = await ask_all(w, queries + odd, batches=True, expected=expected)
        each = await ask_all(w, queries + odd, batches=False, expected=expected)
        assert first == again == each
        assert [int.from_bytes(reply[:2], "big") for reply in first] == [*range(len(queries)), 0xFFF1, 0xFFF2]


@pytest.mark.needs("linux")
async def test_each_is_counted_and_logged_however_it_is_answered() -> None:
    async with world(query_log=True) as w:
        query = dns.message.make_query("steered.example", "A", id=7).to_wire()
        for _ in range(2):
            assert len(await ask_all(w, [query] * 5, batches=True, expected=5)) == 5
        assert w.server.counters()["inspector:default"] == 10
        said = {(x.client, x.host, x.effect, x.detail, x.sent, x.received) for x in w.lines}
        assert said == {("127.0.0.1", "steered.example", "inspector", "A", w.lines[0].sent, len(query))}
        assert len(w.lines) == 10


@pytest.mark.needs("linux")
async def test_a_swap_counts_for_what_is_kept() -> None:
    async with world() as w:
        query = dns.message.make_query("steered.example", "A", id=7).to_wire()
        before = await ask_all(w, [query], batches=True, expected=1)
        w.live.swap(policy_of([{"name": "new", "domains": ["steered.example"]}]))
        after = await ask_all(w, [query], batches=True, expected=1)
        answers = [dns.message.from_wire(reply).answer[0][0].to_text() for reply in (*before, *after)]
        assert answers == ["192.0.2.1", "203.0.113.99"]
