"""Asking the running service, and what is said when nobody answers."""

import asyncio
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from steering.control import client
from steering.control.client import Misasked, NotRunning, ask
from steering.control.errors import ControlError
from tests.service import environment


async def answers(request: web.Request) -> web.StreamResponse:
    match request.path:
        case "/ok":
            return web.json_response({"method": request.method, "sent": await request.json()})
        case "/refused":
            return web.json_response({"error": "no such group"}, status=400)
        case "/full":
            return web.json_response({"error": "disk full"}, status=507)
        case "/slow":
            await asyncio.sleep(60)
    return web.Response(text="not JSON")


async def asked(folder: Path, *arguments: object) -> object:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answers)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(folder / "s")).start()
    try:
        return await asyncio.to_thread(ask, folder / "s", *arguments)  # type: ignore[arg-type]
    finally:
        await runner.cleanup()


async def test_a_question_and_its_answer(tmp_path: Path) -> None:
    assert await asked(tmp_path, "POST", "/ok", {"a": 1}) == {"method": "POST", "sent": {"a": 1}}


async def test_a_refusal(tmp_path: Path) -> None:
    with pytest.raises(Misasked, match=r"^no such group$"):
        await asked(tmp_path, "GET", "/refused")


async def test_a_fault_of_the_service_is_no_wrong_question(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match=r"^disk full$") as caught:
        await asked(tmp_path, "GET", "/full")
    assert not isinstance(caught.value, Misasked)


async def test_something_else_answers(tmp_path: Path) -> None:
    with pytest.raises(NotRunning):
        await asked(tmp_path, "GET", "/html")


async def test_it_takes_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "TIMEOUT_S", 0.2)
    with pytest.raises(ControlError, match=r"did not answer within 0\.2 s"):
        await asked(tmp_path, "GET", "/slow")


@pytest.mark.parametrize("left_over", [True, False])
def test_nobody_is_there(tmp_path: Path, left_over: bool) -> None:
    if left_over:
        (tmp_path / "s").write_text("")
    with pytest.raises(NotRunning, match="start it with 'steering serve', or name its --state"):
        ask(tmp_path / "s", "GET", "/status")


@pytest.mark.needs("root")
def test_the_socket_of_somebody_else(open_folder: Path) -> None:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(open_folder / "s"))
    listener.listen()
    (open_folder / "s").chmod(0o600)
    script = (
        "import os, sys, pathlib, steering.control.client as c\n"
        "os.setuid(65534)\n"
        "try: c.ask(pathlib.Path(sys.argv[1]), 'GET', '/status')\n"
        "except c.ControlError as exc: print(type(exc).__name__, exc)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(open_folder / "s")], env=environment(), capture_output=True, text=True
    )
    listener.close()
    assert done.stdout.startswith("ControlError") and "run this as the service's user" in done.stdout, done
