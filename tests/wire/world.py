"""A network with everything in it: origins, their DNS, a real ``steering serve``, and what it says in its log.

Inside the namespace the service has the addresses that a gateway would have.  Programs find it as on a real client:
by /etc/resolv.conf, by the PAC's URL, or by being told the proxy.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.dns.upstream import UpstreamServer
from tests.inspector.origin import Origin, origin_ca
from tests.kit import ROOT, wait_until
from tests.wire.internet import ADDRESSES, GATEWAY, running_internet
from tests.wire.namespace import Ended, Namespace, unproxied

PROXY = "http://127.0.0.1:3128"
CONTROL = "http://127.0.0.1:8080"
PAC_URL = f"{CONTROL}/proxy.pac"
INSPECTION_CA = "Steering inspection CA"
ORIGIN_CA = "test origins"

RULES: dict[str, Any] = {
    "version": 1,
    "rules": [
        {"name": "Pinned app", "domains": ["pin.example"], "reason": "pinned"},
        {"name": "No gambling", "action": "block", "domains": ["blocked.example"]},
        {"name": "Laboratory", "domains": ["lab.example"], "source": ["127.0.0.2"]},
        {"name": "Tool", "domains": ["tool.example"], "programs": ["tool"]},
    ],
}

# Networks end within 127.0.0.0/8, so that other clients are to be had for the asking: 127.0.0.0 to .3 are steered,
# .4 to .7 answered truly, .8 and what follows refused.
SETTINGS = """
[policy]
rules = "rules.json"
[state]
dir = "state"
[control]
listen = "127.0.0.1:8080"
[inspector]
listen = "127.0.0.1:3128"
tls_listen = "{gateway}:443"
http_listen = "{gateway}:80"
allowed = ["127.0.0.0/29", "192.0.2.0/24"]
trust = ["{origin_ca}"]
allow_destinations = ["192.0.2.0/24"]
workers = 2
[dns]
listen = "127.0.0.1:53"
inspector_addresses = ["{gateway}"]
upstreams = ["udp://127.0.0.1:{upstream}"]
steered = ["127.0.0.0/30"]
allowed = ["127.0.0.0/29"]
query_log = true
[log]
format = "json"
access = "access.log"
"""

Line = dict[str, Any]


class AccessLines:
    """The service's access lines, read from its file."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def now(self) -> int:
        """A place in the file, for ``after``."""
        return self._file.stat().st_size if self._file.exists() else 0

    def since(self, place: int, **fields: object) -> list[Line]:
        """Lines written after ``place`` so far that hold ``fields``."""
        if not self._file.exists():
            return []
        with self._file.open("rb") as file:
            file.seek(place)
            text = file.read()
        whole = text[: text.rfind(b"\n") + 1]
        lines: list[Line] = [json.loads(line) for line in whole.splitlines()]
        return [line for line in lines if all(line[key] == value for key, value in fields.items())]

    def after(self, place: int, **fields: object) -> Line:
        """The first such line; waited for."""
        wait_until(lambda: self.since(place, **fields), what=f"an access line with {fields}")
        return self.since(place, **fields)[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Made by ``running_world``.  folder: of the configuration."""

    space: Namespace
    folder: Path
    origin: Origin
    upstream: UpstreamServer
    lines: AccessLines

    @property
    def ca(self) -> Path:
        return self.folder / "state" / "ca" / "ca.pem"

    @property
    def both_cas(self) -> Path:
        """A bundle with the inspection CA and that of the origins: what programs here trust."""
        return self.folder / "both.pem"

    def command(self, *arguments: str | Path, **how: Any) -> Ended:
        return self.space.command(*arguments, **how)

    def curl(self, *arguments: str) -> Ended:
        return self.command("curl", "-sS", "--max-time", "20", "--cacert", self.both_cas, *arguments)

    def steering(self, *arguments: str) -> Ended:
        return self.command(*STEERING, *arguments, folder=self.folder, environment=_paths())

    def write_rules(self, rules: Mapping[str, Any]) -> None:
        """Replace the rules file, as editors do."""
        write_rules(self.folder, rules)


STEERING = (sys.executable, "-c", "from steering.cli import main; main()")


def _paths() -> dict[str, str]:
    return {"PYTHONPATH": os.pathsep.join(str(ROOT / part) for part in ("", "dns", "inspector"))}


def write_rules(folder: Path, rules: Mapping[str, Any]) -> None:
    new = folder / "rules.json.new"
    new.write_text(json.dumps(rules, indent=2))
    new.replace(folder / "rules.json")


@contextmanager
def running_world(folder: Path, rules: Mapping[str, Any] = RULES) -> Iterator[World]:
    """Everything, started; ended with the block."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
    (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    files = {Path("/etc") / name: folder / name for name in ("resolv.conf", "nsswitch.conf")}
    with Namespace(ADDRESSES, files) as space, space.holding(_whole(space, folder, rules)) as world:
        yield world


@asynccontextmanager
async def _whole(space: Namespace, folder: Path, rules: Mapping[str, Any]) -> AsyncIterator[World]:
    async with running_internet() as (origin, upstream):
        settings = SETTINGS.format(gateway=GATEWAY, origin_ca=origin_ca().file, upstream=upstream.port)
        (folder / "steering.toml").write_text(settings)
        write_rules(folder, rules)
        async with _serving(folder):
            lines = AccessLines(folder / "access.log")
            world = World(space=space, folder=folder, origin=origin, upstream=upstream, lines=lines)
            world.both_cas.write_bytes(world.ca.read_bytes() + origin_ca().file.read_bytes())
            yield world


@asynccontextmanager
async def _serving(folder: Path) -> AsyncIterator[None]:
    """``steering serve`` in ``folder``, once it says that it serves."""
    output = folder / "service.log"
    with output.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            *STEERING, "serve", cwd=folder, env=unproxied() | _paths(), stdout=file, stderr=file
        )
    try:
        async with asyncio.timeout(60):
            while b"Steering serves policy" not in output.read_bytes():
                assert process.returncode is None, output.read_text()
                await asyncio.sleep(0.05)
        yield
        assert process.returncode is None, f"the service ended by itself:\n{output.read_text()}"
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 20)
            except TimeoutError:
                process.kill()
                await process.wait()
