"""What the Windows ladder asks of the system, as a protocol: Windows itself, or what a test constructs."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsProcess:
    r"""A process, seen through one handle, so that all of it is of the same one.

    created: FILETIME.  image: path of the executable, as it is called now.  native: ``image`` is the kernel's name
        of it (``\Device\HarddiskVolume3\...``), given where there is no other; it is as old as the process, and not
        to be looked for on disk.
    sid: of the account, b"" where it may not be read.  family: of the package, "" for none.
    """

    created: int
    image: str
    native: bool = False
    sid: bytes = b""
    family: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowsFolders:
    """programs: where programs are installed for everybody.  windows: the system's own."""

    programs: tuple[str, ...]
    windows: str


class WindowsSystem(Protocol):
    """Calls of Windows.  Only ``tcp_table`` raises OSError."""

    def now(self) -> int:
        """FILETIME: units of 100 ns since 1601."""
        ...

    def tcp_table(self, version: int) -> bytes:
        """TCP connections over IPv4 or IPv6, as ``windows_tables`` reads them."""
        ...

    def process(self, pid: int) -> WindowsProcess | None:
        """None where it has ended, or may not be looked at."""
        ...

    def folders(self) -> WindowsFolders: ...

    def account(self, sid: bytes) -> str | None:
        r"""``DOMAIN\name``.  Slow: it may ask a domain controller."""
        ...

    def signer(self, path: str) -> str | None:
        """Who signed the file, "" for nobody that Windows trusts, None where it cannot be told.  Slow."""
        ...
