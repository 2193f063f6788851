"""Keeps a fresh enrolment token in a file, for split services that share its folder: one more of them simply joins.

Whoever reads the file can enrol, so it is 0600; each token ends by itself.
"""

import asyncio
from pathlib import Path

from steering.control.endpoints import Endpoints
from steering.control.errors import ControlError
from steering.control.state import write_whole
from steering.process.logs import logger

HOURS = 24.0
USES = 1000
AGAIN_S = HOURS * 3600 / 2  # so that one that was just read is good for half a day
RETRY_S = 30.0

log = logger("endpoint")


async def keep_token(path: Path, endpoints: Endpoints) -> None:
    """Until cancelled.  The token before is withdrawn when the next one is there."""
    before = ""
    while True:
        pause_s = AGAIN_S
        try:
            made = await endpoints.invite("", USES, HOURS)
            await asyncio.to_thread(write_whole, path, f"{made['token']}\n".encode())
            await endpoints.withdraw(before)
            before = made["id"]
        except (ControlError, OSError) as exc:
            log.error("the enrolment token cannot be kept fresh", file=str(path), error=str(exc))
            pause_s = RETRY_S
        await asyncio.sleep(pause_s)
