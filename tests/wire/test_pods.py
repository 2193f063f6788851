"""The pods of the manifests, run: each in a network of its own, by the arguments, settings and ports that stand there.

Volumes are folders; where the manifests mount them, paths lead there.
"""

import asyncio
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.deploy.test_kubernetes import Workload, workload
from tests.kit import ROOT, wait_until
from tests.service import STEERING, environment
from tests.wire.namespace import Namespace

pytestmark = pytest.mark.needs("unshare", "curl")

CONTROL, FOLLOWER = "10.11.0.1", "10.11.0.2"


@dataclass(kw_only=True)
class Pod:
    """volumes: mount path -> folder."""

    at: Workload
    space: Namespace
    folder: Path
    volumes: dict[str, Path]
    _process: "asyncio.subprocess.Process | None" = None

    def here(self, text: str) -> str:
        for mounted, folder in self.volumes.items():
            text = text.replace(mounted, str(folder))
        return text

    def start(self) -> None:
        """With the image's own configuration below the settings of the manifest."""
        config = self.folder / "steering.toml"
        config.write_text(self.here((ROOT / "deploy" / "container" / "steering.toml").read_text("utf-8")))
        settings = {
            name: self.here(value) if value.startswith("/") else value for name, value in self.at.environment.items()
        }

        async def begin() -> asyncio.subprocess.Process:
            with (self.folder / "log").open("ab") as log:
                return await asyncio.create_subprocess_exec(
                    *STEERING, *self.at.container["args"], "--config", str(config),
                    stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log, env=environment(**settings),
                )  # fmt: skip

        self._process = self.space.run(begin())

    def probe(self, kind: str) -> int:
        """What the kubelet would be answered; 0 where nothing listens."""
        asked = self.at.container[f"{kind}Probe"]["httpGet"]
        url = f"http://127.0.0.1:{self.at.ports[asked['port']][1]}{asked['path']}"
        return int(self.space.command("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url).out)

    def ready(self) -> bool:
        assert self._process is not None and self._process.returncode is None, (self.folder / "log").read_text()
        return self.probe("readiness") == 200

    def command(self, *arguments: str) -> str:
        config = ("--config", str(self.folder / "steering.toml"))
        ended = self.space.command(*STEERING, *arguments, *config, environment=environment())
        assert ended.code == 0, ended.err
        return ended.out

    def stop(self) -> int:
        """Its exit code; 0 too where it was never started."""
        if self._process is None:
            return 0
        if self._process.returncode is None:
            self._process.terminate()
        return self.space.run(self._process.wait(), 30)


@contextmanager
def pods(folder: Path) -> Iterator[tuple[Pod, Pod]]:
    """Control and an inspector, neither started yet, on one cable; Secrets are folders."""
    hosts = folder / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{CONTROL} control\n")
    for name in ("control/state", "inspector/state", "join", "ca"):
        (folder / name).mkdir(parents=True)
    with Namespace() as there, Namespace((), {Path("/etc/hosts"): hosts}) as here:
        for space, commands in (
            (here, [f"ip link add cable type veth peer name cable netns {there.network}"]),
            (there, [f"ip address add {CONTROL}/24 dev cable", "ip link set cable up"]),
            (here, [f"ip address add {FOLLOWER}/24 dev cable", "ip link set cable up"]),
        ):
            for command in commands:
                assert space.command(*command.split()).code == 0, command
        secrets = {"/join": folder / "join", "/ca": folder / "ca"}
        made = []
        for name, space in (("control", there), ("inspector", here)):
            volumes = {"/state": folder / name / "state"} | (secrets if name == "inspector" else {})
            made.append(Pod(at=workload(name), space=space, folder=folder / name, volumes=volumes))
        control, inspector = made
        try:
            yield control, inspector
        finally:
            for pod in made:
                assert pod.stop() == 0, (pod.folder / "log").read_text()


def test_an_inspector_joins_and_follows(tmp_path: Path) -> None:
    with pods(tmp_path) as (control, inspector):
        control.start()
        wait_until(control.ready, 60, "the readiness of control")
        token = control.command("endpoint", "token", "--uses", "100000", "--hours", "8760")
        (tmp_path / "join" / "token").write_text(token)
        for name in ("ca.pem", "ca.key"):
            shutil.copy(tmp_path / "control" / "state" / "ca" / name, tmp_path / "ca" / name)
        inspector.start()
        wait_until(inspector.ready, 60, "the readiness of the inspector")
        assert (control.probe("liveness"), inspector.probe("liveness")) == (200, 200)

        def revision(pod: Pod) -> str:
            return str(json.loads(pod.command("status", "--json"))["revision"])

        before = revision(control)
        assert revision(inspector) == before
        listed = control.command("endpoints", "list")
        assert "(inspector, control)" in listed
        control.command("rules", "disable", "Bypass Zoom - Pre-configured")
        wait_until(lambda: revision(control) != before and revision(inspector) == revision(control), 30, "the change")
        port = inspector.at.ports["proxy"][1]
        answer = inspector.space.command("curl", "-s", "-x", f"http://{FOLLOWER}:{port}", "http://127.0.0.1/")
        assert "Not reached from here" in answer.out, "the inspector serves, and keeps what is inside to itself"
