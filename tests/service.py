"""A real service for tests: ``steering serve`` as a process of its own, with a local internet around it.

``async with world(tmp_path, rules=[...]) as at:`` starts an authoritative upstream, a TLS origin, a plain origin and
the service on free ports, and ends all of it.  ``at.service`` is the process: addresses, pid, log and access lines,
reloads.  Every name in ``names`` resolves to 127.0.0.1, where the origins listen.

``LiveService`` itself is synchronous (calls are short); within an event loop that also runs the upstream or an
origin, what waits for them goes through ``asyncio.to_thread``.
"""

import asyncio
import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steering.control.client import NotRunning, ask
from steering.control.errors import ControlError
from steering.control.listening import Role
from tests.dns.upstream import Records, UpstreamServer
from tests.inspector.origin import Origin, origin_ca, running_origin
from tests.kit import ROOT, children_of, wait_until

NAMES = ("www.example", "pinned.example", "blocked.example", "other.example")
RULES: list[dict[str, Any]] = [
    {"name": "pinned", "action": "bypass", "domains": ["pinned.example"]},
    {"name": "banned", "action": "block", "domains": ["blocked.example"]},
]
Settings = Mapping[str, Mapping[str, object]]

# Ports of their own, loopback only, no question to the internet: a test's settings come on top.
QUIET: Settings = {
    "policy": {"rules": "rules.json", "internal_networks": []},
    "state": {"dir": "state"},
    "control": {"listen": "127.0.0.1:0"},
    "inspector": {
        "listen": "127.0.0.1:0",
        "tls_listen": "127.0.0.1:0",
        "http_listen": "127.0.0.1:0",
        "allow_destinations": ["127.0.0.0/8"],
        "workers": 1,
    },
    "dns": {"listen": "127.0.0.1:0", "upstreams": ["udp://127.0.0.1:9"], "workers": 1},
    "log": {"format": "json", "access": "access.log"},
}


def rules_text(rules: Sequence[Mapping[str, object]], **top: object) -> bytes:
    """A rules file.  top: other keys of it, as ``groups``."""
    return json.dumps({"version": 1, **top, "rules": list(rules)}, indent=1).encode()


def toml(settings: Settings) -> str:
    return "\n".join(
        f"[{section}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in keys.items())
        for section, keys in settings.items()
    )


def _toml(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + "}"
    return json.dumps(value)


def over(base: Settings, changes: Settings) -> dict[str, dict[str, object]]:
    """``base`` with ``changes`` on top, key by key."""
    return {section: {**base.get(section, {}), **changes.get(section, {})} for section in (*base, *changes)}


def environment(**extra: str) -> dict[str, str]:
    """This process's, without settings of ours, and with the checkout to import from."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("STEERING_")}
    path = os.pathsep.join(str(ROOT / part) for part in (".", "dns", "inspector"))
    return kept | {"PYTHONPATH": path} | extra


def command(*arguments: str | Path, cwd: Path | None = None, **extra: str) -> "subprocess.CompletedProcess[str]":
    """``steering ARGUMENTS`` run to its end.  extra: more of the environment."""
    line = [*STEERING, *map(str, arguments)]
    return subprocess.run(line, cwd=cwd, env=environment(**extra), capture_output=True, text=True, timeout=60)


STEERING = (sys.executable, "-P", "-c", "from steering.cli import main; main()")


@dataclass(kw_only=True)
class LiveService:
    """A folder with ``steering.toml`` and ``rules.json``, and the service that runs on it.

    addresses: role -> "HOST:PORT", known once it serves.  interpreter: the Python that runs it.  launcher: what
    becomes it, by an exec.
    """

    folder: Path
    settings: Settings
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    interpreter: str = sys.executable
    launcher: tuple[str, ...] = ()
    _process: "subprocess.Popen[bytes] | None" = None

    # Files

    @property
    def config(self) -> Path:
        return self.folder / "steering.toml"

    @property
    def rules(self) -> Path:
        return self.folder / "rules.json"

    @property
    def state(self) -> Path:
        return self.folder / str(self.settings["state"]["dir"])

    @property
    def ca(self) -> Path:
        return self.state / "ca" / "ca.pem"

    def log(self) -> str:
        """What the service says of itself: standard error, one JSON object a line."""
        return (self.folder / "stderr").read_text("utf-8", "replace")

    def output(self) -> str:
        return (self.folder / "stdout").read_text("utf-8", "replace")

    def access(self, **wanted: object) -> list[dict[str, Any]]:
        """The access lines so far, those whose fields are as ``wanted``."""
        file = self.folder / "access.log"
        lines = file.read_text("ascii").splitlines() if file.exists() else []
        found: list[dict[str, Any]] = [json.loads(line) for line in lines]
        return [line for line in found if wanted.items() <= line.items()]

    # The process

    def start(self, within_s: float = 60) -> "LiveService":
        """Start it and wait until a policy is enforced.  Fails with its messages when it ends instead."""
        self.launch()
        wait_until(self._is_ready, within_s, "readiness")
        return self

    def launch(self) -> None:
        """Start it and do not wait."""
        self.config.write_text(toml(self.settings), "utf-8")
        line = [*self.launcher, self.interpreter, *STEERING[1:], "serve", "--config", str(self.config), *self.arguments]
        with (self.folder / "stdout").open("ab") as out, (self.folder / "stderr").open("ab") as err:
            self._process = subprocess.Popen(
                line, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=environment(**self.environment)
            )

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"ended with {self._process.returncode}: {self.log()}"
        try:
            self.addresses = dict(self.status()["addresses"])
        except (NotRunning, ControlError):
            return False
        return Role.CONTROL.value not in self.addresses or self.ready()[0] == 200

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def workers(self) -> list[int]:
        """Process ids of the workers."""
        return children_of(self.pid, "steering.control.worker")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def wait(self, within_s: float = 30) -> int:
        """Its exit code."""
        assert self._process is not None
        return self._process.wait(within_s)

    def stop(self, within_s: float = 30) -> int:
        """SIGTERM, and its exit code; harmless when it has ended."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.terminate()
        try:
            return self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def kill(self) -> None:
        """SIGKILL to the parent and its workers, by their ids."""
        if self._process is None or self._process.poll() is not None:
            return
        with contextlib.suppress(OSError):
            for pid in self.workers():
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait(10)

    def restart(self) -> None:
        """Stop, and start on the same ports."""
        self.stop()
        self.keep_ports()
        self.start()

    def keep_ports(self) -> None:
        """Let the next start take the ports of this one."""
        at = self.addresses

        def if_on(role: Role, key: str) -> dict[str, str]:
            return {key: at[role.value]} if role.value in at else {}

        self.settings = over(
            self.settings,
            {
                "control": {"listen": at[Role.CONTROL.value]} | if_on(Role.ENDPOINT_CONTROL, "endpoint_listen"),
                "inspector": {
                    "listen": at[Role.EXPLICIT.value],
                    "tls_listen": at[Role.TLS.value],
                    "http_listen": at[Role.HTTP.value],
                }
                | if_on(Role.ENDPOINT, "endpoint_listen"),
                "dns": {"listen": at[Role.DNS_UDP.value]}
                | if_on(Role.DNS_TLS, "tls_listen")
                | if_on(Role.DNS_HTTPS, "https_listen"),
            },
        )

    # Where it listens

    def port(self, role: Role) -> int:
        return int(self.addresses[role.value].rpartition(":")[2])

    @property
    def control(self) -> str:
        """The control service's URL, without a final slash."""
        return f"http://{self.addresses[Role.CONTROL.value]}"

    @property
    def proxy(self) -> str:
        """The explicit proxy's URL."""
        return f"http://{self.addresses[Role.EXPLICIT.value]}"

    @property
    def dns_port(self) -> int:
        return self.port(Role.DNS_UDP)

    # Asking it

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> dict[str, Any]:
        """A question to the administration's socket.  Not within a running event loop (``asyncio.to_thread``)."""
        return ask(self.state / "steering.sock", method, path, body)

    def status(self) -> dict[str, Any]:
        return self.ask("GET", "/status")

    def get(
        self, path: str, headers: Mapping[str, str] | None = None, method: str = "GET"
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, fields (lower case) and body of a request to the control service, sent as written."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port(Role.CONTROL), timeout=20)
        try:
            connection.request(method, path, headers=dict(headers or {}))
            response = connection.getresponse()
            return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
        finally:
            connection.close()

    def ready(self) -> tuple[int, dict[str, Any]]:
        """Code and body of /readyz; (0, {}) while nothing answers."""
        try:
            status, _, body = self.get("/readyz")
        except OSError:
            return 0, {}
        return status, json.loads(body)

    def pac(self, path: str = "/proxy.pac") -> str:
        return self.get(path)[2].decode("ascii")

    # Rules

    def write_rules(self, rules: Sequence[Mapping[str, object]] | bytes, *, in_place: bool = False) -> None:
        """Change ``rules.json``: whole by a rename, or in place as many editors do.  The service notices by itself."""
        content = rules if isinstance(rules, bytes) else rules_text(rules)
        if in_place:
            self.rules.write_bytes(content)
            return
        beside = self.folder / ".rules.json.new"
        beside.write_bytes(content)
        beside.replace(self.rules)

    def reload(self) -> dict[str, Any]:
        """``steering reload``: when it returns, the rules are in force everywhere, or the answer says why not."""
        return self.ask("POST", "/reload")

    def enforce(self, rules: Sequence[Mapping[str, object]] | bytes) -> dict[str, Any]:
        """Change the rules and return when they are in force; fails when they cannot be."""
        self.write_rules(rules)
        answer = self.reload()
        assert answer["error"] is None, answer["error"]
        return answer


def service_in(
    folder: Path,
    rules: Sequence[Mapping[str, object]] | bytes = RULES,
    settings: Settings | None = None,
    *arguments: str,
    **environment: str,
) -> LiveService:
    """A service that is not started yet, with its files in ``folder``.  arguments: further ones of ``serve``."""
    folder.mkdir(parents=True, exist_ok=True)
    service = LiveService(
        folder=folder, settings=over(QUIET, settings or {}), arguments=arguments, environment=environment
    )
    service.write_rules(rules)
    return service


@dataclass(kw_only=True)
class World:
    """origin: TLS, its certificate for ``names`` from ``origin_ca()``, which the service trusts.  plain: HTTP."""

    service: LiveService
    upstream: UpstreamServer
    origin: Origin
    plain: Origin

    def url(self, host: str, path: str = "/hello") -> str:
        """An address that leads to the TLS origin."""
        return f"https://{host}:{self.origin.port}{path}"

    def plain_url(self, host: str, path: str = "/hello") -> str:
        return f"http://{host}:{self.plain.port}{path}"


@asynccontextmanager
async def world(
    folder: Path,
    rules: Sequence[Mapping[str, object]] | bytes = RULES,
    settings: Settings | None = None,
    *,
    names: Sequence[str] = NAMES,
    records: Records | None = None,
    start: bool = True,
) -> AsyncIterator[World]:
    """Upstream, origins and service.  records: more of them, or other ones, for the upstream."""
    found: Records = {(f"{name}.", "A"): ["127.0.0.1"] for name in names}
    async with (
        UpstreamServer(found | (records or {})) as upstream,
        running_origin(origin_ca().context(*names)) as origin,
        running_origin(None) as plain,
    ):
        local: Settings = {
            "dns": {"upstreams": [f"udp://127.0.0.1:{upstream.port}"]},
            "inspector": {
                "trust": [str(origin_ca().file)],
                "connect_ports": [443, origin.port],
                "origin_tls_port": origin.port,
                "origin_http_port": plain.port,
            },
        }
        service = service_in(folder, rules, over(local, settings or {}))
        try:
            if start:
                await asyncio.to_thread(service.start)
            yield World(service=service, upstream=upstream, origin=origin, plain=plain)
        finally:
            await asyncio.to_thread(_end, service)


def _end(service: LiveService) -> None:
    try:
        service.stop()
    finally:
        service.kill()
