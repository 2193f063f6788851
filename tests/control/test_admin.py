"""Administration by the Unix socket: who can open the file may ask, nobody else."""

import asyncio
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from steering.control.admin import MAX_PATH_BYTES, Offers, make_admin, serve_admin
from steering.control.errors import StateError
from steering.control.tokens import Tokens
from steering.policy import PolicyError


def explain(question: Mapping[str, str], now: float) -> dict[str, Any]:
    if question["target"] == "bad host":
        raise PolicyError("'bad host' is no host")
    return {"host": question["target"], "at": float(question.get("instant", now))}


async def reload() -> dict[str, Any]:
    return {"status": "ok"}


@asynccontextmanager
async def admin(folder: Path) -> AsyncIterator[aiohttp.ClientSession]:
    offers = Offers(
        status=lambda: {"status": "ok"},
        explain=explain,
        reload=reload,
        tokens=Tokens.load(folder / "tokens.json"),
        groups=lambda: ["sales"],
    )
    runner = await serve_admin(make_admin(offers), folder / "s.sock")
    try:
        async with aiohttp.ClientSession(
            base_url="http://steering", connector=aiohttp.UnixConnector(str(folder / "s.sock"))
        ) as session:
            yield session
    finally:
        await runner.cleanup()


async def test_only_the_owner_may_open_it(tmp_path: Path) -> None:
    async with admin(tmp_path):
        mode = (tmp_path / "s.sock").stat().st_mode
        assert stat.S_ISSOCK(mode) and mode & 0o777 == 0o600


# Method, path, body -> code and answer.
ASKED: list[tuple[str, str, object, int, object]] = [
    ("GET", "/status", None, 200, {"status": "ok"}),
    ("POST", "/reload", None, 200, {"status": "ok"}),
    ("GET", "/reload", None, 405, None),
    ("POST", "/explain", {"target": "x.example", "instant": 5}, 200, {"host": "x.example", "at": 5.0}),
    ("POST", "/explain", {"target": "bad host"}, 400, {"error": "'bad host' is no host"}),
    ("POST", "/explain", {"target": "x", "instant": "now"}, 400, None),
    ("POST", "/explain", {}, 400, None),
    ("POST", "/explain", ["x"], 400, {"error": "send a JSON object"}),
    ("POST", "/explain", None, 400, {"error": "send a JSON object"}),
    ("POST", "/tokens", {"group": "x"}, 400, {"error": "there is no group 'x' in the rules (sales)"}),
    ("POST", "/tokens/revoke", {"which": "x"}, 200, {"revoked": 0}),
    ("GET", "/tokens", None, 200, {"tokens": []}),
    ("GET", "/nothing", None, 404, None),
]


@pytest.mark.parametrize(("method", "path", "body", "code", "answer"), ASKED)
async def test_questions(tmp_path: Path, method: str, path: str, body: object, code: int, answer: object) -> None:
    async with admin(tmp_path) as session, session.request(method, path, json=body) as response:
        assert response.status == code
        if answer is not None:
            assert await response.json() == answer


async def test_a_token_is_made_listed_and_revoked(tmp_path: Path) -> None:
    async with admin(tmp_path) as session:
        made = await (await session.post("/tokens", json={"group": "sales"})).json()
        listed = await (await session.get("/tokens")).json()
        assert made["group"] == "sales" and [row["group"] for row in listed["tokens"]] == ["sales"]
        revoked = await (await session.post("/tokens/revoke", json={"which": listed["tokens"][0]["id"]})).json()
        assert revoked == {"revoked": 1}


async def test_a_path_that_no_socket_can_have(tmp_path: Path) -> None:
    offers = Offers(status=dict, explain=explain, reload=reload, tokens=Tokens(tmp_path / "t"), groups=list)
    for spare, fits in ((0, True), (1, False)):
        name = "x" * (MAX_PATH_BYTES + spare - len(str(tmp_path)) - 1)
        if fits:
            await (await serve_admin(make_admin(offers), tmp_path / name)).cleanup()
        else:
            with pytest.raises(StateError, match="too long for a Unix socket"):
                await serve_admin(make_admin(offers), tmp_path / name)
    await asyncio.sleep(0)
