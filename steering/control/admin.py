"""Administration over a Unix socket in the state folder (0600): who can open the file may ask.

Local commands talk to the running service here; nothing of it is reachable over TCP.
"""

import json
import os
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web

from steering.control.errors import ControlError, StateError
from steering.control.tokens import Tokens
from steering.policy.errors import PolicyError

Json = dict[str, Any]
MAX_PATH_BYTES = 107  # sun_path, unix(7)


@dataclass(frozen=True, slots=True, kw_only=True)
class Offers:
    """What the service lets administration do."""

    status: Callable[[], Json]
    explain: Callable[[Mapping[str, str], float], Json]
    reload: Callable[[], Awaitable[Json]]
    tokens: Tokens
    groups: Callable[[], list[str]]


def make_admin(offers: Offers, more: Sequence[web.RouteDef] = ()) -> web.Application:
    app = web.Application(client_max_size=65536)
    app.add_routes(
        [
            web.get("/status", _plain(offers.status)),
            web.get("/tokens", _plain(lambda: {"tokens": offers.tokens.listed()})),
            web.post("/explain", _explain(offers)),
            web.post("/reload", _reload(offers)),
            web.post("/tokens", _add_token(offers)),
            web.post("/tokens/revoke", _revoke(offers)),
            *more,
        ]
    )
    return app


async def serve_admin(app: web.Application, path: Path) -> web.AppRunner:
    """Serve on ``path``, which must not exist; it is never, not for an instant, open to others.  Raises StateError."""
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise StateError(f"{path} is too long for a Unix socket ({MAX_PATH_BYTES} bytes): use a shorter --state")
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    before = os.umask(0o177)
    try:
        await web.UnixSite(runner, str(path)).start()
    finally:
        os.umask(before)
    return runner


async def _body(request: web.Request) -> dict[str, object]:
    try:
        content = await request.json()
    except ValueError:
        content = None
    if not isinstance(content, dict):
        raise web.HTTPBadRequest(text=json.dumps({"error": "send a JSON object"}), content_type="application/json")
    return content


def _plain(ask: Callable[[], Json]) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(ask())

    return handler


def _explain(offers: Offers) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        question = {name: str(value) for name, value in (await _body(request)).items()}
        try:
            return web.json_response(offers.explain(question, time.time()))
        except (PolicyError, ValueError, KeyError) as exc:
            return web.json_response({"error": str(exc)}, status=400)

    return handler


def _reload(offers: Offers) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(_: web.Request) -> web.Response:
        return web.json_response(await offers.reload())

    return handler


def _add_token(offers: Offers) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        group = str((await _body(request)).get("group", ""))
        if group not in offers.groups():
            known = ", ".join(sorted(offers.groups())) or "none is defined"
            return web.json_response({"error": f"there is no group {group!r} in the rules ({known})"}, status=400)
        try:
            return web.json_response({"group": group, "token": offers.tokens.add(group)})
        except ControlError as exc:
            return web.json_response({"error": str(exc)}, status=507)

    return handler


def _revoke(offers: Offers) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handler(request: web.Request) -> web.Response:
        which = str((await _body(request)).get("which", ""))
        try:
            return web.json_response({"revoked": offers.tokens.revoke(which)})
        except ControlError as exc:
            return web.json_response({"error": str(exc)}, status=507)

    return handler
