"""A rule's ``programs``: which running programs an entry stands for.

Names are exact, but for a trailing ``.*`` that takes a bundle family: what is below the name, not the name itself,
as ``*.`` before a domain.  A name alone is a convenience and no security boundary: anybody can rename a file.  The
further conditions (path, owner, hash, signer) are.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase

from steering.policy.errors import ProgramError
from steering.policy.facts import Program, System, Ternary, all_of

_PREFIXES = {system.value: system for system in System}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramEntry:
    """A parsed entry; empty conditions are None.

    name: without prefix and without the trailing ``.*``, which ``family`` stands for.
    path: a glob over the whole path of the executable; ``*`` crosses no separator, ``**`` does.
    """

    name: str | None = None
    family: bool = False
    system: System | None = None
    path: str | None = None
    root_owned: bool | None = None
    sha256: str | None = None
    signer: str | None = None

    def __str__(self) -> str:
        prefix = f"{self.system.value}:" if self.system else ""
        name = f"{prefix}{self.name or '(any name)'}{'.*' if self.family else ''}"
        extra = [
            f"{key} {value}"
            for key, value in (("at", self.path), ("sha256", self.sha256), ("signed by", self.signer))
            if value is not None
        ]
        if self.root_owned is not None:
            extra.append("in a place only the administrator can write" if self.root_owned else "in a writable place")
        return ", ".join([name, *extra])

    def matches(self, program: Program) -> Ternary:
        """Whether the entry stands for ``program``; None where a condition's fact was not established."""
        if self.system is not None and program.system not in (None, self.system):
            return False
        return all_of(
            (
                self._matches_name(program),
                self._matches_path(program),
                _equal(self.root_owned, program.root_owned),
                _equal(self.sha256, program.sha256),
                _equal(self.signer, program.signer),
            )
        )

    def _matches_name(self, program: Program) -> bool:
        if self.name is None:
            return True
        exact = System.LINUX in (program.system, self.system)
        wanted = self.name if exact else self.name.casefold()
        for name in program.names:
            have = name if exact else name.casefold()
            if have.startswith(wanted + ".") if self.family else have == wanted:
                return True
        return False

    def _matches_path(self, program: Program) -> Ternary:
        if self.path is None:
            return True
        if program.path is None:
            return None
        if System.LINUX in (program.system, self.system):
            return _path_glob(program.path, self.path)
        return _path_glob(program.path.replace("\\", "/").casefold(), self.path.replace("\\", "/").casefold())


def _equal(wanted: object, have: object) -> Ternary:
    if wanted is None:
        return True
    return None if have is None else wanted == have


def _path_glob(path: str, glob: str) -> bool:
    """Segment by segment, so that ``*`` stays within one folder and only ``**`` spans several."""
    return _segments(path.split("/"), glob.split("/"))


def _segments(path: list[str], glob: list[str]) -> bool:
    # Row by row over the glob's segments: which prefixes of the path are matched so far.  O(path x glob).
    reached = [True] + [False] * len(path)
    for segment in glob:
        row = [segment == "**" and reached[0]] + [False] * len(path)
        for i, name in enumerate(path, start=1):
            row[i] = (row[i - 1] or reached[i]) if segment == "**" else reached[i - 1] and fnmatchcase(name, segment)
        reached = row
    return reached[-1]


def split_system(text: str) -> tuple[System | None, str]:
    """``linux:zoom`` as its system and the rest; None where no system's name stands in front."""
    head, colon, rest = text.partition(":")
    system = _PREFIXES.get(head.lower()) if colon else None
    return (system, rest.strip()) if system else (None, text)


def parse_program(text: str) -> ProgramEntry:
    """Parse a program given as a string.  Raises ProgramError."""
    system, name = split_system(text.strip())
    if ":" in name and system is None:
        raise ProgramError(f"{text!r}: before ':' stands one of {', '.join(_PREFIXES)}")
    family = name.endswith(".*")
    if family:
        name = name[:-2]
    if not name:
        raise ProgramError(f"{text!r} names no program")
    if "/" in name or "\\" in name:
        raise ProgramError(
            f'{text!r} is a path; write {{"path": ...}} to compare the whole path, or the file name alone'
        )
    if "*" in name or "?" in name:
        raise ProgramError(f"{text!r}: names are compared exactly; only a trailing '.*' is allowed (com.example.app.*)")
    if any(ord(c) < 32 for c in name):
        raise ProgramError(f"{text!r} holds a control character")
    return ProgramEntry(name=name, family=family, system=system)
