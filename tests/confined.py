"""Runs a program under the confinement that a systemd unit asks for, where no systemd runs: ``python -m tests.confined
UNIT -- COMMAND ...`` becomes the command.

System calls by the unit's own filter, as systemd's tables expand it and the kernel enforces it; no memory that is
written and executed; sockets of the named families alone; no capability.  The file system is the caller's to arrange.
"""

import ctypes
import ctypes.util
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from errno import EPERM
from pathlib import Path

ALLOW, REFUSE = 0x7FFF0000, 0x00050000 | EPERM
_LESS, _EQUAL, _GREATER, _MASKED_EQUAL = 2, 4, 6, 7  # enum scmp_compare
_READ_EXECUTE_BITS = 0x4  # PROT_EXEC
_WRITE_AND_EXECUTE = 0x6


class _Argument(ctypes.Structure):
    _fields_ = (("number", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64))


class Filter:
    """One seccomp filter (seccomp(2)) by libseccomp, which systemd brings along."""

    def __init__(self, otherwise: int) -> None:
        self._lib = ctypes.CDLL(ctypes.util.find_library("seccomp"), use_errno=True)
        self._lib.seccomp_init.restype = ctypes.c_void_p
        self._context = ctypes.c_void_p(self._lib.seccomp_init(ctypes.c_uint32(otherwise)))

    def add(self, action: int, name: str, *arguments: _Argument) -> None:
        number = self._lib.seccomp_syscall_resolve_name(name.encode())
        if number == -1:  # of another machine
            return
        array = (_Argument * len(arguments))(*arguments)
        done = self._lib.seccomp_rule_add_array(self._context, ctypes.c_uint32(action), number, len(arguments), array)
        assert done == 0, (name, done)

    def load(self) -> None:
        assert self._lib.seccomp_load(self._context) == 0, "the kernel does not take the filter"


def settings(unit: str, name: str) -> Iterator[str]:
    for line in unit.splitlines():
        key, _, value = line.partition("=")
        if key == name:
            yield value


def expanded(names: Iterable[str]) -> set[str]:
    """Names of system calls and of sets of them, as ``systemd-analyze`` knows them."""
    found: set[str] = set()
    for name in names:
        if not name.startswith("@"):
            found.add(name)
            continue
        listed = subprocess.run(["systemd-analyze", "syscall-filter", name], capture_output=True, text=True, check=True)
        words = [line.strip() for line in listed.stdout.splitlines()[1:]]
        found |= expanded(word for word in words if word and not word.startswith("#"))
    return found


def system_calls(unit: str) -> set[str]:
    allowed: set[str] = set()
    for value in settings(unit, "SystemCallFilter"):
        if value.startswith("~"):
            allowed -= expanded(value[1:].split())
        else:
            allowed |= expanded(value.split())
    return allowed


def families(unit: str) -> list[int]:
    import socket

    return [int(getattr(socket, name)) for value in settings(unit, "RestrictAddressFamilies") for name in value.split()]


def confine(unit: str) -> None:
    by_name = Filter(REFUSE)
    for name in sorted(system_calls(unit)):
        by_name.add(ALLOW, name)
    by_argument = Filter(ALLOW)
    if "yes" in settings(unit, "MemoryDenyWriteExecute"):
        for name, mask in (
            ("mmap", _WRITE_AND_EXECUTE),
            ("mprotect", _READ_EXECUTE_BITS),
            ("pkey_mprotect", _READ_EXECUTE_BITS),
        ):
            by_argument.add(REFUSE, name, _Argument(2, _MASKED_EQUAL, mask, mask))
    known = sorted(families(unit))
    by_argument.add(REFUSE, "socket", _Argument(0, _LESS, known[0], 0))
    by_argument.add(REFUSE, "socket", _Argument(0, _GREATER, known[-1], 0))
    for between in set(range(known[0], known[-1])) - set(known):
        by_argument.add(REFUSE, "socket", _Argument(0, _EQUAL, between, 0))
    by_argument.load()
    by_name.load()


def main(arguments: list[str]) -> None:
    unit, dashes, *command = arguments
    assert dashes == "--"
    confine(Path(unit).read_text("utf-8"))
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
