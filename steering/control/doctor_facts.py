"""What is seen of a service and its machine before anything is judged: values alone, each problem in words."""

from dataclasses import dataclass
from enum import Enum


class Held(Enum):
    """Who has an address that the configuration asks for."""

    OURS = "our running service"
    FREE = "nobody"
    TAKEN = "another program"
    DENIED = "nobody, and it needs a privilege"
    ABSENT = "nobody: no such address here"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One listener.  role: as ``steering status`` calls it.  wanted: what the configuration asks for."""

    role: str
    wanted: str
    held: Held


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """A question asked of a listener or an upstream, and what was wrong with the answer; "" where nothing was."""

    what: str
    address: str
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Certificate:
    """problem: why it cannot be used, with what to do.  begins, ends: epoch seconds, 0 where not known."""

    what: str
    problem: str = ""
    begins: float = 0.0
    ends: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """The state folder.  exists: or is made by the first start.  mode: permission bits."""

    path: str
    exists: bool
    writable: bool = True
    mode: int = 0o700
    free_bytes: int = 1 << 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """What the running service says of itself.  error: why the newest rules are not in force."""

    revision: str
    since: float
    error: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules file as it is now.

    problem: why it, or a PAC made from it, could not be enforced.  gates: warnings of the PACs.
    changed: epoch seconds.  last_good: whether the state folder keeps a policy to fall back on.
    followed: the control service that they come from; there is no file then, and nothing to try.
    """

    path: str
    followed: str = ""
    problem: str = ""
    gates: tuple[str, ...] = ()
    changed: float = 0.0
    last_good: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of it at ``now``.

    running: None where no service answers, and then ``silent`` says why.  holder: the process that has the state
    folder nevertheless, 0 for none.
    past: (what, epoch seconds) of moments that must lie behind us.  ca: None where there is none yet.
    ca_url: where clients fetch the CA.  upstreams_problem: why there is none to ask.
    """

    now: float
    running: Running | None
    silent: str
    holder: int = 0
    folder: Folder
    rules: Rules
    ports: tuple[Port, ...] = ()
    past: tuple[tuple[str, float], ...] = ()
    ca: Certificate | None = None
    ca_url: str = ""
    upstreams: tuple[Reached, ...] = ()
    upstreams_problem: str = ""
    listeners: tuple[Reached, ...] = ()
    certificates: tuple[Certificate, ...] = ()
