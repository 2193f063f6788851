"""Who opened a connection, as far as it could be established.

Pure.  What is not established is unknown, and an unknown program matches no bypass: every doubt (a process that has
exec'ed since it connected, a socket held by different programs, a deadline) ends as ``Identity.unknown``.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from steering.policy.facts import UNSEEN, Program, System, Unseen
from steering.policy.hosts import Address


@dataclass(frozen=True, slots=True)
class Ends:
    """A TCP connection as the client's own socket has it.

    local: the client's address and port.  remote: what it connected to (before any redirect).  An IPv4-mapped pair
    stands here as plain IPv4.
    """

    local: Address
    local_port: int
    remote: Address
    remote_port: int

    def __hash__(self) -> int:
        return hash((self.local_port, self.remote_port))  # addresses are slow to hash, and nearly always the same


class Method(Enum):
    """The step of the ladder that answered."""

    MAP = "socket map"  # the kernel told at connect (eBPF)
    RECENT = "recently seen process"
    CGROUP = "control group"
    SCAN = "process scan"
    TABLE = "system table"  # Windows
    LIST = "process list"  # macOS
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """unknown: why no program is named, "" where one is.

    names: as ``policy.Program.names``.  path: of the executable, as the system names it.  user: the account's name,
    None where not established.  package: "snap:NAME", "flatpak:ID", "msix:FAMILY" ..., or "".
    is_there: whether what executes is the file at ``path`` that everybody sees there; a rule for a path needs it, as
    in a mount namespace of their own (Linux) anybody has any file at any path.
    root_owned, sha256, signer: None where not (yet) established.
    """

    system: System
    pid: int = 0
    names: tuple[str, ...] = ()
    path: str | None = None
    is_there: bool = True
    user: str | None = None
    package: str = ""
    root_owned: bool | None = None
    sha256: str | None = None
    signer: str | None = None
    method: Method = Method.NONE
    unknown: str = ""

    @property
    def program(self) -> Program | Unseen:
        """The fact that rules are matched with."""
        if self.unknown or not self.names:
            return UNSEEN
        return Program(
            system=self.system,
            names=self.names,
            path=self.path if self.is_there else None,
            root_owned=self.root_owned,
            sha256=self.sha256,
            signer=self.signer,
        )


class Identifier(Protocol):
    """One system's ladder.

    notes: what this system does not offer, and why, in plain words.
    wants: the conditions beyond names that rules ask for (``wanted_of``); what is not wanted need not be looked at.

    ``fast`` is called in the tick in which the connection was accepted, before anything is awaited (a program that
    ends at once has no owner any more); it blocks for microseconds.  None: only ``full`` may know.
    """

    notes: tuple[str, ...]
    wants: frozenset[str]

    def fast(self, ends: Ends) -> Identity | None: ...

    async def full(self, ends: Ends) -> Identity:
        """The whole ladder, off the event loop where it is slow; unknown after its deadline.  Never raises."""
        ...

    def watch(self) -> None:
        """Within a running loop: take in on it what the system tells meanwhile."""
        ...

    def close(self) -> None: ...
