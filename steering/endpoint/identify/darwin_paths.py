"""Where a macOS executable lies, and whether only administrators can put another one there."""

import os
from pathlib import PurePosixPath

ROOT_UID = 0
# /Applications and the like may be written by administrators; what is root's own in there, they cannot make.
ADMINISTRATORS = frozenset({0, 80})  # the groups wheel and admin
_GROUP_WRITES, _OTHERS_WRITE = 0o020, 0o002


def only_administrators_write(path: str) -> bool | None:
    """By owner and mode, not by access lists.  None where the file is not to be seen."""
    try:
        found = os.stat(path, follow_symlinks=False)  # noqa: PTH116  # once per connection: a Path costs more
        folders = [os.stat(folder) for folder in PurePosixPath(path).parents]  # noqa: PTH116  # the same
    except (OSError, ValueError):
        return None
    return is_roots(found, frozenset()) and all(is_roots(folder, ADMINISTRATORS) for folder in folders)


def is_roots(found: os.stat_result, groups: frozenset[int]) -> bool:
    """Whether root owns it, and nobody else writes it but perhaps ``groups``."""
    if found.st_uid != ROOT_UID or found.st_mode & _OTHERS_WRITE:
        return False
    return not found.st_mode & _GROUP_WRITES or found.st_gid in groups


def unchanged_since(path: str, started: tuple[int, int]) -> bool:
    """Whether the file at ``path`` is as old as the process, so that it is the one that the process was made of.

    An executable may be replaced while it runs, and macOS then still names the old path.  The time of change is the
    kernel's, renames count, and nobody can set it.
    """
    try:
        changed_ns = os.stat(path, follow_symlinks=False).st_ctime_ns  # noqa: PTH116  # as above
    except (OSError, ValueError):
        return False
    return changed_ns <= (started[0] * 1_000_000 + started[1]) * 1000
