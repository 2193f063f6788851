"""Which process owns which TCP connection, from the bytes of Windows' tables.

Pure.  A process is told by number and by the time at which the connection was made, so that a number that was given
away again is noticed.
"""

from collections.abc import Mapping
from struct import Struct
from typing import NamedTuple

from steering.endpoint.identify import windows_layouts as layouts
from steering.endpoint.identify.identity import Ends

Key = tuple[bytes, bytes]  # local and remote address, each with its port behind it

# The rows as ``windows_layouts`` has them, at once: state, local, remote, process, time.
_ROW4 = Struct("<I6s2x6s2xIq128x")
_ROW6 = Struct("<16s4x2s2x16s4x2s2xIIq128x")
_MAPPED = b"\0" * 10 + b"\xff\xff"
# A listener has no peer; who owned what is over, Windows no longer says.
_WITHOUT_OWNER = frozenset(
    {
        layouts.MIB_TCP_STATE_CLOSED,
        layouts.MIB_TCP_STATE_LISTEN,
        layouts.MIB_TCP_STATE_TIME_WAIT,
        layouts.MIB_TCP_STATE_DELETE_TCB,
    }
)


class Owner(NamedTuple):
    """connected: when, as a FILETIME; 0 where the table does not say.  shared: other processes are named as well."""

    pid: int
    connected: int
    shared: bool = False


def key_of(ends: Ends) -> Key:
    return (
        ends.local.packed + ends.local_port.to_bytes(2, "big"),
        ends.remote.packed + ends.remote_port.to_bytes(2, "big"),
    )


def read_tcp4(table: bytes) -> dict[Key, Owner]:
    """Connection -> owner.  Rows that the table says it has and has not are not there."""
    owners: dict[Key, Owner] = {}
    for state, local, remote, pid, connected in _ROW4.iter_unpack(_rows(table, _ROW4.size)):
        _add(owners, state, (local, remote), pid, connected)
    return owners


def read_tcp6(table: bytes) -> dict[Key, Owner]:
    """As ``read_tcp4``; IPv4-mapped connections under their IPv4 addresses."""
    owners: dict[Key, Owner] = {}
    for local, local_port, remote, remote_port, state, pid, connected in _ROW6.iter_unpack(_rows(table, _ROW6.size)):
        key = _bare(local) + local_port, _bare(remote) + remote_port
        _add(owners, state, key, pid, connected)
    return owners


def merged(*tables: Mapping[Key, Owner]) -> dict[Key, Owner]:
    """All of them; a connection that two of them give to different processes is shared."""
    owners: dict[Key, Owner] = {}
    for table in tables:
        for key, owner in table.items():
            _put(owners, key, owner)
    return owners


def _rows(table: bytes, size: int) -> bytes:
    if len(table) < 8:
        return b""
    number = min(layouts.TCP4_TABLE.number("dwNumEntries", table), (len(table) - 8) // size)
    return table[8 : 8 + number * size]


def _bare(address: bytes) -> bytes:
    return address[12:] if address.startswith(_MAPPED) else address


def _add(owners: dict[Key, Owner], state: int, key: Key, pid: int, connected: int) -> None:
    if pid and state not in _WITHOUT_OWNER:
        _put(owners, key, Owner(pid, connected))


def _put(owners: dict[Key, Owner], key: Key, owner: Owner) -> None:
    before = owners.get(key)
    if before is None:
        owners[key] = owner
    elif before.pid != owner.pid:
        owners[key] = before._replace(shared=True)
