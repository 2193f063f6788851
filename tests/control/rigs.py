"""The control service's HTTP in this process, over a real socket, with a policy of the test's choice."""

import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from steering.control.cafiles import files_of, load_ca
from steering.control.metrics import metrics_of
from steering.control.page import render_page
from steering.control.policystore import Enforced, enforceable
from steering.control.status import Status
from steering.control.tokens import Tokens
from steering.control.web import Served, make_app
from steering.pac.publish import PacSettings
from steering.policy import ReservedSettings
from steering.policy.rules import NO_CATEGORIES
from tests.kit import free_port
from tests.service import RULES, rules_text


def enforced_of(rules: Sequence[Any] = RULES, *, at: float | None = None, **top: object) -> Enforced:
    return enforceable(
        rules_text(rules, **top),
        shown="/etc/steering/rules.json",
        categories=NO_CATEGORIES,
        reserved=ReservedSettings(internal_networks=()),
        pac=PacSettings(inspectors=("proxy.example:3128",)),
        at=time.time() if at is None else at,
    )


@dataclass(kw_only=True)
class WebRig:
    served: Served
    tokens: Tokens
    status: Status
    url: str
    port: int


@asynccontextmanager
async def web_rig(folder: Path, enforced: Enforced | None = None) -> AsyncIterator[WebRig]:
    status = Status(state="ok", revision="r1") if enforced else Status()
    store, missed = load_ca(folder)
    assert not missed
    tokens = Tokens.load(folder / "tokens.json")
    served = Served(
        status=status,
        group_of=tokens.group_of,
        metrics=metrics_of(lambda: {"dns:inspector:default": 3, "inspector:connections": 2}, status),
        page=lambda: render_page(status, "http://steering.example"),
        files=files_of(store, time.time()),
        hosts=frozenset({"steering.example", "127.0.0.1", "localhost", "::1"}),
        pacs=enforced.pacs if enforced else None,
    )
    runner = web.AppRunner(make_app(served), access_log=None)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield WebRig(served=served, tokens=tokens, status=status, url=f"http://127.0.0.1:{port}", port=port)
    finally:
        await runner.cleanup()
