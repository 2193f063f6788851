"""A network with everything in it: origins, their DNS, a real ``steering serve``, and what it says in its log.

Inside the namespace the service has the addresses that a gateway would have.  Programs find it as on a real client:
by /etc/resolv.conf, by the PAC's URL, or by being told the proxy.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from tests.dns.upstream import UpstreamServer
from tests.inspector.origin import Origin, origin_ca
from tests.kit import wait_until
from tests.service import STEERING, LiveService, Settings, environment, over, service_in
from tests.wire.internet import ADDRESSES, GATEWAY, running_internet
from tests.wire.namespace import Ended, Namespace

CLIENT = "127.0.0.1"  # where programs here call from, unless told otherwise
PROXY = "http://127.0.0.1:3128"
CONTROL = "http://127.0.0.1:8080"
PAC_URL = f"{CONTROL}/proxy.pac"
BY_DEFAULT = "no rule matches: inspected by default"
ORIGIN_TEXT = "This is the origin."
INSPECTION_CA = "Steering inspection CA"
ORIGIN_CA = "test origins"

RULES: list[dict[str, Any]] = [
    {"name": "Pinned app", "domains": ["pin.example"], "reason": "pinned"},
    {"name": "No gambling", "action": "block", "domains": ["blocked.example"]},
    {"name": "Laboratory", "domains": ["lab.example"], "source": ["127.0.0.2"]},
    {"name": "Tool", "domains": ["tool.example"], "programs": ["tool"]},
]

# Networks end within 127.0.0.0/8, so that other clients are to be had for the asking: 127.0.0.0 to .3 are steered,
# .4 to .7 answered truly, .8 and what follows refused.
SETTINGS: Settings = {
    "policy": {"internal_networks": ["10.0.0.0/8"]},
    "control": {"listen": "127.0.0.1:8080", "public_url": "http://steering.example:8080"},
    "inspector": {
        "listen": "127.0.0.1:3128",
        "tls_listen": f"{GATEWAY}:443",
        "http_listen": f"{GATEWAY}:80",
        "allowed": ["127.0.0.0/29", "192.31.196.0/24"],
        "allow_destinations": [],
        "workers": 2,
    },
    "dns": {
        "listen": "127.0.0.1:53",
        "inspector_addresses": [GATEWAY],
        "steered": ["127.0.0.0/30"],
        "allowed": ["127.0.0.0/29"],
        "query_log": True,
    },
}

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


def check_line(line: Line, **expected: Any) -> None:
    """``line`` whole: ``expected`` over an empty one; of the two times only that they can be true."""
    began = datetime.fromisoformat(line.pop("time"))
    assert timedelta(0) <= datetime.now(UTC) - began < timedelta(minutes=1)
    assert 0 <= line.pop("duration_ms") < 60_000
    assert bool(line["id"]) <= (line["action"] != "tunnel")
    empty: Line = {
        "point": "inspector", "client": CLIENT, "user": "", "program": "", "host": "", "action": "", "rule": None,
        "why": "", "pending": [], "reason": "", "detail": "", "status": 0, "sent": 0, "received": 0, "id": "",
    }  # fmt: skip
    assert line == empty | expected


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """Made by ``running_world``.  both_cas: a bundle of the inspection CA and that of the origins, which is what
    programs here trust.
    """

    space: Namespace
    service: LiveService
    origin: Origin
    upstream: UpstreamServer
    lines: AccessLines
    both_cas: Path

    def command(self, *arguments: str | Path, **how: Any) -> Ended:
        return self.space.command(*arguments, **how)

    def curl(self, *arguments: str) -> Ended:
        return self.command("curl", "-sS", "--max-time", "20", "--cacert", self.both_cas, *arguments)

    def steering(self, *arguments: str) -> Ended:
        return self.command(*STEERING, *arguments, folder=self.service.folder, environment=environment())


@contextmanager
def running_world(
    folder: Path,
    rules: Sequence[Mapping[str, object]] | bytes = RULES,
    settings: Settings | None = None,
    addresses: Sequence[str] = (),
) -> Iterator[World]:
    """Everything, started; ended with the block.  settings, addresses: more of them."""
    (folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:2 attempts:2\n")
    (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    files = {Path("/etc") / name: folder / name for name in ("resolv.conf", "nsswitch.conf")}
    with (
        Namespace((*ADDRESSES, *addresses), files) as space,
        space.holding(_whole(space, folder, rules, settings or {})) as world,
    ):
        yield world


@asynccontextmanager
async def _whole(
    space: Namespace, folder: Path, rules: Sequence[Mapping[str, object]] | bytes, settings: Settings
) -> AsyncIterator[World]:
    async with running_internet() as (origin, upstream):
        server = f"udp://127.0.0.1:{upstream.port}"
        local: Settings = {
            "dns": {"upstreams": [server], "zones": {"corp.example": [server]}},
            "inspector": {"trust": [str(origin_ca().file)]},
        }
        service = service_in(folder, rules, over(over(SETTINGS, local), settings))
        try:
            await asyncio.to_thread(service.start)
            both_cas = folder / "both.pem"
            both_cas.write_bytes(service.ca.read_bytes() + origin_ca().file.read_bytes())
            yield World(
                space=space,
                service=service,
                origin=origin,
                upstream=upstream,
                lines=AccessLines(folder / "access.log"),
                both_cas=both_cas,
            )
            assert await asyncio.to_thread(service.stop) == 0, service.log()
        finally:
            service.kill()
