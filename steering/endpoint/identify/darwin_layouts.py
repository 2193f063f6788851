"""What macOS' structures, constants and functions look like, as far as they are used here.

Pure tables, held to the platform's headers by tests/test_layouts.py, for both processors.
"""

from collections.abc import Mapping

from steering.endpoint.identify.layouts import Layout

_HEADERS = ("sys/types.h", "sys/socket.h", "libproc.h", "sys/proc_info.h")

PROC_FDINFO = Layout(
    name="struct proc_fdinfo", headers=_HEADERS, size=8, members={"proc_fd": (0, "i"), "proc_fdtype": (4, "I")}
)
SOCKET_FDINFO = Layout(
    name="struct socket_fdinfo",
    headers=_HEADERS,
    size=792,
    members={
        "pfi.fi_status": (4, "I"),
        "psi.soi_kind": (256, "i"),
        "psi.soi_proto.pri_tcp.tcpsi_ini.insi_fport": (264, "i"),
        "psi.soi_proto.pri_tcp.tcpsi_ini.insi_lport": (268, "i"),
        "psi.soi_proto.pri_tcp.tcpsi_ini.insi_vflag": (288, "B"),
        "psi.soi_proto.pri_tcp.tcpsi_ini.insi_faddr": (296, "16s"),
        "psi.soi_proto.pri_tcp.tcpsi_ini.insi_laddr": (312, "16s"),
        "psi.soi_proto.pri_tcp.tcpsi_state": (344, "i"),
    },
)
PROC_BSDINFO = Layout(
    name="struct proc_bsdinfo",
    headers=_HEADERS,
    size=136,
    members={
        "pbi_pid": (12, "I"),
        "pbi_ppid": (16, "I"),
        "pbi_uid": (20, "I"),
        "pbi_start_tvsec": (120, "Q"),
        "pbi_start_tvusec": (128, "Q"),
    },
)
LAYOUTS = (PROC_FDINFO, SOCKET_FDINFO, PROC_BSDINFO)

PROC_ALL_PIDS = 1
PROC_PPID_ONLY = 6
PROC_PIDLISTFDS = 1
PROC_PIDTBSDINFO = 3
PROC_PIDFDSOCKETINFO = 3
PROC_PIDPATHINFO_MAXSIZE = 4096
PROC_FP_CLEXEC = 2
PROX_FDTYPE_SOCKET = 2
SOCKINFO_TCP = 2
INI_IPV4 = 1
INI_IPV6 = 2
TSI_S_CLOSED = 0
TSI_S_LISTEN = 1
TSI_S_TIME_WAIT = 10

CONSTANTS = {name: value for name, value in globals().items() if isinstance(value, int)}

# As in ``windows_layouts``.
FUNCTIONS: Mapping[str, str] = {
    "proc_listpids": "i:iipi",
    "proc_pidinfo": "i:iiqpi",
    "proc_pidfdinfo": "i:iiipi",
    "proc_pidpath": "i:ipi",
}
FUNCTION_HEADERS = _HEADERS
