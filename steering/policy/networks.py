"""Which entries of a list of networks hold an address: one dictionary look-up per prefix length in use."""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
from typing import Generic, TypeVar

from steering.policy.hosts import Address

T = TypeVar("T")


class NetworkMap(Generic[T]):
    """An immutable multi-map from networks to values."""

    __slots__ = ("_tables",)

    def __init__(self, entries: Iterable[tuple[IPv4Network | IPv6Network, T]]) -> None:
        tables: dict[tuple[int, int], dict[int, list[T]]] = {}
        for network, value in entries:
            shift = network.max_prefixlen - network.prefixlen
            table = tables.setdefault((network.version, shift), {})
            table.setdefault(int(network.network_address) >> shift, []).append(value)
        self._tables = tuple((version, shift, table) for (version, shift), table in sorted(tables.items()))

    def __bool__(self) -> bool:
        return bool(self._tables)

    def holding(self, address: Address) -> list[T]:
        """The values of every network that holds ``address``; an IPv4-mapped one is the IPv4 address it carries."""
        bare = getattr(address, "ipv4_mapped", None) or address
        number, version = int(bare), bare.version
        found: list[T] = []
        for table_version, shift, table in self._tables:
            if table_version == version:
                found += table.get(number >> shift, ())
        return found
