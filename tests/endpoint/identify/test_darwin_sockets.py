"""libproc's answers, constructed by layout: every shape is read, and no byte beyond."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.endpoint.identify.darwin_layouts import INI_IPV6, PROC_FDINFO
from steering.endpoint.identify.darwin_sockets import (
    Held,
    Process,
    key_of,
    read_pids,
    read_process,
    read_socket,
    read_sockets,
)
from steering.endpoint.identify.identity import Ends
from tests.endpoint.identify.darwin_worlds import Constructed, ConstructedDarwin, socket_info

V4 = Ends(ip_address("127.0.0.1"), 50123, ip_address("127.0.0.1"), 3129)
V6 = Ends(ip_address("::1"), 1, ip_address("2001:db8::7"), 65535)


@pytest.mark.parametrize("cloexec", [True, False])
@pytest.mark.parametrize(
    ("info", "ends"), [({}, V4), ({"flags": INI_IPV6}, V4), ({}, V6)], ids=["IPv4", "IPv4-mapped", "IPv6"]
)
def test_a_connection_has_its_ends(info: dict[str, int], ends: Ends, cloexec: bool) -> None:
    assert read_socket(socket_info(ends, cloexec=cloexec, flags=info.get("flags"))) == Held(key_of(ends), cloexec)


@pytest.mark.parametrize("state", range(12))
def test_what_has_no_peer_is_no_connection(state: int) -> None:
    assert (read_socket(socket_info(V4, state=state)) is not None) is (state not in (0, 1, 10))


@pytest.mark.parametrize("kind", range(8))
def test_only_tcp_counts(kind: int) -> None:
    assert (read_socket(socket_info(V4, kind=kind)) is not None) is (kind == 2)


@pytest.mark.parametrize(("size", "is_read"), [(0, False), (384, False), (791, False), (792, True), (808, True)])
def test_a_record_that_is_cut_says_nothing(size: int, is_read: bool) -> None:
    assert (read_socket((socket_info(V4) + bytes(16))[:size]) is not None) is is_read


def test_sockets_are_read_the_newest_first() -> None:
    rows = b"".join(PROC_FDINFO.build({"proc_fd": i, "proc_fdtype": kind}) for i, kind in enumerate((1, 2, 5, 2, 6)))
    assert list(read_sockets(rows)) == [3, 1]
    assert list(read_sockets(rows[:-9])) == [1]
    assert list(read_sockets(b"")) == []


def test_processes_are_read_the_highest_first() -> None:
    numbers = b"".join(n.to_bytes(4, "little", signed=True) for n in (0, 7, 300, 7, -1, 0))
    assert read_pids(numbers + b"\x01") == [300, 7]


def test_a_process_is_read() -> None:
    system = ConstructedDarwin(processes={9: Constructed(path="/x", parent=3, uid=502, started=(4, 5))})
    record = system.process(9)
    assert read_process(record) == Process(9, 3, 502, (4, 5))
    assert read_process(record[:135]) is None


@given(st.binary(max_size=900))
def test_any_bytes_are_read(noise: bytes) -> None:
    read_socket(noise)
    read_process(noise)
    read_pids(noise)
    list(read_sockets(noise))
