"""Processes, descriptors and sockets as the bytes that macOS' libproc gives.

Pure.
"""

import struct
from collections.abc import Iterator
from typing import NamedTuple

from steering.endpoint.identify import darwin_layouts as layouts
from steering.endpoint.identify.darwin_layouts import PROC_BSDINFO, PROC_FDINFO, SOCKET_FDINFO
from steering.endpoint.identify.identity import Ends

Key = tuple[bytes, int, bytes, int]

_TCP = "psi.soi_proto.pri_tcp."
_INET = _TCP + "tcpsi_ini."
_MAPPED = b"\0" * 10 + b"\xff\xff"
_WITHOUT_PEER = frozenset({layouts.TSI_S_CLOSED, layouts.TSI_S_LISTEN, layouts.TSI_S_TIME_WAIT})


class Process(NamedTuple):
    """started: seconds and microseconds.  With the number it stands for one process and no later one."""

    pid: int
    parent: int
    uid: int
    started: tuple[int, int]


class Held(NamedTuple):
    """A connection in a process.  close_on_exec: its descriptor cannot have come over an exec."""

    key: Key
    close_on_exec: bool


def key_of(ends: Ends) -> Key:
    return ends.local.packed, ends.local_port, ends.remote.packed, ends.remote_port


def read_pids(found: bytes) -> list[int]:
    """The highest first: mostly the newest.  Unused room is zeros."""
    whole = found[: len(found) // 4 * 4]
    return sorted({pid for (pid,) in struct.iter_unpack("<i", whole) if pid > 0}, reverse=True)


def read_sockets(descriptors: bytes) -> Iterator[int]:
    """The descriptors that are sockets, the newest first."""
    last = len(descriptors) // PROC_FDINFO.size - 1
    for i in range(last, -1, -1):
        at = i * PROC_FDINFO.size
        if PROC_FDINFO.number("proc_fdtype", descriptors, at) == layouts.PROX_FDTYPE_SOCKET:
            yield PROC_FDINFO.number("proc_fd", descriptors, at)


def read_socket(info: bytes) -> Held | None:
    """A TCP connection; None for anything else."""
    if len(info) < SOCKET_FDINFO.size:
        return None
    number = SOCKET_FDINFO.number
    if number("psi.soi_kind", info) != layouts.SOCKINFO_TCP or number(_TCP + "tcpsi_state", info) in _WITHOUT_PEER:
        return None
    is_ipv4 = bool(number(_INET + "insi_vflag", info) & layouts.INI_IPV4)
    key = (
        _address(SOCKET_FDINFO.octets(_INET + "insi_laddr", info), is_ipv4),
        _port(number(_INET + "insi_lport", info)),
        _address(SOCKET_FDINFO.octets(_INET + "insi_faddr", info), is_ipv4),
        _port(number(_INET + "insi_fport", info)),
    )
    return Held(key, bool(number("pfi.fi_status", info) & layouts.PROC_FP_CLEXEC))


def _address(octets: bytes, is_ipv4: bool) -> bytes:
    """IPv4 lies in the last four bytes, and so does an IPv4 address that an IPv6 socket is connected to."""
    return octets[12:] if is_ipv4 or octets.startswith(_MAPPED) else octets


def _port(number: int) -> int:
    """In network order, in the low half of a number of the machine's."""
    return int.from_bytes((number & 0xFFFF).to_bytes(2, "little"), "big")


def read_process(info: bytes) -> Process | None:
    if len(info) < PROC_BSDINFO.size:
        return None
    number = PROC_BSDINFO.number
    return Process(
        number("pbi_pid", info),
        number("pbi_ppid", info),
        number("pbi_uid", info),
        (number("pbi_start_tvsec", info), number("pbi_start_tvusec", info)),
    )
