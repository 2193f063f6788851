"""Tables of connections, constructed by layout: every row is read, and no byte beyond."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.endpoint.identify.identity import Ends
from steering.endpoint.identify.windows_tables import Owner, key_of, merged, read_tcp4, read_tcp6
from tests.endpoint.identify.windows_worlds import row4, row6, table

V4 = Ends(ip_address("127.0.0.1"), 50123, ip_address("127.0.0.1"), 3129)
BACK = Ends(ip_address("127.0.0.1"), 3129, ip_address("127.0.0.1"), 50123)
V6 = Ends(ip_address("::1"), 50124, ip_address("::1"), 3129)


def test_every_connection_has_its_owner() -> None:
    rows = table(row4(V4, 7, connected=99), row4(BACK, 8))
    assert read_tcp4(rows) == {key_of(V4): Owner(7, 99), key_of(BACK): Owner(8, 0)}
    assert read_tcp6(table(row6(V6, 9, connected=5))) == {key_of(V6): Owner(9, 5)}


def test_a_mapped_connection_stands_under_its_ipv4_addresses() -> None:
    assert read_tcp6(table(row6(V4, 9))) == {key_of(V4): Owner(9, 0)}


@pytest.mark.parametrize("state", range(1, 14))
def test_who_owns_what_is_over_is_not_said(state: int) -> None:
    owned = state not in (1, 2, 11, 12)
    assert bool(read_tcp4(table(row4(V4, 7, state)))) is owned
    assert bool(read_tcp6(table(row6(V6, 7, state)))) is owned


def test_process_zero_owns_nothing() -> None:
    assert read_tcp4(table(row4(V4, 0))) == {}


def test_a_connection_of_two_processes_is_shared() -> None:
    assert read_tcp4(table(row4(V4, 7), row4(V4, 7)))[key_of(V4)] == Owner(7, 0)
    assert read_tcp4(table(row4(V4, 7), row4(V4, 8)))[key_of(V4)] == Owner(7, 0, True)
    both = merged(read_tcp4(table(row4(V4, 7))), read_tcp6(table(row6(V4, 8), row6(V6, 8))))
    assert both == {key_of(V4): Owner(7, 0, True), key_of(V6): Owner(8, 0)}


@pytest.mark.parametrize("size", [0, 3, 4, 7, 8, 8 + 159, 8 + 160, 8 + 161, 8 + 319, 8 + 320])
def test_a_table_that_is_cut_has_its_whole_rows(size: int) -> None:
    whole = table(row4(V4, 7), row4(BACK, 8))
    assert len(read_tcp4(whole[:size])) == max(0, size - 8) // 160


def test_a_count_beyond_the_room_reads_no_further() -> None:
    rows = (0xFFFFFFFF).to_bytes(4, "little") + bytes(4) + row4(V4, 7)
    assert read_tcp4(rows) == {key_of(V4): Owner(7, 0)}


@given(st.binary(max_size=1000))
def test_any_bytes_are_read(noise: bytes) -> None:
    read_tcp4(noise)
    read_tcp6(noise)
