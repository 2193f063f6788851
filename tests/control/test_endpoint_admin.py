"""Administration of devices: tokens for groups that exist, the list, revocation, and what to set where it is off."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from steering.control.admin import serve_admin
from steering.control.endpoint_admin import endpoint_routes
from steering.formats.enrolment import parse_token
from tests.control.helpers import HelpersRig, helpers_rig


@asynccontextmanager
async def admin(folder: Path, rig: HelpersRig, *, off: bool = False) -> AsyncIterator[aiohttp.ClientSession]:
    app = web.Application()
    app.add_routes(endpoint_routes(None if off else rig.endpoints, rig.workers, lambda: ["sales"]))
    runner = await serve_admin(app, folder / "s.sock")
    try:
        connector = aiohttp.UnixConnector(str(folder / "s.sock"))
        async with aiohttp.ClientSession(base_url="http://steering", connector=connector) as session:
            yield session
    finally:
        await runner.cleanup()


# Method, path, body -> code and a part of what is answered.
ASKED: list[tuple[str, str, object, int, str]] = [
    ("POST", "/endpoints/token", {"group": "nobody"}, 400, "there is no group 'nobody' in the rules (sales)"),
    ("POST", "/endpoints/token", {"uses": 0}, 400, "a token is good for 1 to 100000 devices, not 0"),
    ("POST", "/endpoints/token", {"hours": -1}, 400, "a token is good for up to"),
    ("POST", "/endpoints/token", {"uses": "many"}, 400, "uses and hours are numbers"),
    ("POST", "/endpoints/token", ["x"], 400, "send a JSON object"),
    ("POST", "/endpoints/revoke", {}, 400, "name a device, a token or a group"),
    ("POST", "/endpoints/revoke", {"which": "x"}, 200, '{"devices": 0, "tokens": 0}'),
    ("GET", "/endpoints", None, 200, '"devices": [], "tokens": []'),
    ("POST", "/endpoints/rotate-keys", None, 200, '{"rotated": true}'),
]


@pytest.mark.parametrize(("method", "path", "body", "code", "said"), ASKED)
async def test_questions(tmp_path: Path, method: str, path: str, body: object, code: int, said: str) -> None:
    async with (
        helpers_rig(tmp_path / "service") as rig,
        admin(tmp_path, rig) as session,
        session.request(method, path, json=body) as response,
    ):
        text = await response.text()
        assert (response.status, said in text) == (code, True), text


async def test_no_json_at_all(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig, admin(tmp_path, rig) as session:
        response = await session.post("/endpoints/token", data=b"{")
        assert (response.status, await response.json()) == (400, {"error": "send a JSON object"})


async def test_a_token_is_made_listed_and_revoked(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig, admin(tmp_path, rig) as session:
        asked = {"group": "sales", "uses": 3, "hours": 2}
        made = await (await session.post("/endpoints/token", json=asked)).json()
        token = parse_token(made.pop("token"))
        assert (token.url, token.expires_at) == (rig.url, int(made["expires_at"]))
        (listed,) = (await (await session.get("/endpoints")).json())["tokens"]
        assert listed == {"token_id": made["id"], "group": "sales", "uses": 3, "expires_at": made["expires_at"]}
        revoked = await (await session.post("/endpoints/revoke", json={"which": made["id"]})).json()
        assert revoked == {"devices": 0, "tokens": 1}


async def test_where_helpers_are_not_served(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig, admin(tmp_path, rig, off=True) as session:
        response = await session.get("/endpoints")
        assert response.status == 409 and "set control.endpoint_listen" in (await response.json())["error"]
