"""What the service says of itself: one value, printed by ``steering status``, /readyz and the page."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Status:
    """state: "starting", "ok" or "degraded".  error: why it is degraded; summary: that for everyone to read.

    rules: in the file; enabled: those of them that are in force.  names: the domains of these.
    revision: in force at every point.  points: what is in force at each of them, which differs while a change is on
    its way and where no PAC of it passes its gates.  since: epoch seconds of the revision.
    parts: that this service runs, as ``serve --only`` calls them.
    """

    state: str = "starting"
    revision: str = ""
    points: dict[str, str] = field(default_factory=dict)
    error: str | None = None
    summary: str | None = None
    rules_file: str = ""
    rules: int = 0
    enabled: int = 0
    names: int = 0
    since: float = 0.0
    next_change: float | None = None
    warnings: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    workers: int = 0
    restarts: int = 0
    pac_variants: int = 0
    reloads: int = 0
    last_reload_ms: float = 0.0
    last_pac_ms: float = 0.0
    pid: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"status": self.state}

    @property
    def ready(self) -> dict[str, str | None]:
        """What /readyz shows to everyone: where the error stands, not what it says of the rules."""
        return {"status": self.state, "revision": self.revision, "error": self.summary}

    @property
    def rules_in_words(self) -> str:
        """How many there are and how many of them count: "16 rules (15 enabled)"."""
        return f"{self.rules} rule{'' if self.rules == 1 else 's'} ({self.enabled} enabled)"
