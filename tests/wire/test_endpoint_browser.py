"""Chromium and curl through the local PAC and proxy of a real helper, in the machine's own network.

There the kernel tells of processes that execute something, so that programs are known whose sockets live on over an
exec; Chromium is one, and curl.  Names resolve by a hosts file that only the helper sees.
"""

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.inspector.origin import origin_ca
from tests.kit import eventually
from tests.service import NAMES, STEERING, Settings, World, command, environment, world
from tests.wire.chromium import chromium
from tests.wire.peers import issuer_in
from tests.wire.world import INSPECTION_CA, ORIGIN_CA

pytestmark = pytest.mark.needs("unshare")

RULES: list[dict[str, Any]] = [
    {"name": "Browser", "programs": ["chromium"], "domains": ["www.example"]},
    {"name": "Slack", "programs": ["slack"], "domains": ["other.example"]},
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Helped:
    """at: the service.  proxy: "ADDRESS:PORT" of the helper, whose state is in ``folder``."""

    at: World
    proxy: str
    folder: Path

    @property
    def both_cas(self) -> Path:
        file = self.folder / "both.pem"
        file.write_bytes(self.at.service.ca.read_bytes() + origin_ca().file.read_bytes())
        return file

    def lines(self, **wanted: object) -> list[dict[str, Any]]:
        file = self.folder / "access.log"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [line for line in lines if wanted.items() <= line.items()]


@asynccontextmanager
async def helped(folder: Path, rules: Sequence[dict[str, Any]]) -> AsyncIterator[Helped]:
    settings: Settings = {
        "control": {"endpoint_listen": "127.0.0.1:0"},
        "inspector": {"endpoint_listen": "127.0.0.1:0"},
        "dns": {"inspector_addresses": ["127.0.0.9"]},  # the origins are at 127.0.0.1
    }
    async with world(folder / "service", rules, settings) as at:
        state = folder / "helper"
        token = (await asyncio.to_thread(at.service.ask, "POST", "/endpoints/token", {}))["token"]
        done = await asyncio.to_thread(command, "endpoint", "enrol", token, "--state", state)
        assert done.returncode == 0, done.stderr
        (state / "hosts").write_text("".join(f"127.0.0.1 {name}\n" for name in NAMES))
        process = await asyncio.create_subprocess_exec(
            *("unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(state / "hosts")),
            *(*STEERING, "endpoint", "run", "--state", str(state), "--listen", "127.0.0.1:0"),
            *("--log-format", "json", "--access", "access.log"),
            env=environment(),
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        try:
            said: dict[str, Any] = {}
            while said.get("event") != "serving":
                line = await asyncio.wait_for(process.stderr.readline(), 30)
                assert line, "the helper ended"
                said = json.loads(line) if line.startswith(b"{") else {}
            draining = asyncio.ensure_future(process.stderr.read())
            yield Helped(at=at, proxy=said["proxy"], folder=state)
        finally:
            if process.returncode is None:
                process.terminate()
            assert await asyncio.wait_for(process.wait(), 30) == 0
            await draining


@pytest.mark.needs("chromium", "certutil", "curl")
async def test_a_rule_by_program_bypasses_chromium_and_not_curl(tmp_path: Path) -> None:
    async with helped(tmp_path, RULES) as it:
        url = it.at.url("www.example")
        flags = (f"--proxy-pac-url=http://{it.proxy}/proxy.pac",)
        certificates = (it.at.service.ca, origin_ca().file)
        async with chromium(tmp_path / "chromium", *flags, certificates=certificates) as browser:
            page = await browser.load(url)
            assert (page.status, page.issuer) == (200, ORIGIN_CA)
            page = await browser.load(it.at.url("other.example"))
            assert (page.status, page.issuer) == (200, INSPECTION_CA)
        await eventually(lambda: it.lines(host="www.example", program="chromium", action="direct", rule="Browser"))
        await eventually(lambda: it.lines(host="other.example", program="chromium", action="proxy"))
        assert await _by_curl(it, "curl", url) == INSPECTION_CA
        assert await _by_curl(it, "curl", it.at.url("other.example")) == INSPECTION_CA
        assert await _by_curl(it, "slack", it.at.url("other.example")) == ORIGIN_CA
        await eventually(lambda: it.lines(host="other.example", program="slack", action="direct", rule="Slack"))


async def _by_curl(it: Helped, name: str, url: str) -> str:
    """Who signed what curl, by that name, saw."""
    curl = it.folder / name
    shutil.copy(str(shutil.which("curl")), curl)
    process = await asyncio.create_subprocess_exec(
        *(curl, "-sSv", "--max-time", "20", "--cacert", it.both_cas, "--proxy", f"http://{it.proxy}", url),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": "/usr/bin:/bin"},
    )
    _, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return issuer_in(err.decode())
