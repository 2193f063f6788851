"""Heartbeats: what this helper enforces and how it is, told to the service from time to time."""

import asyncio
import random
from collections.abc import Callable, Mapping
from typing import Any

from steering.endpoint.errors import EndpointError, ServiceRefused, ServiceUnreachable
from steering.endpoint.service_link import ServiceLink
from steering.process.logs import logger

EVERY_S = 60.0
JITTER = 0.2
MAX_ERROR = 2000

log = logger("heartbeat")


class Heartbeat:
    """report: the keys of the service's ``/heartbeat``.  is_revoked: what the last answer said of this device.

    address: of this computer, as the service sees it; "" before the first answer.
    """

    def __init__(
        self,
        link: ServiceLink,
        report: Callable[[], Mapping[str, object]],
        *,
        every_s: float = EVERY_S,
        on_refused: Callable[[ServiceRefused], None] | None = None,
    ) -> None:
        self._link = link
        self._report = report
        self._every_s = every_s
        self._on_refused = on_refused
        self._chance = random.Random()  # noqa: S311  # spreads load, guards nothing
        self.is_revoked = False
        self.address = ""
        self.error = ""

    async def beat(self) -> None:
        """One.  Whatever goes wrong is in ``error``."""
        report = dict(self._report())
        report["error"] = str(report.get("error") or "")[:MAX_ERROR]
        try:
            answer = await self._tell(report)
        except ServiceRefused as exc:
            self._refused(exc)
        except EndpointError as exc:
            self.error = str(exc)
        else:
            self.is_revoked, self.error = bool(answer.get("revoked")), ""
            self.address = str(answer.get("address", ""))

    async def _tell(self, report: Mapping[str, object]) -> dict[str, Any]:
        """Twice if need be: the kept connection may lead nowhere any more, and to say it again does no harm."""
        try:
            return await self._link.post("/heartbeat", report)
        except ServiceUnreachable:
            return await self._link.post("/heartbeat", report)

    def _refused(self, exc: ServiceRefused) -> None:
        if str(exc) != self.error:
            log.error("the service refuses this device", error=str(exc))
        self.is_revoked, self.error = exc.revoked, str(exc)
        if self._on_refused is not None:
            self._on_refused(exc)

    async def serve(self) -> None:
        """Until cancelled."""
        while True:
            await self.beat()
            await asyncio.sleep(self._every_s * self._chance.uniform(1 - JITTER, 1 + JITTER))
