"""Asking the running service over its Unix socket."""

import asyncio
import errno
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from steering.control.errors import ControlError

TIMEOUT_S = 60


class NotRunning(ControlError):
    """No service answers on this state folder."""


class Misasked(ControlError):
    """The service says that the question is wrong: a group that does not exist, a host that is none."""


def ask(socket: Path, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
    """One question.  Raises NotRunning, Misasked, or ControlError with what the service answered."""
    return asyncio.run(_ask(socket, method, path, body))


async def _ask(socket: Path, method: str, path: str, body: Mapping[str, object] | None) -> dict[str, Any]:
    timeout = aiohttp.ClientTimeout(total=TIMEOUT_S)
    try:
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket)), timeout=timeout) as session,
            session.request(method, f"http://steering{path}", json=body) as response,
        ):
            answer: dict[str, Any] = await response.json()
    except TimeoutError as exc:
        raise ControlError(f"the service on {socket} did not answer within {TIMEOUT_S} s") from exc
    except (aiohttp.ClientError, OSError) as exc:
        if getattr(exc, "errno", None) in (errno.EACCES, errno.EPERM):
            raise ControlError(f"{socket} belongs to somebody else: run this as the service's user") from exc
        raise NotRunning(
            f"no service answers on {socket}: start it with 'steering serve', or name its --state"
        ) from exc
    if "error" in answer and response.status >= 400:
        raise (Misasked if response.status == 400 else ControlError)(str(answer["error"]))
    return answer
