"""The programs that are measured beside ours, one module each: what it lacks here, how it is configured and started.

Each is set up as its manual has it for the purpose, with one worker, and is given what makes it quick where its
defaults would be unfair (no validation, a cache that is large enough).
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SBIN = "/usr/local/sbin:/usr/sbin:/sbin"  # where Debian keeps servers; not on everybody's path


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A server that has started.

    pid: whose tree is charged.  port: where it is asked first of all; ports: further ones, by what they are for.
    ca: what clients have to trust.
    """

    pid: int
    port: int = 0
    ports: Mapping[str, int] = field(default_factory=dict)
    ca: Path | None = None


def found(program: str) -> str | None:
    """Its path."""
    return shutil.which(program) or shutil.which(program, path=SBIN)


def lacking(program: str, package: str) -> str | None:
    """What to say where a program is not here; None where it is."""
    return None if found(program) else f"{program} is not installed (Debian: {package})"
