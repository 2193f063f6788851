"""Questions as packets: what the DNS load program asks."""

import random
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

A, AAAA, HTTPS = 1, 28, 65
_HEAD = struct.pack("!HHHHHH", 0, 0x0100, 1, 0, 0, 0)  # RD
_HEAD_EDNS = struct.pack("!HHHHHH", 0, 0x0100, 1, 0, 0, 1)
_OPT_DO = b"\0" + struct.pack("!HHIH", 41, 1232, 0x8000, 0)  # 1,232 bytes, DNSSEC OK


def query(name: str, qtype: int = A, *, edns: bool = False) -> bytes:
    """A question for an absolute name of ASCII labels; its id is put in by who asks."""
    labels = name.encode("ascii").split(b".")
    question = b"".join(bytes((len(label),)) + label for label in labels) + struct.pack("!BHH", 0, qtype, 1)
    return _HEAD_EDNS + question + _OPT_DO if edns else _HEAD + question


def random_case(name: str, chance: random.Random) -> str:
    """As resolvers write it that use 0x20: an answer has to say it back letter by letter."""
    return "".join(letter.upper() if chance.random() < 0.5 else letter for letter in name)


def write(path: Path, packets: Iterable[bytes]) -> Path:
    """As the load program reads them, each behind its length."""
    path.write_bytes(b"".join(struct.pack("!H", len(packet)) + packet for packet in packets))
    return path


def shuffled(packets: Sequence[bytes], seed: int) -> list[bytes]:
    found = list(packets)
    random.Random(seed).shuffle(found)
    return found
