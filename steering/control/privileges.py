"""Giving up root once the ports are bound.

As root the service becomes the configured user, or the user ``steering`` where a package made one.  Without either
it stays uid 0 but gives up every capability for good, itself and whatever it starts: it can then reach only files
that root owns, and nothing else that makes root root.
"""

import ctypes
import os
import pwd
import sys
from collections.abc import Iterable
from pathlib import Path

from steering.control.errors import ControlError

_PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECUREBITS = 24, 38, 28
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
# NOROOT and its lock, NO_SETUID_FIXUP and its lock: an exec as uid 0 gains nothing (capabilities(7)).
_SECUREBITS = 0b1111
_CAPABILITY_VERSION_3 = 0x20080522
DEFAULT_USER = "steering"


def drop(user: str, owned: Iterable[Path]) -> str:
    """Give up root; what was done, for the log, "" where there was nothing to give up.

    owned: the files and folders that the new user is given.  Raises ControlError when it cannot be done.
    """
    if os.geteuid() != 0:
        return ""
    account = _account(user)
    try:
        if account is None:
            _drop_capabilities()
            return "running as root without any capability; make a user 'steering' or set run.user to do better"
        _give(owned, account.pw_uid, account.pw_gid)
        os.setgroups([])
        os.setgid(account.pw_gid)
        os.setuid(account.pw_uid)
    except OSError as exc:
        raise ControlError(f"root cannot be given up: {exc}; start as an ordinary user instead") from exc
    if not os.access(sys.executable, os.X_OK):
        raise ControlError(f"run.user: {account.pw_name} may not run {sys.executable}: install Steering where it may")
    return f"running as {account.pw_name}"


def _account(user: str) -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(user or DEFAULT_USER)
    except KeyError as exc:
        if user:
            raise ControlError(f"run.user: there is no user {user!r}") from exc
        return None


def _give(owned: Iterable[Path], uid: int, gid: int) -> None:
    for path in owned:
        os.chown(path, uid, gid, follow_symlinks=False)


def _drop_capabilities() -> None:
    libc = ctypes.CDLL(None, use_errno=True)

    def prctl(option: int, *arguments: int) -> None:
        if libc.prctl(option, *(ctypes.c_ulong(a) for a in (*arguments, *[0] * (4 - len(arguments))))) != 0:
            raise OSError(ctypes.get_errno(), "prctl")

    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    if _holds(libc, capability=8):  # CAP_SETPCAP: needed for the next two, absent in some containers
        prctl(_PR_SET_SECUREBITS, _SECUREBITS)
        for capability in range(int(Path("/proc/sys/kernel/cap_last_cap").read_text()) + 1):
            prctl(_PR_CAPBSET_DROP, capability)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    # Where there is none left, a sandbox may refuse the very call.
    if any(_sets(libc)) and libc.capset(header, (ctypes.c_uint32 * 6)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _holds(libc: ctypes.CDLL, *, capability: int) -> bool:
    return bool(_sets(libc)[0] >> capability & 1)


def _sets(libc: ctypes.CDLL) -> list[int]:
    """Two words of each kind: effective, permitted, inheritable, effective ...  Raises OSError."""
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    sets = (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    return list(sets)
