"""Datagrams by the dozen, against Python's own sockets."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering_dns.batches import SLOTS, SUPPORTED, Batch
from steering_dns.datagrams import datagrams_of

pytestmark = pytest.mark.needs("linux")
LOOPBACK = {"127.0.0.1": "127.0.0.1", "0.0.0.0": "127.0.0.77", "::1": "::1", "::": "::1"}


@contextmanager
def pair(listen: str) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A server's socket, and a client's that is connected to it."""
    family = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as server, socket.socket(family, socket.SOCK_DGRAM) as client:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        server.bind((listen, 0))
        server.setblocking(False)
        datagrams_of(server)  # has the local address told on a wildcard
        client.connect((LOOPBACK[listen], server.getsockname()[1]))
        client.settimeout(5)
        yield server, client


def test_this_platform_has_them() -> None:
    assert SUPPORTED


@pytest.mark.parametrize("listen", LOOPBACK)
@pytest.mark.parametrize("count", [0, 1, 2, SLOTS - 1, SLOTS, SLOTS + 1])
def test_answers_go_back_where_the_questions_came_from(listen: str, count: int) -> None:
    with pair(listen) as (server, client):
        batch = Batch(server)
        asked = [i.to_bytes(2, "big") + b"question" * i for i in range(count)]
        for packet in asked:
            client.send(packet)
        answered: list[bytes] = []
        while (found := batch.receive())[0]:
            questions, peers = found
            assert len(set(peers)) == 1
            assert [batch.ident(slot) + q for slot, q in enumerate(questions)] == asked[len(answered) :][:SLOTS]
            answered += questions
            assert batch.send([b"answer to " + q for q in questions]) == 0
        assert [client.recv(4096) for _ in asked] == [packet[:2] + b"answer to " + packet[2:] for packet in asked]


@given(st.lists(st.one_of(st.none(), st.binary(min_size=1, max_size=1230)), min_size=1, max_size=SLOTS))
@settings(max_examples=40)
def test_each_answer_goes_to_its_own_question(answers: list[bytes | None]) -> None:
    with pair("127.0.0.1") as (server, client):
        batch = Batch(server)
        for i in range(len(answers)):
            client.send(i.to_bytes(2, "big") + b"q")
        assert batch.receive()[0] == [b"q"] * len(answers)
        assert batch.send(answers) == 0
        expected = [i.to_bytes(2, "big") + answer for i, answer in enumerate(answers) if answer is not None]
        assert [client.recv(4096) for _ in expected] == expected


@pytest.mark.parametrize("listen", LOOPBACK)
def test_a_later_answer_finds_its_way_too(listen: str) -> None:
    with pair(listen) as (server, client):
        batch = Batch(server)
        client.send(b"idquestion")
        questions, _ = batch.receive()
        assert questions == [b"question"]
        where = batch.client(0)
        assert where[:2] == client.getsockname()[:2]
        batch.send([None])
        datagrams_of(server).sendto(b"later", where)
        assert client.recv(100) == b"later"


def test_peers_are_told_apart_by_address_alone() -> None:
    with pair("0.0.0.0") as (server, client), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.5", 0))
        batch = Batch(server)
        for each in (client, other, client):
            each.sendto(b"idq", ("127.0.0.77", server.getsockname()[1])) if each is other else each.send(b"idq")
        _, (first, second, third) = batch.receive()
        assert first == third != second
        assert [batch.client(slot)[0] for slot in range(3)] == ["127.0.0.1", "127.0.0.5", "127.0.0.1"]


def test_what_is_too_short_or_too_long() -> None:
    with pair("127.0.0.1") as (server, client):
        batch = Batch(server)
        sizes = [0, 1, 2, 3, 4095, 4096, 4097, 9000]
        for size in sizes:
            client.send(b"x" * size)
        assert [len(q) for q in batch.receive()[0]] == [0, 0, 0, 1, 4093, 4094, 4094, 4094]


def test_who_cannot_be_answered_keeps_nothing_from_the_others() -> None:
    """A client at port 0 is one that no answer reaches; the kernel refuses it."""
    with pair("127.0.0.1") as (server, client):
        batch = Batch(server)
        for i in range(3):
            client.send(bytes((0, i)) + b"q")
        batch.receive()
        batch.names.bytes[18:20] = b"\0\0"
        assert batch.send([b"a", b"b", b"c"]) == 1
        assert [client.recv(100) for _ in range(2)] == [b"\0\0a", b"\0\2c"]
