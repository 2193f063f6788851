"""The addresses of this machine, without asking any resolver."""

import array
import contextlib
import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

from steering.policy.hosts import Address

_SIOCGIFCONF = 0x8912
_IFREQ_BYTES = 40  # 16 of name, then a sockaddr in a union of 24, on every 64-bit Linux
_MAX_INTERFACES = 1024


def own_addresses() -> frozenset[Address]:
    """Every address of every interface, loopback included; on other systems what the routing table shows."""
    found = {*_ipv4(), *_ipv6(), *_routed(socket.AF_INET, "192.0.2.1"), *_routed(socket.AF_INET6, "2001:db8::1")}
    return frozenset(found | {ip_address("127.0.0.1"), ip_address("::1")})


def _ipv4() -> list[IPv4Address]:
    """The kernel's own list (netdevice(7)): secondary addresses too."""
    try:
        import fcntl
    except ImportError:
        return []
    room = array.array("B", bytes(_IFREQ_BYTES * _MAX_INTERFACES))
    where, length = room.buffer_info()
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        filled = fcntl.ioctl(sock.fileno(), _SIOCGIFCONF, struct.pack("iL", length, where))
        used = struct.unpack("iL", filled)[0]
        return [IPv4Address(room[start + 20 : start + 24].tobytes()) for start in range(0, used, _IFREQ_BYTES)]
    return []


def _ipv6(table: Path = Path("/proc/net/if_inet6")) -> list[IPv6Address]:
    try:
        return [IPv6Address(bytes.fromhex(line.split()[0])) for line in table.read_text("ascii").splitlines()]
    except (OSError, ValueError):
        return []


def _routed(family: int, towards: str) -> list[Address]:
    """The address that a packet to ``towards`` would leave from; connecting a UDP socket sends nothing."""
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.connect((towards, 9))
        return [ip_address(str(sock.getsockname()[0]).partition("%")[0])]
    return []
