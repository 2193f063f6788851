r"""Paths of executables on Windows: the file's name, and whether it lies where only administrators write.

Pure.  The second goes by the folder alone, not by its access list: below Program Files and the Windows folder nobody
else writes, but for the folders in ``OPEN_TO_USERS``.
"""

import re
from collections.abc import Iterable
from ntpath import normpath

# Below the Windows folder, yet users may create files there (known from lists of ways round AppLocker).
OPEN_TO_USERS = (
    r"debug\wia",
    r"pla\reports",
    r"pla\rules",
    r"pla\templates",
    r"registration\crmlog",
    r"servicestate",
    r"system32\com\dmp",
    r"system32\fxstmp",
    r"system32\microsoft\crypto\rsa\machinekeys",
    r"system32\spool\drivers\color",
    r"system32\spool\printers",
    r"system32\spool\servers",
    r"system32\tasks",
    r"syswow64\com\dmp",
    r"syswow64\fxstmp",
    r"syswow64\tasks",
    r"tasks",
    r"temp",
    r"tracing",
)
_SHORT = re.compile(r"~\d")  # PROGRA~1: another name of a folder, which may be anywhere
_ORDINARY = re.compile(r"^[a-z]:\\[^:]*$")  # a drive, and no second colon (a stream of a file)


def file_name(path: str) -> str:
    r"""The last part; "" for a path that ends in a separator."""
    return re.split(r"[\\/]", path)[-1]


def plain(path: str) -> str | None:
    r"""The path in one spelling: small letters, backslashes, neither ``\\?\`` nor ``..``; None where it has none.

    A share, a device, a stream and a short name are no ordinary places.
    """
    path = path.replace("/", "\\")
    for prefix in ("\\\\?\\", "\\??\\"):
        path = path.removeprefix(prefix)
    path = normpath(path).replace("/", "\\").casefold()
    if not _ORDINARY.match(path) or _SHORT.search(path) or "\0" in path:
        return None
    if any(part != part.rstrip(". ") for part in path.split("\\")):
        return None  # Windows drops these, in some functions and not in others
    return path


def only_administrators_write(path: str, programs: Iterable[str], windows: str) -> bool | None:
    """Whether ``path`` lies below one of the folders ``programs``, or ``windows``; None where it cannot be told."""
    file = plain(path)
    if file is None:
        return None
    if any(_below(file, folder) is not None for folder in programs):
        return True
    rest = _below(file, windows)
    if rest is None:
        return False
    return not any(rest.startswith(folder + "\\") for folder in OPEN_TO_USERS)


def _below(file: str, folder: str) -> str | None:
    """What stands behind ``folder`` in ``file``."""
    root = plain(folder)
    if root is None or len(root) <= len("c:\\"):
        return None  # a folder that is a whole drive protects nothing
    return file[len(root) + 1 :] if file.startswith(root + "\\") else None
