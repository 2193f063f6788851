"""macOS as tests construct it: libproc's answers built by layout, processes out of a dictionary.  Nothing here was
recorded."""

from dataclasses import dataclass, field, replace

from steering.endpoint.identify import darwin_layouts as layouts
from steering.endpoint.identify.darwin_layouts import PROC_BSDINFO, PROC_FDINFO, SOCKET_FDINFO
from steering.endpoint.identify.darwin_system import Change
from steering.endpoint.identify.identity import Ends

ESTABLISHED = 4
FILE = 1  # PROX_FDTYPE_VNODE
_TCP = "psi.soi_proto.pri_tcp."


def swapped(port: int) -> int:
    """In network order, as a number of a little-endian machine."""
    return int.from_bytes(port.to_bytes(2, "big"), "little")


def socket_info(
    ends: Ends,
    *,
    cloexec: bool = True,
    state: int = ESTABLISHED,
    kind: int = layouts.SOCKINFO_TCP,
    flags: int | None = None,
) -> bytes:
    """flags: of the family, by the addresses where not given; an IPv4-mapped connection has 2 and IPv4 addresses."""
    if flags is None:
        flags = layouts.INI_IPV4 if ends.local.version == 4 else layouts.INI_IPV6
    fill = bytes(10) + b"\xff\xff" if flags == layouts.INI_IPV6 else b"\xaa" * 12
    return SOCKET_FDINFO.build(
        {
            "pfi.fi_status": layouts.PROC_FP_CLEXEC if cloexec else 0,
            "psi.soi_kind": kind,
            _TCP + "tcpsi_state": state,
            _TCP + "tcpsi_ini.insi_vflag": flags,
            _TCP + "tcpsi_ini.insi_lport": swapped(ends.local_port),
            _TCP + "tcpsi_ini.insi_fport": swapped(ends.remote_port),
            _TCP + "tcpsi_ini.insi_laddr": (fill + ends.local.packed)[-16:],
            _TCP + "tcpsi_ini.insi_faddr": (fill + ends.remote.packed)[-16:],
        }
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Constructed:
    """A process.  sockets: by descriptor.  path: "" for one that may not be looked at."""

    path: str
    parent: int = 1
    uid: int = 501
    started: tuple[int, int] = (1_700_000_000, 5)
    sockets: dict[int, bytes] = field(default_factory=dict)


@dataclass(slots=True)
class ConstructedDarwin:
    """A ``DarwinSystem`` that says what it is told to."""

    processes: dict[int, Constructed] = field(default_factory=dict)
    accounts: dict[int, str] = field(default_factory=lambda: {501: "anna"})
    signers: dict[int, str] = field(default_factory=dict)
    watchable: bool = True
    happened: list[Change] = field(default_factory=list)
    watched: list[int] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    scans: int = 0
    closed: bool = False

    def pids(self, parent: int | None = None) -> bytes:
        if parent is None:
            self.scans += 1
        found = [pid for pid, process in self.processes.items() if parent in (None, process.parent)]
        return b"".join(pid.to_bytes(4, "little") for pid in found) + bytes(12)

    def descriptors(self, pid: int) -> bytes:
        process = self.processes.get(pid)
        if process is None:
            return b""
        rows = [PROC_FDINFO.build({"proc_fd": 0, "proc_fdtype": FILE})]
        rows += [
            PROC_FDINFO.build({"proc_fd": fd, "proc_fdtype": layouts.PROX_FDTYPE_SOCKET}) for fd in process.sockets
        ]
        return b"".join(rows)

    def socket(self, pid: int, descriptor: int) -> bytes:
        process = self.processes.get(pid)
        return process.sockets.get(descriptor, b"") if process else b""

    def process(self, pid: int) -> bytes:
        process = self.processes.get(pid)
        if process is None:
            return b""
        return PROC_BSDINFO.build(
            {
                "pbi_pid": pid,
                "pbi_ppid": process.parent,
                "pbi_uid": process.uid,
                "pbi_start_tvsec": process.started[0],
                "pbi_start_tvusec": process.started[1],
            }
        )

    def path(self, pid: int) -> str:
        process = self.processes.get(pid)
        return process.path if process else ""

    def watch(self, pid: int) -> bool:
        self.watched.append(pid)
        return self.watchable

    def changes(self) -> list[Change]:
        happened, self.happened = self.happened, []
        return happened

    def account(self, uid: int) -> str | None:
        self.asked.append(f"account {uid}")
        return self.accounts.get(uid)

    def signer(self, pid: int) -> str | None:
        self.asked.append(f"signer {pid}")
        return self.signers.get(pid)

    def close(self) -> None:
        self.closed = True

    def becomes(self, pid: int, path: str) -> None:
        """It executes another program."""
        self.processes[pid] = replace(self.processes[pid], path=path)
        self.happened.append(Change(pid, ended=False))

    def ends(self, pid: int) -> None:
        del self.processes[pid]
        self.happened.append(Change(pid, ended=True))
