"""What the helper tells the service of itself: which policy it enforces, how it is, and what has been changed here."""

import asyncio
import platform
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from steering.endpoint import doctor
from steering.endpoint.bundle.keeper import BundleKeeper
from steering.endpoint.errors import EndpointError
from steering.endpoint.install.machine import detect, state_folder
from steering.endpoint.install.plan import Wanted
from steering.endpoint.settings import EndpointSettings
from steering.endpoint.this_system import own_system
from steering.endpoint.trial import TriedIdentifier
from steering.process.logs import logger

LOOK_S = 300.0
MAX_COUNTERS = 200  # the service takes some more

log = logger("endpoint")


@dataclass(slots=True, kw_only=True)
class Reporting:
    """problems: what else is wrong now, in words.  counters: of the proxy and the log."""

    folder: Path
    settings: EndpointSettings
    keeper: BundleKeeper
    identifier: TriedIdentifier
    counters: Callable[[], Mapping[str, int]]
    problems: Callable[[], list[str]]
    drift: Mapping[str, str] | None = None

    def report(self) -> dict[str, object]:
        """A heartbeat's content."""
        stale = "nobody vouches any more that the policy is the newest" if self.keeper.is_stale else ""
        problems = [self.keeper.error, stale, *self.problems()]
        counters = sorted(self.counters().items())[:MAX_COUNTERS]
        return {
            "revision": self.keeper.revision,
            "error": "; ".join(filter(None, problems)),
            "self_test": self.identifier.trial.words,
            "drift": {what: state for what, state in (self.drift or {}).items() if state != "off"},
            "counters": dict(counters),
            "version": own_version(),
            "system": f"{platform.system()} {platform.release()}",
            "name": platform.node(),
        }

    async def keep_looking(self, every_s: float = LOOK_S) -> None:
        """For drift, until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(every_s)

    async def look(self) -> None:
        try:
            found = await asyncio.to_thread(self._look)
        except (EndpointError, OSError, KeyError, ValueError) as exc:
            found = {"looking": f"failed: {exc}"}
        if found != self.drift and any(_differs(value) for value in found.values()):
            log.warning("this computer is not set as it should be", **found)
        self.drift = found

    def _look(self) -> dict[str, str]:
        """Blocks: programs are asked."""
        everybody = self.folder == state_folder(own_system().value, everybody=True, home=Path.home())
        machine = detect(everybody=everybody, state=self.folder)
        wanted = Wanted(ca_pem=self.keeper.ca_pem.decode("ascii"), listen=self.settings.listen)
        return doctor.drift(
            self.folder,
            self.settings,
            tested=self.identifier.trial.tested,
            machine=machine if self.keeper.ca_pem else None,
            wanted=wanted if self.keeper.ca_pem else None,
        )


def own_version() -> str:
    try:
        return version("steering")
    except PackageNotFoundError:  # a bare checkout
        return "unknown"


def _differs(value: str) -> bool:
    return value not in ("ok", "off", "not installed", "not run")
