"""Both ends of an accepted connection as its client has them, also of one that was redirected here (netfilter)."""

import socket
import struct
from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address

from steering.endpoint.identify.identity import Ends
from steering.policy.hosts import Address

_SO_ORIGINAL_DST = 80  # linux/netfilter_ipv4.h; the same number at IPv6's level


def ends_of(sock: socket.socket) -> Ends:
    """Raises OSError for a connection that is gone already."""
    peer, own = sock.getpeername(), sock.getsockname()
    return Ends(_bare(peer[0]), int(peer[1]), _bare(own[0]), int(own[1]))


def original_ends(sock: socket.socket) -> Ends:
    """As ``ends_of``, with where the client wanted to connect to before the redirect.  Raises OSError."""
    peer = sock.getpeername()
    local = _bare(peer[0])
    if local.version == 4:
        found = sock.getsockopt(socket.SOL_IP, _SO_ORIGINAL_DST, 16)
        port, packed = struct.unpack_from(">2xH4s", found)
        return Ends(local, int(peer[1]), IPv4Address(packed), port)
    found = sock.getsockopt(socket.IPPROTO_IPV6, _SO_ORIGINAL_DST, 28)
    port, packed = struct.unpack_from(">2xH4x16s", found)
    return Ends(local, int(peer[1]), IPv6Address(packed), port)


@lru_cache(maxsize=1024)
def _bare(text: str) -> Address:
    """Kept: reading it takes 3 us, and nearly every client is the same address."""
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
