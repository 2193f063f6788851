"""A laptop on the road: a network of its own, joined to that of the service by one cable, with a real helper on it.

It knows the internet's names by a hosts file, and nobody steers it: what goes direct, and what through the inspector,
is the helper's doing alone.  The helper runs as a user of its own with the four capabilities of its unit; programs run
as whoever starts them.
"""

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGTERM, Signals
from typing import Any
from urllib.parse import urlsplit

from tests.kit import wait_until
from tests.service import STEERING, Settings, environment, over
from tests.wire.internet import ADDRESS6, RECORDS
from tests.wire.namespace import Ended, Namespace
from tests.wire.world import AccessLines, World, running_world

HERE, THERE = "10.77.0.2", "10.77.0.1"  # the laptop's end of the cable, and the service's
HERE6, THERE6 = "fd77::2", "fd77::1"
PROXY = "http://127.0.0.1:3129"
UID = 4242
CAPABILITIES = "+net_admin,+bpf,+sys_ptrace,+dac_read_search"

SETTINGS: Settings = {
    "control": {"endpoint_listen": f"{THERE}:8444", "endpoint_url": f"https://{THERE}:8444"},
    "inspector": {
        "endpoint_listen": f"{THERE}:3130",
        "allowed": ["127.0.0.0/8", "10.77.0.0/24"],
        "allow_destinations": [f"{ADDRESS6}/128"],  # of IPv6, nothing that is nobody's counts as public
        "workers": 1,
    },
}


@dataclass(kw_only=True)
class Helper:
    """``steering endpoint run`` as a process on the laptop.  prefix: what it is started by, as setpriv."""

    space: Namespace
    folder: Path
    prefix: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    _process: "asyncio.subprocess.Process | None" = None

    @property
    def lines(self) -> AccessLines:
        return AccessLines(self.folder / "access.log")

    def log(self) -> list[dict[str, Any]]:
        file = self.folder / "stderr"
        return [json.loads(line) for line in file.read_text().splitlines() if line.startswith("{")]

    def events(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line.get("event") == event]

    def command(self, *arguments: str | Path, **how: Any) -> Ended:
        """``steering endpoint ARGUMENTS`` on the laptop, as the helper's user."""
        line = (*self.prefix, *STEERING, "endpoint", *arguments, "--state", self.folder)
        return self.space.command(*line, environment=environment(HOME=str(self.folder)), **how)

    def launch(self) -> None:
        async def begin() -> asyncio.subprocess.Process:
            with (self.folder / "stderr").open("ab") as err, (self.folder / "stdout").open("ab") as out:
                return await asyncio.create_subprocess_exec(
                    *self.prefix, *STEERING, "endpoint", "run", "--state", str(self.folder),
                    "--log-format", "json", "--access", "access.log", *self.arguments,
                    stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=err,
                    env=environment(HOME=str(self.folder), **self.environment),
                )  # fmt: skip

        self._process = self.space.run(begin())

    def start(self) -> "Helper":
        """Launch, and wait until it serves."""
        before = len(self.events("serving")) if (self.folder / "stderr").exists() else 0
        self.launch()

        def serves() -> bool:
            assert self._process is not None and self._process.returncode is None, self.text()
            return len(self.events("serving")) > before

        wait_until(serves, 30, "the helper's readiness")
        return self

    def text(self) -> str:
        return (self.folder / "stderr").read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def signal(self, number: Signals) -> None:
        os.kill(self.pid, number)

    def end(self, number: Signals = SIGTERM) -> int:
        """Its exit code; harmless where it has ended."""
        process = self._process
        if process is None:
            return 0
        if process.returncode is None:
            process.send_signal(number)
        return self.space.run(process.wait(), 30)

    def wait(self, within_s: float) -> bool:
        """Whether it ends by itself within that time."""
        process = self._process
        assert process is not None

        async def ended() -> bool:
            try:
                await asyncio.wait_for(process.wait(), within_s)
            except TimeoutError:
                return False
            return True

        return self.space.run(ended())

    def restart(self, number: Signals = SIGTERM) -> None:
        self.end(number)
        self.start()

    def revision(self) -> str:
        """Of the policy in force last, as the helper logged it."""
        told = [line["revision"] for line in self.log() if line.get("revision")]
        return told[-1] if told else ""


# Any program: its socket closes on exec, as those of browsers and of most runtimes do.  In a network namespace the
# kernel tells nobody of execs, so that of one whose socket does not (curl before 8) nobody knows what it was.
_PROGRAM = """
import http.client, json, socket, ssl, sys
scheme, host, port, path, proxy, bundle, family = sys.argv[1:]
context = ssl.create_default_context(cafile=bundle)
def connect(address, timeout=None, source=None):
    mapped = socket.AI_V4MAPPED if int(family) == socket.AF_INET6 else 0
    *kind, _, where = socket.getaddrinfo(*address, int(family), socket.SOCK_STREAM, 0, mapped)[0]
    sock = socket.socket(*kind)
    sock.settimeout(20)
    sock.connect(where)
    return sock
kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
tls = {"context": context} if scheme == "https" else {}
there = proxy.split("://")[-1].rpartition(":") if proxy else (host, "", port)
connection = kind(there[0].strip("[]"), int(there[2]), **tls)
connection._create_connection = connect
answer = {"issuer": "", "status": 0, "text": "", "error": ""}
try:
    if proxy and scheme == "https":
        connection.set_tunnel(host, int(port))
    connection.connect()
    if scheme == "https":
        issuer = connection.sock.getpeercert()["issuer"]
        answer["issuer"] = dict(pair for part in issuer for pair in part)["commonName"]
    target = f"http://{host}:{port}{path}" if proxy and scheme == "http" else path
    connection.request("GET", target, headers={"Host": host})
    response = connection.getresponse()
    answer["status"], answer["text"] = response.status, response.read().decode()
except OSError as exc:
    answer["error"] = str(exc)
print(json.dumps(answer))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """issuer: of the certificate that was verified, "" for none.  error: what the program says, "" for nothing."""

    issuer: str
    status: int
    text: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Laptop:
    """world: everything else.  space: the laptop's own network.  helper: enrolled, running."""

    world: World
    space: Namespace
    helper: Helper
    folder: Path

    def command(self, *arguments: str | Path, **how: Any) -> Ended:
        return self.space.command(*arguments, **how)

    def program(self, name: str) -> Path:
        """A program under any name: what it is called is all that differs."""
        there = self.folder / "bin" / name
        if not there.exists():
            there.parent.mkdir(exist_ok=True)
            shutil.copy(Path(sys.executable).resolve(), there)
        return there

    def fetch(self, program: str, url: str, proxy: str = PROXY, family: int = 0) -> Fetched:
        """``url`` by a program of that name; proxy "": as one that knows of none."""
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        asked: tuple[object, ...] = (
            parts.scheme,
            parts.hostname,
            port,
            parts.path or "/",
            proxy,
            self.world.both_cas,
            family,
        )
        ended = self.command(
            self.program(program), "-c", _PROGRAM, *map(str, asked), environment={"PYTHONHOME": sys.base_prefix}
        )
        assert ended.code == 0, ended.err
        return Fetched(**json.loads(ended.out))

    @contextmanager
    def running(self, program: str, script: str) -> "Iterator[subprocess.Popen[str]]":
        """A Python script under a program's name; its output is to be read line by line.  Killed at the end."""
        line = [str(self.program(program)), "-c", script]
        made = {"PYTHONHOME": sys.base_prefix, "PATH": os.environ["PATH"]}

        def begin() -> "subprocess.Popen[str]":
            return subprocess.Popen(line, env=made, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

        with self.space.call(begin) as process:
            try:
                yield process
            finally:
                process.kill()

    @contextmanager
    def modes(self, **modes: str) -> Iterator[None]:
        """With other modes in force, at the service and at the helper."""
        before = self.world.service.settings
        self._use(over(before, {"endpoint": modes}))
        try:
            yield
        finally:
            self._use(before)

    def _use(self, settings: Settings) -> None:
        service = self.world.service
        known = len(self.helper.events("policy in force"))
        self.world.space.call(service.stop)
        service.settings = settings
        self.world.space.call(service.start)
        wait_until(lambda: len(self.helper.events("policy in force")) > known, 30, "the new modes at the helper")

    def enforce(self, rules: Sequence[Mapping[str, object]] | bytes) -> None:
        """Change the rules at the service, and return when the helper enforces them."""
        answer = self.world.service.enforce(rules)
        wait_until(lambda: self.helper.revision() == answer["revision"], 20, "the new policy at the helper")


def helper_in(
    world: World, space: Namespace, folder: Path, *arguments: str, group: str = "", within: tuple[str, ...] = ()
) -> Helper:
    """Enrolled with the world's service and not started.  As a user of its own, who owns ``folder``.

    within: what confines it further, as a command that becomes the helper.
    """
    folder.mkdir(mode=0o700)
    os.chown(folder, UID, UID)
    prefix = (
        *("setpriv", "--reuid", str(UID), "--regid", str(UID), "--clear-groups"),
        *("--inh-caps", CAPABILITIES, "--ambient-caps", CAPABILITIES),
        *within,
    )
    helper = Helper(space=space, folder=folder, prefix=prefix, arguments=arguments)
    token = world.service.ask("POST", "/endpoints/token", {"group": group})["token"]
    ended = helper.command("enrol", "-", "--json", given=f"{token}\n".encode())
    assert ended.code == 0, ended.err
    return helper


@contextmanager
def running_laptop(
    folder: Path,
    rules: Sequence[Mapping[str, object]] | bytes,
    settings: Settings | None = None,
    *arguments: str,
    group: str = "",
    within: tuple[str, ...] = (),
) -> Iterator[Laptop]:
    """arguments: more of ``steering endpoint run``.  group: of the device.  within: as of ``helper_in``."""
    for name in ("service", "laptop"):
        (folder / name).mkdir()
    addresses = (f"{THERE}/32", f"{THERE6}/128")
    with (
        running_world(folder / "service", rules, over(SETTINGS, settings or {}), addresses) as world,
        Namespace((), _files(folder / "laptop")) as space,
    ):
        _join(space, world.space)
        helper = helper_in(world, space, folder / "helper", *arguments, group=group, within=within)
        try:
            yield Laptop(world=world, space=space, helper=helper.start(), folder=folder / "laptop")
        finally:
            helper.end()


def _files(folder: Path) -> Mapping[Path, Path]:
    contents = {
        "hosts": "".join(f"{values[0]} {name[:-1]}\n" for (name, kind), values in RECORDS.items() if kind[0] == "A"),
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
    }
    for name, text in contents.items():
        (folder / name).write_text(text)
    return {Path("/etc") / name: folder / name for name in contents}


def _join(here: Namespace, there: Namespace) -> None:
    """One cable; everything that is not here is there."""
    for space, commands in (
        (here, [f"ip link add cable type veth peer name cable netns {there.network}"]),
        (there, [f"ip address add {THERE}/24 dev cable", "ip link set cable up"]),
        (there, [f"ip address add {THERE6}/64 dev cable nodad"]),
        (here, [f"ip address add {HERE}/24 dev cable", f"ip address add {HERE6}/64 dev cable nodad"]),
        (here, ["ip link set cable up", f"ip route add default via {THERE}", f"ip route add default via {THERE6}"]),
    ):
        for command in commands:
            ended = space.command(*command.split())
            assert ended.code == 0, (command, ended.err)
