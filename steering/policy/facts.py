"""What is known of a flow, and what is not visible from here.

Unknown is not False: a fact that a point cannot see is ``UNSEEN``, and every
condition on it answers ``None``.  A condition's answer is ``bool | None``
(Kleene's three values: yes, no, unknown).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from steering.policy.hosts import Address, Host

Ternary = bool | None


class Unseen(Enum):
    UNSEEN = "not visible from here"

    def __repr__(self) -> str:
        return self.name


UNSEEN = Unseen.UNSEEN


class Fact(Enum):
    """A fact that a point may be unable to see.  The host is always visible, or there is nothing to decide."""

    SOURCE = "source"
    USER = "user"
    PROGRAM = "program"


NO_FACTS: frozenset[Fact] = frozenset()


class System(Enum):
    WINDOWS = "windows"
    MACOS = "macos"
    LINUX = "linux"


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """The identity of the running program, as the endpoint helper established it.

    system: None stands for "some system, not said which" (``steering explain --program``): the name is then
        tried as each system's identity.
    names: the natural identities: Windows the exe's file name; macOS the bundle ids of the program and of the
        bundles around it, or the executable's file name where there is none; Linux the file name of /proc/PID/exe.
    path, root_owned, sha256, signer: None where not established; signer "" means unsigned.
    """

    system: System | None
    names: tuple[str, ...]
    path: str | None = None
    root_owned: bool | None = None
    sha256: str | None = None
    signer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One thing to decide.

    source: the address that the inspector or resolver would see.
    user: None when it is established that no user is attached.
    groups: groups that the requester claims by a token (PAC only).
    program: None when it is established that no program can be named (never the case at a network point).
    """

    host: Host
    source: Address | Unseen = UNSEEN
    user: str | Unseen | None = UNSEEN
    groups: frozenset[str] = frozenset()
    program: Program | Unseen | None = UNSEEN


def any_of(answers: Iterable[Ternary]) -> Ternary:
    """Kleene OR."""
    unknown = False
    for answer in answers:
        if answer:
            return True
        unknown = unknown or answer is None
    return None if unknown else False


def all_of(answers: Iterable[Ternary]) -> Ternary:
    """Kleene AND."""
    unknown = False
    for answer in answers:
        if answer is False:
            return False
        unknown = unknown or answer is None
    return None if unknown else True
