"""Who else could change the program that the helper's service runs.

A service for everybody has rights that its users lack.  Started from an environment in somebody's home, it would lend
them to whoever owns that home.
"""

import stat
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path


def own_places() -> list[Path]:
    """What this program consists of: the interpreter, and where it and everything else is imported from."""
    return [Path(sys.executable), *(Path(entry).absolute() for entry in sys.path if entry)]


def changed_by_others(places: Iterable[Path]) -> Path | None:
    """The first file or folder on the way to ``places`` that somebody but root may change, None where there is none.

    Links are followed, and the folders that they lie in count too.
    """
    seen: set[Path] = set()
    for place in places:
        for path in _way(place):
            if path not in seen and _is_open(path):
                return path
            seen.add(path)
    return None


def _way(place: Path) -> Iterator[Path]:
    """``place`` and, link by link, what it leads to, each with every folder above, as named and as it really is."""
    for _ in range(40):  # links after links, as many as the kernel follows
        for path in (place, place.parent.resolve() / place.name):
            yield from reversed((path, *path.parents))
        if not place.is_symlink():
            return
        place = place.parent / place.readlink()


def _is_open(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:  # what is not there, as python311.zip, is judged by its folder
        return False
    if found.st_uid != 0:
        return True
    # The mode of a link says nothing; in a sticky folder nobody replaces what is root's.
    by_others = bool(found.st_mode & (stat.S_IWOTH | (stat.S_IWGRP if found.st_gid != 0 else 0)))
    return by_others and not stat.S_ISLNK(found.st_mode) and not found.st_mode & stat.S_ISVTX
