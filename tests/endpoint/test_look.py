"""What is seen of a process or a port: the kernel's table read right, and real connections with their owners."""

import os
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address

import pytest

from steering.endpoint.identify import open_identifier
from steering.endpoint.identify.identity import Ends, Identifier, Identity
from steering.endpoint.look import Row, Seen, load_table, look, parse_table, shown, sockets_of
from steering.policy import System

HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"

# As a little-endian machine prints them.
TABLES = {
    "IPv4": (
        "   0: 0100007F:0C39 0200000A:01BB 01 00000000:00000000 00:00000000 00000000  1000 0 4711 1 0 20 4 30 10 -1\n",
        [Row(Ends(ip_address("127.0.0.1"), 3129, ip_address("10.0.0.2"), 443), 4711)],
    ),
    "listening": (
        "   0: 0100007F:0C39 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000 0 4711 1 0 20 4 30 10 -1\n",
        [],
    ),
    "IPv6": (
        "   0: 00000000000000000000000001000000:0050 B80D0120000000000000000001000000:1F90 01 00000000:00000000 "
        "00:00000000 00000000     0        0 5 1 0 20 4 30 10 -1\n",
        [Row(Ends(ip_address("::1"), 80, ip_address("2001:db8::1"), 8080), 5)],
    ),
    "IPv4 in IPv6": (
        "   0: 0000000000000000FFFF00000100007F:0050 0000000000000000FFFF00000100007F:0051 01 00000000:00000000 "
        "00:00000000 00000000     0        0 6 1 0 20 4 30 10 -1\n",
        [Row(Ends(ip_address("127.0.0.1"), 80, ip_address("127.0.0.1"), 81), 6)],
    ),
}


@pytest.mark.parametrize("case", TABLES)
def test_the_kernels_table(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.byteorder", "little")
    line, expected = TABLES[case]
    assert list(parse_table(HEAD + line)) == expected


@pytest.fixture
async def identifier() -> AsyncIterator[Identifier]:
    opened = open_identifier()
    yield opened
    opened.close()


@pytest.mark.needs("linux")
async def test_our_own_connection_by_process_and_by_port(identifier: Identifier) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        with socket.create_connection(listener.getsockname()) as client:
            accepted, _ = listener.accept()
            with accepted:
                here, there = client.getsockname(), client.getpeername()
                ends = Ends(ip_address(here[0]), here[1], ip_address(there[0]), there[1])
                by_process = await look(identifier, os.getpid())
                by_port = await look(identifier, here[1])
    mine = [seen for seen in by_process if seen.ends == ends]
    assert [seen.identity.pid for seen in mine] == [os.getpid()]
    assert {seen.ends for seen in by_port} == {ends, Ends(ends.remote, ends.remote_port, ends.local, ends.local_port)}


@pytest.mark.needs("linux")
async def test_what_there_is_nothing_of(identifier: Identifier) -> None:
    assert await look(identifier, 1 << 30) == []
    assert sockets_of(1 << 30) == frozenset()
    assert all(row.inode >= 0 for row in load_table())


def test_as_json() -> None:
    ends = Ends(ip_address("::1"), 80, ip_address("127.0.0.1"), 81)
    identity = Identity(system=System.LINUX, unknown="gone")
    assert Seen(ends, identity, 1.26).as_json() == {
        "local": "[::1]:80",
        "remote": "127.0.0.1:81",
        "pid": None,
        "names": [],
        "path": None,
        "user": None,
        "package": "",
        "root_owned": None,
        "sha256": None,
        "signer": None,
        "method": "none",
        "took_us": 1.3,
        "unknown": "gone",
    }
    assert shown(ip_address("192.0.2.1"), 1) == "192.0.2.1:1"
