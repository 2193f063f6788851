"""A C structure as bytes: where its members lie.

Pure.  The operating system's structures are read by these tables, and tests/test_layouts.py holds every offset and
size in them to the platform's own headers.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """name: the type in C, ``struct`` included.  headers: what declares it.  size: in bytes.

    members: the member in C, nested ones with dots -> its offset and its ``struct`` format.
    """

    name: str
    headers: tuple[str, ...]
    size: int
    members: Mapping[str, tuple[int, str]]

    def number(self, member: str, record: bytes, at: int = 0) -> int:
        """Raises struct.error where the record is too short, KeyError for a member that is not in the table."""
        offset, form = self.members[member]
        return int(struct.unpack_from("<" + form, record, at + offset)[0])

    def octets(self, member: str, record: bytes, at: int = 0) -> bytes:
        """The bytes of a member; fewer than it has where the record is too short."""
        offset, form = self.members[member]
        return record[at + offset : at + offset + struct.calcsize("<" + form)]

    def build(self, values: Mapping[str, int | bytes]) -> bytes:
        """A record that holds ``values`` and zeros: what tests construct."""
        record = bytearray(self.size)
        for member, value in values.items():
            offset, form = self.members[member]
            struct.pack_into("<" + form, record, offset, value)
        return bytes(record)
