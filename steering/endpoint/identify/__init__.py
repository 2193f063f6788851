"""Which program opened a connection: one ladder per operating system, and "unknown" where it does not reach."""

import platform
from collections.abc import Mapping
from importlib import import_module

from steering.endpoint.identify.identity import Ends, Identifier, Identity
from steering.policy.facts import System

# platform.system() -> what rules call it, and what opens its ladder.  Imported there alone, where its libraries are.
_SYSTEMS: Mapping[str, tuple[System, str, str]] = {
    "Linux": (System.LINUX, "linux", "open_linux"),
    "Windows": (System.WINDOWS, "windows", "open_windows"),
    "Darwin": (System.MACOS, "darwin", "open_darwin"),
}


class UnknownIdentifier:
    """An ``Identifier`` that knows nobody, and says why: then no rule of a program bypasses."""

    def __init__(self, system: System, why: str) -> None:
        self.notes: tuple[str, ...] = (why,)
        self.wants: frozenset[str] = frozenset()
        self._answer = Identity(system=system, unknown=why)

    def fast(self, ends: Ends) -> Identity | None:
        return self._answer

    async def full(self, ends: Ends) -> Identity:
        return self._answer

    def watch(self) -> None:
        pass

    def close(self) -> None:
        pass


def open_identifier(name: str | None = None) -> Identifier:
    """The ladder of the running system (or of ``name``, as ``platform.system`` has it); one that knows nobody where
    there is none.
    """
    name = platform.system() if name is None else name
    if name not in _SYSTEMS:
        return UnknownIdentifier(System.LINUX, f"programs cannot be identified on {name or 'this system'}")
    system, module, function = _SYSTEMS[name]
    try:
        identifier: Identifier = getattr(import_module(f"{__name__}.{module}"), function)()
    except (OSError, ImportError, AttributeError) as exc:  # no such library, function or kernel interface here
        return UnknownIdentifier(system, f"programs cannot be identified here: {exc}")
    return identifier
