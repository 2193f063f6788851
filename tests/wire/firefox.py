"""Headless Firefox, driven over its Marionette protocol (no geckodriver): pages and their certificates.

Protocol: length-prefixed JSON arrays ``[0, id, command, parameters]`` -> ``[1, id, error, result]`` over TCP.
"""

import asyncio
import contextlib
import itertools
import json
import os
import shutil
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from tests.wire.chromium import Page

PREFERENCES: Mapping[str, object] = {
    "app.update.auto": False,
    "browser.aboutConfig.showWarning": False,
    "browser.safebrowsing.downloads.enabled": False,
    "browser.safebrowsing.malware.enabled": False,
    "browser.safebrowsing.phishing.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "browser.startup.homepage_override.mstone": "ignore",
    "datareporting.policy.dataSubmissionEnabled": False,
    "extensions.update.enabled": False,
    "marionette.port": 0,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "network.dns.disablePrefetch": True,
    "network.http.http3.enable": False,
    "network.http.speculative-parallel-limit": 0,
    "network.trr.mode": 5,
    "services.settings.server": "data:,",
    "toolkit.telemetry.server": "data:,",
}

_CERTIFICATE = """
const info = gBrowser.securityUI.secInfo;
const cert = info && info.serverCert;
return cert ? [cert.issuerCommonName, cert.commonName] : ["", ""];
"""


class MarionetteError(Exception):
    """What Firefox answered instead of a result."""


class Firefox:
    """One browser process.  Made by ``firefox``."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._ids = itertools.count(1)

    async def receive(self) -> Any:
        size = await self._reader.readuntil(b":")
        return json.loads(await self._reader.readexactly(int(size[:-1])))

    async def call(self, command: str, **parameters: object) -> Any:
        number = next(self._ids)
        body = json.dumps([0, number, command, parameters]).encode()
        self._writer.write(b"%d:%s" % (len(body), body))
        await self._writer.drain()
        _, answered, error, result = await self.receive()
        assert answered == number, "Marionette answers in order"
        if error:
            raise MarionetteError(f"{error['error']}: {error['message']}")
        return result

    async def load(self, url: str, timeout_s: float = 30) -> Page:
        async with asyncio.timeout(timeout_s):
            try:
                await self.call("WebDriver:Navigate", url=url)
            except MarionetteError as exc:
                return Page(text="", status=0, issuer="", subject="", error=str(exc))
            text = await self._script("return document.body.innerText")
            status = await self._script("return performance.getEntriesByType('navigation')[0].responseStatus")
            await self.call("Marionette:SetContext", value="chrome")
            issuer, subject = await self._script(_CERTIFICATE)
            await self.call("Marionette:SetContext", value="content")
        return Page(text=text, status=status or 0, issuer=issuer, subject=subject)

    async def _script(self, script: str) -> Any:
        return (await self.call("WebDriver:ExecuteScript", script=script, args=[]))["value"]

    async def close(self) -> None:
        with contextlib.suppress(MarionetteError, asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            async with asyncio.timeout(10):
                await self.call("Marionette:Quit", flags=["eForceQuit"])
        self._writer.close()


async def _make_profile(folder: Path, preferences: Mapping[str, object], certificates: tuple[Path, ...]) -> Path:
    profile = folder / "profile"
    profile.mkdir(parents=True)
    lines = [f"user_pref({json.dumps(k)}, {json.dumps(v)});" for k, v in {**PREFERENCES, **preferences}.items()]
    (profile / "user.js").write_text("\n".join(lines))
    for i, certificate in enumerate(certificates):
        command = ("certutil", "-A", "-d", f"sql:{profile}", "-n", f"test {i}", "-t", "C,,", "-i", str(certificate))
        adding = await asyncio.create_subprocess_exec(*command)
        assert await adding.wait() == 0, "certutil could not add the certificate"
    return profile


@contextlib.asynccontextmanager
async def firefox(
    folder: Path, preferences: Mapping[str, object], certificates: tuple[Path, ...] = ()
) -> AsyncIterator[Firefox]:
    """A running browser with a fresh profile under ``folder`` that trusts ``certificates`` beside its own."""
    profile = await _make_profile(folder, preferences, certificates)
    binary = shutil.which("firefox-esr") or shutil.which("firefox")
    assert binary, "firefox is not installed"
    environment = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
    process = await asyncio.create_subprocess_exec(
        binary,
        "--headless",
        "--no-remote",
        "--marionette",
        # lets Marionette look at the certificate of the page (its "chrome" context)
        "--remote-allow-system-access",
        "--profile",
        str(profile),
        env=environment | {"HOME": str(folder), "MOZ_HEADLESS": "1"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        browser = await _connect(profile / "MarionetteActivePort")
        try:
            await browser.receive()
            await browser.call("WebDriver:NewSession", capabilities={"alwaysMatch": {"acceptInsecureCerts": False}})
            yield browser
        finally:
            await browser.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        await process.wait()


async def _connect(port_file: Path) -> Firefox:
    """Firefox writes the port into its profile once it listens."""
    async with asyncio.timeout(80):
        while True:
            with contextlib.suppress(OSError, ValueError):
                return Firefox(*await asyncio.open_connection("127.0.0.1", int(port_file.read_text())))
            await asyncio.sleep(0.1)
