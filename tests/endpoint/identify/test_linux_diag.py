"""The socket at the other end, asked of the kernel and read from its bytes."""

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.endpoint.identify.identity import Ends
from steering.endpoint.identify.linux_diag import SockDiag, Socket, is_older, read_answer
from steering.endpoint.identify.selftest import KINDS
from tests.endpoint.identify.programs import Listener
from tests.kit import wait_until

SO_COOKIE = 57
pytestmark = pytest.mark.needs("linux")


@pytest.fixture
def diag() -> Iterator[SockDiag]:
    diag = SockDiag()
    yield diag
    diag.close()


def connect(kind: str, port: int) -> socket.socket:
    client = socket.socket(KINDS[kind][2])
    client.connect((KINDS[kind][1], port))
    return client


@pytest.mark.parametrize("kind", KINDS)
def test_the_clients_socket_is_found(diag: SockDiag, listener: Listener, kind: str) -> None:
    with connect(kind, listener.port) as client, listener.accept(kind) as accepted:
        found = diag.find(accepted.ends)
        cookie = struct.unpack("=Q", client.getsockopt(socket.SOL_SOCKET, SO_COOKIE, 8))[0]
        assert found is not None
        assert found[:3] == (os.fstat(client.fileno()).st_ino, os.getuid(), cookie)


def test_of_both_ends_the_client_is_meant(diag: SockDiag, listener: Listener) -> None:
    with connect("IPv4", listener.port) as client, listener.accept() as accepted:
        ends = accepted.ends
        turned = diag.find(Ends(ends.remote, ends.remote_port, ends.local, ends.local_port))
        straight = diag.find(ends)
        assert straight is not None
        assert straight.inode == os.fstat(client.fileno()).st_ino
        assert turned is not None
        assert turned.inode == os.fstat(accepted.sock.fileno()).st_ino


@pytest.mark.parametrize("change", ["local_port", "remote_port", "local", "remote"])
def test_any_other_ends_are_nobodys(diag: SockDiag, listener: Listener, change: str) -> None:
    with connect("IPv4", listener.port), listener.accept() as accepted:
        ends = accepted.ends
        given = {field: getattr(ends, field) for field in ("local", "local_port", "remote", "remote_port")}
        given[change] = given[change] ^ 1 if "port" in change else ip_address("127.0.0.2")
        assert diag.find(Ends(**given)) is None


def test_a_socket_that_is_gone_is_nobodys(diag: SockDiag, listener: Listener) -> None:
    client = connect("IPv4", listener.port)
    with listener.accept() as accepted:
        client.close()
        assert diag.find(accepted.ends) is None  # it still waits for our end to be closed, without an owner
    wait_until(lambda: diag.find(accepted.ends) is None)


def test_who_listens_where_the_client_was_is_not_the_client(diag: SockDiag, listener: Listener) -> None:
    with left_and_taken(listener) as ends:
        assert diag.find(ends) is None


@contextmanager
def left_and_taken(listener: Listener) -> Iterator[Ends]:
    """A client that is gone, and a listener at the port that it had; on a busy machine another may be quicker."""
    for _ in range(50):
        client = connect("IPv4", listener.port)
        with listener.accept() as accepted:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("=ii", 1, 0))
            client.close()
            try:
                taken = socket.create_server(("127.0.0.1", accepted.ends.local_port))
            except OSError:
                continue
            with taken:
                yield accepted.ends
            return
    raise AssertionError("no port could be taken")


def test_an_answer_left_behind_does_not_stand_for_the_next(diag: SockDiag, listener: Listener) -> None:
    with connect("IPv4", listener.port) as client, listener.accept() as accepted:
        kernel = diag._socket
        kernel.send(struct.pack("=IHHII", 16, 99, 1, 4242, 0))  # a question that is answered by an error
        found = diag.find(accepted.ends)
        assert found is not None
        assert found.inode == os.fstat(client.fileno()).st_ino


def test_a_closed_diag_knows_nothing(listener: Listener) -> None:
    diag = SockDiag()
    with connect("IPv4", listener.port), listener.accept() as accepted:
        diag.close()
        assert diag.find(accepted.ends) is None


IDENTITY = struct.pack(">HH", 4000, 3129) + b"\x7f\0\0\1".ljust(16, b"\0") + b"\x7f\0\0\1".ljust(16, b"\0")
MAPPED = struct.pack(">HH", 4000, 3129) + (bytes(10) + b"\xff\xff\x7f\0\0\1") * 2


def answer(
    *, kind: int = 20, sequence: int = 9, identity: bytes = IDENTITY, state: int = 1, inode: int = 77, more: bytes = b""
) -> bytes:
    body = struct.pack("=BBBB", socket.AF_INET, state, 0, 0) + identity + bytes(4) + struct.pack("=II", 5, 6)
    body += struct.pack("=IIIII", 0, 0, 0, 1000, inode) + more
    return struct.pack("=IHHII", 16 + len(body), kind, 0, sequence, 1) + body


GROUP = struct.pack("=HHI", 8, 17, 3) + struct.pack("=HHQ", 12, 21, 4321)
FOUND = Socket(77, 1000, 6 << 32 | 5)


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (answer(), FOUND),
        (answer(more=GROUP), FOUND._replace(attributes=GROUP)),
        (answer(more=GROUP) + b"more than it says", FOUND._replace(attributes=GROUP)),
        (answer(identity=MAPPED), FOUND),
        (answer(identity=IDENTITY[:3] + b"\0" + IDENTITY[4:]), None),
        (answer(identity=IDENTITY[:7] + b"\2" + IDENTITY[8:]), None),
        (answer(identity=IDENTITY[:23] + b"\2" + IDENTITY[24:]), None),
        (answer(kind=2), None),
        (answer(sequence=8), None),
        (answer(state=6), None),  # TIME_WAIT
        (answer(inode=0), None),  # orphaned
        (answer()[:-1], None),
        (b"", None),
    ],
)
def test_read_answer(message: bytes, expected: Socket | None) -> None:
    assert read_answer(message, IDENTITY, 9) == expected


@pytest.mark.parametrize(
    ("attributes", "cgroup"), [(b"", 0), (GROUP, 4321), (GROUP[:-1], 0), (GROUP[:8], 0), (b"\0\0\0\0", 0)]
)
def test_cgroup(attributes: bytes, cgroup: int) -> None:
    assert FOUND._replace(attributes=attributes).cgroup == cgroup


@given(st.binary(max_size=200))
def test_no_bytes_make_it_fail(message: bytes) -> None:
    read_answer(message, IDENTITY, 9)
    found = read_answer(answer(more=message), IDENTITY, 9)
    assert found is not None
    assert found.cgroup >= 0


@pytest.mark.parametrize(("message", "older"), [(answer(), False), (answer(sequence=8), True), (b"", False)])
def test_is_older(message: bytes, older: bool) -> None:
    assert is_older(message, 9) is older
