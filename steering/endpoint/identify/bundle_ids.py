"""The bundles around a macOS executable: their identifiers, inner to outer.

A helper within an application stands in several bundles, and vendors name now one, now the other, so all count.
Info.plist is text that anybody can write: a name, and no proof.
"""

import plistlib
import re
from collections import OrderedDict
from pathlib import Path, PurePosixPath
from struct import error as StructError
from xml.parsers.expat import ExpatError

SUFFIXES = frozenset({".app", ".appex", ".bundle", ".framework", ".plugin", ".systemextension", ".xpc"})
# Where a bundle of each shape keeps it: an ordinary one, a framework, one that was made for iOS.
PLACES = ("Contents/Info.plist", "Resources/Info.plist", "Info.plist")
MAX_BYTES = 1 << 20
MAX_BUNDLES = 32
KEPT = 4096
_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,255}")
# What plistlib raises for what is no property list; binary ones reach the last four.
_BROKEN = (
    plistlib.InvalidFileException,
    ExpatError,
    StructError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    MemoryError,
)

_Version = tuple[int, int, int]


class BundleIds:
    """Looks at each Info.plist once, and again when it has changed."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[_Version, str]] = OrderedDict()

    def of(self, executable: str) -> tuple[str, ...]:
        """Each identifier once; a bundle without one that can be read is passed over.  () for a bare executable."""
        found = (self._identifier(folder) for folder in bundles_around(executable))
        return tuple(dict.fromkeys(filter(None, found)))

    def _identifier(self, bundle: str) -> str:
        for place in PLACES:
            path = f"{bundle}/{place}"
            identifier = self._read(path)
            if identifier:
                return identifier
        return ""

    def _read(self, path: str) -> str:
        try:
            found = Path(path).stat()
            version = (found.st_mtime_ns, found.st_size, found.st_ino)
            known = self._seen.get(path)
            if known is None or known[0] != version:
                text = "" if found.st_size > MAX_BYTES else read_identifier(_contents(path))
                self._seen[path] = known = version, text
                if len(self._seen) > KEPT:
                    self._seen.popitem(last=False)
        except (OSError, ValueError):
            return ""
        return known[1]


def _contents(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return file.read(MAX_BYTES)


def bundles_around(executable: str) -> list[str]:
    """The folders around the executable that are called like bundles, inner to outer."""
    folders = PurePosixPath(executable).parents
    return [str(folder) for folder in folders if folder.suffix.lower() in SUFFIXES][:MAX_BUNDLES]


def read_identifier(plist: bytes) -> str:
    """CFBundleIdentifier of an Info.plist, XML or binary; "" where there is none."""
    try:
        properties = plistlib.loads(plist)
    except _BROKEN:
        return ""
    identifier = properties.get("CFBundleIdentifier") if isinstance(properties, dict) else None
    return identifier if isinstance(identifier, str) and _IDENTIFIER.fullmatch(identifier) else ""
