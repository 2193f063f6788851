"""Which process connected a socket, as the kernel saw it: a table by socket cookie, filled at connect(2).

Some twenty instructions on the root control group's connect hooks, assembled here and loaded through bpf(2): no
compiler, no library, nothing on disk.  The kernel takes them away again when this process ends (bpf_link).
Needs Linux 5.7, CAP_BPF and CAP_NET_ADMIN; ``open_map`` says why where it does not work, and the ladder goes on
without.

HOT PATH: the table lies in our memory too, so a look-up is two loads and no system call; by bpf(2) it took 7 us.
A slot is the cookie's low bits, and the newer socket has it: the kernel counts cookies upwards, so what is lost is
some 32,000 connections old.
"""

import ctypes
import mmap
import os
import platform
import re
import struct
from pathlib import Path
from typing import NamedTuple

_SYSCALL = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}
_MAP_CREATE, _PROG_LOAD, _LINK_CREATE = 0, 5, 28
_ARRAY, _MMAPABLE = 2, 1 << 10
_CGROUP_SOCK_ADDR = 18
_CONNECT4, _CONNECT6 = 10, 11
_NAME = b"steering"
_FIRST_PID_NAMESPACE = 0xEFFFFFFC  # PROC_PID_INIT_INO: the same on every machine
ENTRIES = 32768  # a power of two
_SLOT_BYTES = 16  # when, then process and cookie in one word, which the processor stores as one
_PID_BITS = 22  # the kernel's PID_MAX_LIMIT
_COOKIE_BITS = 64 - _PID_BITS
_COOKIE_MASK = (1 << _COOKIE_BITS) - 1
_ATTR_BYTES = 128  # the kernel takes more than it knows as long as the rest is zero

# Helper functions (linux/bpf.h).
_LOOKUP, _KTIME, _PID_TGID, _COOKIE = 1, 5, 14, 46
# Opcodes (kernel documentation, "BPF instruction set").
_MOV_REG, _MOV_IMM, _ADD_IMM, _AND_IMM, _OR_REG, _SHIFT_LEFT, _SHIFT_RIGHT = 0xBF, 0xB7, 0x07, 0x57, 0x4F, 0x67, 0x77
_STORE_U64, _STORE_U32, _LOAD_U32, _LOAD_IMM64, _SKIP_EQUAL, _CALL, _EXIT = 0x7B, 0x63, 0x61, 0x18, 0x15, 0x85, 0x95
_PROTOCOL = 36  # offset in struct bpf_sock_addr
_UDP = 17  # connected by every look-up of a name: it would push the others out of the table
_PSEUDO_MAP_FD = 1

_OCTAL = re.compile(r"\\([0-7]{3})")  # how a blank is written in /proc/self/mounts


class Connected(NamedTuple):
    """pid: the process (thread group) that connected.  at_ns: when, on CLOCK_MONOTONIC."""

    pid: int
    at_ns: int


class SocketMap:
    """An attached map of ``entries`` slots, a power of two.

    Raises OSError, with what the kernel's verifier said, where it cannot be had.
    """

    def __init__(self, cgroup: Path, entries: int = ENTRIES) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        number = _SYSCALL.get(platform.machine())
        if number is None:
            raise OSError(f"the number of bpf(2) on {platform.machine()} is not known")
        self._number = number
        self._open: list[int] = []
        self._mask = entries - 1
        try:
            self._attach(cgroup, entries)
            self._memory = mmap.mmap(self._map, entries * _SLOT_BYTES, mmap.MAP_SHARED, mmap.PROT_READ)
        except OSError:
            self._let_go()
            raise
        self._slots = memoryview(self._memory).cast("Q")

    def _attach(self, cgroup: Path, entries: int) -> None:
        self._map = self._bpf(
            _MAP_CREATE, struct.pack("=IIIIIII16s", _ARRAY, 4, _SLOT_BYTES, entries, _MMAPABLE, 0, 0, _NAME)
        )
        self._open.append(self._map)
        folder = os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._open.append(folder)
        for hook in (_CONNECT4, _CONNECT6):
            program = self._load(connect_program(self._map, entries), hook)
            self._open.append(program)
            self._open.append(self._bpf(_LINK_CREATE, struct.pack("=IIII", program, folder, hook, 0)))

    def _load(self, code: bytes, hook: int) -> int:
        instructions = ctypes.create_string_buffer(code, len(code))
        licence = ctypes.create_string_buffer(b"GPL")
        log = ctypes.create_string_buffer(16384)

        def attributes(level: int) -> bytes:
            size, place = (len(log), ctypes.addressof(log)) if level else (0, 0)
            return struct.pack(
                "=IIQQIIQII16sII",
                _CGROUP_SOCK_ADDR,
                len(code) // 8,
                ctypes.addressof(instructions),
                ctypes.addressof(licence),
                level,
                size,
                place,
                0,
                0,
                _NAME,
                0,
                hook,
            )

        try:
            return self._bpf(_PROG_LOAD, attributes(0))
        except OSError as exc:
            try:
                return self._bpf(_PROG_LOAD, attributes(1))  # again, for the verifier's words
            except OSError:
                said = log.value.decode("ascii", "replace").strip().splitlines()
                raise OSError(exc.errno, f"{exc.strerror}{': ' + said[-1] if said else ''}") from exc

    def _bpf(self, command: int, attributes: bytes) -> int:
        buffer = ctypes.create_string_buffer(attributes, _ATTR_BYTES)
        result = int(self._libc.syscall(self._number, command, buffer, _ATTR_BYTES))
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))
        return result

    def find(self, cookie: int) -> Connected | None:
        """Who connected the socket; None for one that connected before this map was there."""
        at = (cookie & self._mask) * 2
        word = self._slots[at + 1]
        if word & _COOKIE_MASK != cookie & _COOKIE_MASK:
            return None
        return Connected(word >> _COOKIE_BITS, self._slots[at])

    def close(self) -> None:
        """Nothing is found from now on."""
        self._slots.release()
        self._slots = memoryview(bytes((self._mask + 1) * _SLOT_BYTES)).cast("Q")
        self._memory.close()
        self._let_go()

    def _let_go(self) -> None:
        for descriptor in reversed(self._open):
            os.close(descriptor)
        self._open.clear()


def connect_program(map_fd: int, entries: int = ENTRIES) -> bytes:
    """``if (protocol != UDP && (slot = lookup(cookie % ENTRIES))) *slot = (now, pid << COOKIE_BITS | cookie);
    return 1``, which lets it connect.  The word with the cookie is stored last: who finds it finds the time too.
    """
    return b"".join(
        (
            _op(_LOAD_U32, 0, 1, _PROTOCOL),
            _op(_SKIP_EQUAL, 0, offset=20, value=_UDP),
            _op(_CALL, value=_COOKIE),
            _op(_MOV_REG, 6, 0),
            _op(_AND_IMM, 0, value=entries - 1),
            _op(_STORE_U32, 10, 0, -4),
            _op(_SHIFT_LEFT, 6, value=_PID_BITS),
            _op(_SHIFT_RIGHT, 6, value=_PID_BITS),
            _op(_CALL, value=_PID_TGID),
            _op(_SHIFT_RIGHT, 0, value=32),
            _op(_SHIFT_LEFT, 0, value=_COOKIE_BITS),
            _op(_OR_REG, 6, 0),
            _op(_CALL, value=_KTIME),
            _op(_MOV_REG, 7, 0),
            _op(_LOAD_IMM64, 1, _PSEUDO_MAP_FD, 0, map_fd),
            _op(0),
            _op(_MOV_REG, 2, 10),
            _op(_ADD_IMM, 2, value=-4),
            _op(_CALL, value=_LOOKUP),
            _op(_SKIP_EQUAL, 0, offset=2, value=0),
            _op(_STORE_U64, 0, 7, 0),
            _op(_STORE_U64, 0, 6, 8),
            _op(_MOV_IMM, value=1),
            _op(_EXIT),
        )
    )


def _op(code: int, destination: int = 0, source: int = 0, offset: int = 0, value: int = 0) -> bytes:
    return struct.pack("=BBhi", code, source << 4 | destination, offset, value)


def cgroup_root(mounts: str) -> Path | None:
    """Where the control group file system (version 2) is mounted, from the text of /proc/self/mounts."""
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) > 2 and fields[2] == "cgroup2":
            return Path(_OCTAL.sub(lambda found: chr(int(found[1], 8)), fields[1]))
    return None


def is_first_pid_namespace() -> bool:
    """Whether the numbers that the kernel tells are those of our /proc; in a container they are other processes'."""
    try:
        return os.stat("/proc/self/ns/pid").st_ino == _FIRST_PID_NAMESPACE
    except OSError:
        return False


def open_map() -> tuple[SocketMap | None, str]:
    """The map, or None and why not."""
    if not is_first_pid_namespace():
        return None, "the socket map tells process numbers of the host, and this is a container"
    try:
        root = cgroup_root(Path("/proc/self/mounts").read_text("utf-8", "replace"))
        if root is None:
            return None, "no control group file system (version 2) is mounted"
        return SocketMap(root), ""
    except OSError as exc:
        return None, f"the socket map cannot be had: {exc.strerror or exc}"
