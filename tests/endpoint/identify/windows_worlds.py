"""Windows as tests construct it: tables built by layout, processes out of a dictionary.  Nothing here was recorded."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from steering.endpoint.identify import windows_layouts as layouts
from steering.endpoint.identify.identity import Ends
from steering.endpoint.identify.windows_system import WindowsFolders, WindowsProcess

ESTABLISHED = 5
FOLDERS = WindowsFolders(programs=(r"C:\Program Files", r"C:\Program Files (x86)"), windows=r"C:\Windows")


def row4(ends: Ends, pid: int, state: int = ESTABLISHED, connected: int = 0) -> bytes:
    return layouts.TCP4_ROW.build(
        {
            "dwState": state,
            "dwLocalAddr": ends.local.packed,
            "dwLocalPort": port(ends.local_port),
            "dwRemoteAddr": ends.remote.packed,
            "dwRemotePort": port(ends.remote_port),
            "dwOwningPid": pid,
            "liCreateTimestamp": connected,
        }
    )


def row6(ends: Ends, pid: int, state: int = ESTABLISHED, connected: int = 0) -> bytes:
    return layouts.TCP6_ROW.build(
        {
            "dwState": state,
            "ucLocalAddr": as_ipv6(ends.local.packed),
            "dwLocalPort": port(ends.local_port),
            "ucRemoteAddr": as_ipv6(ends.remote.packed),
            "dwRemotePort": port(ends.remote_port),
            "dwOwningPid": pid,
            "liCreateTimestamp": connected,
        }
    )


def port(number: int) -> bytes:
    """In network order, in the low half; what stands in the other is not said to be zero."""
    return number.to_bytes(2, "big") + b"\xaa\xaa"


def as_ipv6(packed: bytes) -> bytes:
    return packed if len(packed) == 16 else b"\0" * 10 + b"\xff\xff" + packed


def table(*rows: bytes) -> bytes:
    """With room behind it, as Windows leaves it."""
    return len(rows).to_bytes(4, "little") + b"\0\0\0\0" + b"".join(rows) + b"\xbb" * 300


@dataclass(slots=True)
class ConstructedWindows:
    """A ``WindowsSystem`` that says what it is told to.  reads: how often the IPv4 table was read."""

    rows4: Sequence[bytes] = ()
    rows6: Sequence[bytes] = ()
    processes: Mapping[int, WindowsProcess] = field(default_factory=dict)
    accounts: Mapping[bytes, str] = field(default_factory=dict)
    signers: Mapping[str, str] = field(default_factory=dict)
    clock: int = 1_000_000_000
    broken: bool = False
    reads: int = 0
    asked: list[str] = field(default_factory=list)

    def now(self) -> int:
        return self.clock

    def tcp_table(self, version: int) -> bytes:
        if self.broken:
            raise OSError("constructed")
        if version == 6:
            return table(*self.rows6)
        self.reads += 1
        return table(*self.rows4)

    def process(self, pid: int) -> WindowsProcess | None:
        return self.processes.get(pid)

    def folders(self) -> WindowsFolders:
        return FOLDERS

    def account(self, sid: bytes) -> str | None:
        self.asked.append(f"account {sid.decode()}")
        return self.accounts.get(sid)

    def signer(self, path: str) -> str | None:
        self.asked.append(f"signer {path}")
        return self.signers.get(path)
