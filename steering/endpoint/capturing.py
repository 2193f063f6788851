"""Capture for as long as the helper runs: in force from the first policy on, and in the way that the policy says.

Before there is a policy, there is nothing to enforce, and everything would be refused.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Literal

from steering.endpoint.bundle.content import Bundle
from steering.endpoint.capture import linux_nft
from steering.endpoint.capture.rules import CapturePlan
from steering.endpoint.errors import EndpointError


def plan_of(bundle: Bundle, port: int, uid: int, mark: int = 0) -> CapturePlan:
    """Everybody's connections but the helper's own, known by its user or its mark (0: it may set none).

    Root is no user of the helper alone, so there the mark must do.  Raises EndpointError where it cannot.

    Internal networks are not left alone here: by what name a connection goes there is for the helper to see.
    """
    if uid == 0 and not mark:
        raise EndpointError(
            "capture would exempt all of root's programs, as it knows the helper by its user where it may not mark its "
            "connections: 'steering endpoint install' sets up a service with a user of its own"
        )
    dead: Literal["closed", "open"] = "open" if bundle.modes.helper_dead == "open" else "closed"
    return CapturePlan(port=port, own_uid=uid or None, own_mark=mark, dead=dead)


class Capturing:
    """Call ``follow`` with each bundle.  port: of the listeners for captured connections.

    mark: of what the helper dials, 0 for none.
    """

    def __init__(
        self, folder: Path, port: int, tell: Callable[[str], None], uid: int | None = None, mark: int = 0
    ) -> None:
        self.error = ""
        self._mark = mark
        self._folder = folder
        self._port = port
        self._tell = tell
        self._uid = os.getuid() if uid is None else uid
        self._plan: CapturePlan | None = None
        self._keeping: asyncio.Task[None] | None = None

    async def follow(self, bundle: Bundle) -> None:
        """Put capture in force as ``bundle`` says.  Never raises: ``error`` says what is wrong."""
        try:
            plan = plan_of(bundle, self._port, self._uid, self._mark)
            if plan == self._plan:
                return
            await self._stop_keeping()
            await asyncio.to_thread(linux_nft.apply, plan, self._folder)
        except EndpointError as exc:
            self.error = str(exc)
            self._tell(f"capture is not in force: {exc}")
            return
        self.error = ""
        self._plan = plan
        self._keeping = asyncio.create_task(linux_nft.keep(plan, self._folder, self._tell))

    async def end(self) -> None:
        """The helper ends.  What fails open is let go at once; what fails closed stays, for then nothing may pass."""
        await self._stop_keeping()
        if self._plan is not None and self._plan.dead == "open":
            with suppress(EndpointError):  # it lets go by itself
                await asyncio.to_thread(linux_nft.undo, self._folder)
        self._plan = None

    async def _stop_keeping(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None


def let_go(folder: Path) -> bool:
    """Take away what an older run that captured has left; whether there was anything.  Raises EndpointError."""
    if not (folder / linux_nft.RECORD).exists():
        return False
    linux_nft.undo(folder)
    return True
