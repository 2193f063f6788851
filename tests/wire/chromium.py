"""Headless Chromium, driven over the DevTools protocol: what a page shows and whose certificate it came with."""

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-port=0",
)

# The rows of chrome://policy with a value, wherever in its shadow trees they are, each as the browser describes it.
_POLICIES = """
(() => {
  const found = {};
  const walk = (root) => root.querySelectorAll("*").forEach((element) => {
    if (element.localName === "policy-row" && "value" in (element.policy ?? {})) {
      found[element.policy.name] = element.policy;
    }
    if (element.shadowRoot) walk(element.shadowRoot);
  });
  walk(document);
  return found;
})()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A loaded page.  issuer: the common name that signed the page's certificate, "" for plain HTTP."""

    text: str
    status: int
    issuer: str
    subject: str
    error: str = ""


class Chromium:
    """One browser process.  Made by ``chromium``; ``load`` opens a page in a new tab."""

    def __init__(self, session: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self._socket = socket
        self._ids = itertools.count(1)
        self._replies: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._events: dict[str, asyncio.Queue[dict[str, Any]]] = {}
        self._reader = asyncio.ensure_future(self._read())

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            if "id" in data:
                self._replies.pop(data["id"]).set_result(data)
            elif data.get("sessionId") in self._events:
                self._events[data["sessionId"]].put_nowait(data)

    async def call(self, method: str, session: str | None = None, **params: object) -> dict[str, Any]:
        number = next(self._ids)
        reply: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        command: dict[str, object] = {"id": number, "method": method, "params": params}
        if session is not None:
            command["sessionId"] = session
        await self._socket.send_json(command)
        answer = await reply
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    async def load(self, url: str, timeout_s: float = 30) -> Page:
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        events = self._events[session] = asyncio.Queue()
        try:
            async with asyncio.timeout(timeout_s):
                await self.call("Network.enable", session)
                await self.call("Page.enable", session)
                started = await self.call("Page.navigate", session, url=url)
                if started.get("errorText"):
                    return Page(text="", status=0, issuer="", subject="", error=started["errorText"])
                response = await self._main_response(events)
                shown = await self.call("Runtime.evaluate", session, expression="document.body.innerText")
        finally:
            del self._events[session]
            await self.call("Target.closeTarget", targetId=target)
        security = response.get("securityDetails") or {}
        return Page(
            text=shown["result"].get("value", ""),
            status=response["status"],
            issuer=security.get("issuer", ""),
            subject=security.get("subjectName", ""),
        )

    async def shoot(self, url: str, *, width: int, dark: bool, timeout_s: float = 30) -> bytes:
        """``url`` as a picture (PNG), as high as the page is."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        events = self._events[session] = asyncio.Queue()
        mode = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        try:
            async with asyncio.timeout(timeout_s):
                await self.call("Network.enable", session)
                await self.call("Page.enable", session)
                await self.call("Emulation.setEmulatedMedia", session, features=[mode])
                await self._size(session, width, 100)
                started = await self.call("Page.navigate", session, url=url)
                assert not started.get("errorText"), started
                await self._main_response(events)
                found = await self.call("Runtime.evaluate", session, expression="document.documentElement.scrollHeight")
                await self._size(session, width, found["result"]["value"])
                shot = await self.call("Page.captureScreenshot", session, format="png", optimizeForSpeed=False)
        finally:
            del self._events[session]
            await self.call("Target.closeTarget", targetId=target)
        return base64.b64decode(shot["data"])

    async def _size(self, session: str, width: int, height: int) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            session,
            width=width,
            height=height,
            deviceScaleFactor=2,
            mobile=False,
        )

    async def policies(self, timeout_s: float = 30) -> dict[str, dict[str, Any]]:
        """What the browser says of each managed policy that it has found: ``value``, ``status``, ``error`` ..."""
        target = (await self.call("Target.createTarget", url="chrome://policy"))["targetId"]
        session = (await self.call("Target.attachToTarget", targetId=target, flatten=True))["sessionId"]
        found: dict[str, dict[str, Any]] = {}
        try:
            async with asyncio.timeout(timeout_s):
                while not found:  # the page fills itself
                    await asyncio.sleep(0.1)
                    told = await self.call("Runtime.evaluate", session, expression=_POLICIES, returnByValue=True)
                    found = told["result"]["value"]
        finally:
            await self.call("Target.closeTarget", targetId=target)
        return found

    async def _main_response(self, events: "asyncio.Queue[dict[str, Any]]") -> dict[str, Any]:
        response: dict[str, Any] = {}
        while True:
            event = await events.get()
            if event["method"] == "Network.responseReceived" and event["params"]["type"] == "Document":
                response = event["params"]["response"]
            if event["method"] == "Page.loadEventFired":
                return response

    async def close(self) -> None:
        with contextlib.suppress(RuntimeError, ConnectionError):
            async with asyncio.timeout(5):
                await self.call("Browser.close")
        self._reader.cancel()
        await self._socket.close()
        await self._session.close()


def trust(home: Path, certificate: Path, nickname: str) -> "list[str]":
    """The command that makes a Chromium with ``HOME=home`` trust ``certificate`` (NSS shared database)."""
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True, exist_ok=True)
    return ["certutil", "-A", "-d", f"sql:{database}", "-n", nickname, "-t", "C,,", "-i", str(certificate)]


@contextlib.asynccontextmanager
async def chromium(folder: Path, *flags: str, certificates: tuple[Path, ...] = ()) -> AsyncIterator[Chromium]:
    """A running browser with a fresh profile under ``folder`` that trusts ``certificates`` beside its own."""
    home = folder / "home"
    for i, certificate in enumerate(certificates):
        adding = await asyncio.create_subprocess_exec(*trust(home, certificate, f"test {i}"))
        assert await adding.wait() == 0, "certutil could not add the certificate"
    binary = shutil.which("chromium")
    assert binary, "chromium is not installed"
    process = await asyncio.create_subprocess_exec(
        binary,
        *FLAGS,
        f"--user-data-dir={folder / 'profile'}",
        *flags,
        "about:blank",
        env={"HOME": str(home), "PATH": "/usr/bin:/bin", "DBUS_SESSION_BUS_ADDRESS": "disabled:"},
        stderr=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert process.stderr is not None
    try:
        async with asyncio.timeout(80):
            endpoint = ""
            while not endpoint:
                line = (await process.stderr.readline()).decode()
                assert line, "chromium ended before it listened"
                endpoint = line.partition("DevTools listening on ")[2].strip()
        draining = asyncio.ensure_future(_drain(process.stderr))
        session = aiohttp.ClientSession()
        browser = Chromium(session, await session.ws_connect(endpoint, max_msg_size=0))
        try:
            yield browser
        finally:
            await browser.close()
            draining.cancel()
    finally:
        await _end(process)


async def _drain(stream: asyncio.StreamReader) -> None:
    while await stream.readline():
        pass


async def _end(process: asyncio.subprocess.Process) -> None:
    try:
        async with asyncio.timeout(10):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
