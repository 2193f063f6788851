"""Putting capture in force by the ``nft`` program, keeping it there, and taking it away.

The helper's user needs CAP_NET_ADMIN, which ``nft`` inherits.  What the kernel holds right after loading is written
down in a small file, so that anybody (the helper itself, ``doctor``) can tell later whether it still does.
"""

import asyncio
import hashlib
import json
import logging
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from steering.endpoint.capture.rules import HELD, TABLE, CapturePlan, render, render_beat, render_removal
from steering.endpoint.device import write_whole
from steering.endpoint.errors import EndpointError

log = logging.getLogger("steering.endpoint")

RECORD = "capture.json"  # in the helper's state folder
_WAIT_S = 10.0
_FOLDERS = "/usr/sbin:/sbin:/usr/bin:/bin"  # a service's PATH may lack those of administration
_ELEMENTS = re.compile(rf"(set {HELD} {{[^}}]*?)\n\s*elements = {{[^}}]*}}", re.DOTALL)


def check(plan: CapturePlan) -> None:
    """Have the kernel look at the plan without loading it.  Raises EndpointError."""
    _nft("-c", "-f", "-", given=render(plan))


def apply(plan: CapturePlan, folder: Path) -> None:
    """Put ``plan`` in force in place of any older one.  Raises EndpointError, the older one still in force."""
    _nft("-f", "-", given=render(plan))
    content = {"digest": _digest(), "dead": plan.dead, "port": plan.port}
    try:
        write_whole(folder / RECORD, json.dumps(content).encode())
    except OSError as exc:
        raise EndpointError(f"capture is on, but {folder / RECORD} cannot be written: {exc}") from exc


def beat(plan: CapturePlan) -> None:
    """Hold the ports for another ``expires_s``; only for a plan that fails open.  Raises EndpointError."""
    _nft("-f", "-", given=render_beat(plan))


def undo(folder: Path) -> None:
    """Leave nothing, whoever put it there and however that one ended.  Raises EndpointError."""
    _nft("-f", "-", given=render_removal())
    (folder / RECORD).unlink(missing_ok=True)


def is_loaded() -> bool:
    """Whether there is a table of ours.  Raises EndpointError where that cannot be asked."""
    return TABLE in {line.removeprefix("table ").strip() for line in _nft("list", "tables").splitlines()}


def drift(folder: Path) -> str:
    """What differs from what was put in force, "" for nothing.  Never raises."""
    try:
        recorded = json.loads((folder / RECORD).read_text("utf-8"))
        return "" if _digest() == recorded["digest"] else "the packet filter's rules were changed"
    except FileNotFoundError:
        return "capture was never put in force"
    except EndpointError as exc:
        return str(exc)
    except (OSError, ValueError, KeyError, TypeError) as exc:
        return f"{folder / RECORD} cannot be read: {exc}"


async def keep(plan: CapturePlan, folder: Path, tell: Callable[[str], None] = log.warning) -> None:
    """Keep ``plan`` in force for as long as this runs: renew what expires, put back what others have removed.

    It runs on the event loop that serves connections, on purpose: a loop that hangs renews nothing.
    """
    while True:
        await asyncio.sleep(plan.beat_s)
        try:
            await asyncio.to_thread(_renew, plan, folder, tell)
        except EndpointError as exc:
            tell(f"capture cannot be kept in force: {exc}")


def _renew(plan: CapturePlan, folder: Path, tell: Callable[[str], None]) -> None:
    differs = drift(folder)
    if differs:
        tell(f"capture is put in force again: {differs}")
        apply(plan, folder)
    elif plan.dead == "open":
        beat(plan)


def _digest() -> str:
    """Of the table as the kernel has it, but for what expires."""
    listing = _nft("-s", "list", "table", *TABLE.split())
    return hashlib.sha256(_ELEMENTS.sub(r"\1", listing).encode()).hexdigest()


def _nft(*arguments: str, given: str = "") -> str:
    """Its answer.  Raises EndpointError with what it says."""
    path = os.pathsep.join(filter(None, (_FOLDERS, os.environ.get("PATH"))))
    try:
        ended = subprocess.run(  # noqa: S603  our own words alone
            ["nft", *arguments],  # noqa: S607  by PATH: its folder differs between distributions
            input=given,
            capture_output=True,
            text=True,
            timeout=_WAIT_S,
            env={**os.environ, "PATH": path, "LC_ALL": "C"},
        )
    except FileNotFoundError as exc:
        raise EndpointError("capture needs the program nft: install the package nftables") from exc
    except (OSError, subprocess.TimeoutExpired) as exc:
        raise EndpointError(f"nft cannot be run: {exc}") from exc
    if ended.returncode != 0:
        said = next((line.strip() for line in ended.stderr.splitlines() if line.strip()), "nothing said")
        hint = "; it takes CAP_NET_ADMIN" if "not permitted" in ended.stderr.lower() else ""
        raise EndpointError(f"nft refused: {said}{hint}")
    return ended.stdout
