"""What the service says of itself: one value, printed by ``steering status``, /readyz and the page."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(slots=True, kw_only=True)
class Status:
    """state: "starting", "ok" or "degraded".  error: why it is degraded.  since: epoch seconds of the revision."""

    state: str = "starting"
    revision: str = ""
    error: str | None = None
    rules_file: str = ""
    rules: int = 0
    names: int = 0
    since: float = 0.0
    next_change: float | None = None
    warnings: list[str] = field(default_factory=list)
    addresses: dict[str, str] = field(default_factory=dict)
    workers: int = 0
    restarts: int = 0
    pac_variants: int = 0
    reloads: int = 0
    last_reload_ms: float = 0.0
    pid: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"status": self.state}

    @property
    def ready(self) -> dict[str, str | None]:
        """What /readyz shows to everyone: where the error stands, not what it says of the rules."""
        return {"status": self.state, "revision": self.revision, "error": self.error}
