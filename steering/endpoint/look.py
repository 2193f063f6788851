"""What the ladder sees of a process or a port of this computer, for whoever asks from a terminal.

Asked from outside the running helper, with the rights of who asks: with fewer than the helper's, less is seen.
"""

import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

from steering.endpoint.errors import EndpointError
from steering.endpoint.identify.identity import Ends, Identifier, Identity
from steering.policy.hosts import Address

ESTABLISHED = 1
MAX_CONNECTIONS = 200
_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))


@dataclass(frozen=True, slots=True)
class Row:
    """A connection of the kernel's table.  inode: of its socket."""

    ends: Ends
    inode: int


@dataclass(frozen=True, slots=True)
class Seen:
    """A connection, and who the ladder says has opened it.  took_us: what finding out cost."""

    ends: Ends
    identity: Identity
    took_us: float = 0.0

    def as_json(self) -> dict[str, object]:
        ends, identity = self.ends, self.identity
        return {
            "local": shown(ends.local, ends.local_port),
            "remote": shown(ends.remote, ends.remote_port),
            "pid": identity.pid or None,
            "names": list(identity.names),
            "path": identity.path,
            "user": identity.user,
            "package": identity.package,
            "root_owned": identity.root_owned,
            "sha256": identity.sha256,
            "signer": identity.signer,
            "method": identity.method.value,
            "took_us": round(self.took_us, 1),
            "unknown": identity.unknown,
        }


async def look(identifier: Identifier, number: int) -> list[Seen]:
    """The connections of process ``number``, and those from or to port ``number``, each with its owner.

    Raises EndpointError where this system has no table to find them in.
    """
    rows = load_table()
    inodes = sockets_of(number)
    asked = [row for row in rows if row.inode in inodes or number in (row.ends.local_port, row.ends.remote_port)]
    return [await _identify(identifier, row.ends) for row in asked[:MAX_CONNECTIONS]]


async def _identify(identifier: Identifier, ends: Ends) -> Seen:
    began_ns = time.perf_counter_ns()
    identifier.fast(ends)
    identity = await identifier.full(ends)
    return Seen(ends, identity, (time.perf_counter_ns() - began_ns) / 1000)


def load_table() -> list[Row]:
    """Raises EndpointError."""
    found: list[Row] = []
    for path in _TABLES:
        try:
            found += parse_table(path.read_text("ascii"))
        except FileNotFoundError:
            continue
        except (OSError, ValueError, IndexError) as exc:
            raise EndpointError(f"{path} cannot be read: {exc}") from exc
    if not found and not _TABLES[0].exists():
        raise EndpointError("connections can be looked up by process or port on Linux alone so far")
    return found


def parse_table(text: str) -> Iterator[Row]:
    """Established connections of ``/proc/net/tcp`` or ``tcp6``.  Raises ValueError, IndexError."""
    for line in text.splitlines()[1:]:
        fields = line.split()
        if int(fields[3], 16) == ESTABLISHED:
            local, remote = _end(fields[1]), _end(fields[2])
            yield Row(Ends(*local, *remote), int(fields[9]))


def _end(text: str) -> tuple[Address, int]:
    """Addresses stand as 32-bit words in the machine's own order."""
    raw, _, port = text.partition(":")
    words = [int(raw[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(raw), 8)]
    if len(words) == 1:
        return IPv4Address(words[0]), int(port, 16)
    address = IPv6Address(b"".join(words))
    return address.ipv4_mapped or address, int(port, 16)


def sockets_of(pid: int) -> frozenset[int]:
    """Inodes of the sockets that a process holds; none where there is no such process, or it may not be looked at."""
    return frozenset(_inodes(Path(f"/proc/{pid}/fd")))


def _inodes(folder: Path) -> Iterator[int]:
    for link in _links(folder):
        if link.startswith("socket:[") and link.endswith("]"):
            yield int(link[8:-1])


def _links(folder: Path) -> Iterable[str]:
    try:
        names = [entry.name for entry in folder.iterdir()]
    except OSError:
        return
    for name in names:
        try:
            yield str((folder / name).readlink())
        except OSError:  # closed meanwhile
            continue


def shown(address: Address, port: int) -> str:
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"
