"""compose.yaml, walked as the documentation says: as one service, and as three that share one rule set."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.container.engine import IMAGE, Engine
from tests.inspector.origin import origin_ca
from tests.kit import ROOT, wait_until
from tests.wire.internet import ADDRESS

pytestmark = [
    pytest.mark.kernel("containers"),
    pytest.mark.needs("podman", "podman-compose", "container-base", "curl", "dig", "root", "ip", "unshare"),
]

PINNED = {"rules": [{"name": "Pinned app", "domains": ["pin.example"]}]}
SPLIT = ("control", "dns", "inspector")


class Project:
    """compose.yaml, with an override that names the internet of the tests.  Publishes on loopback."""

    def __init__(self, engine: Engine, folder: Path, services: tuple[str, ...]) -> None:
        self._engine = engine
        self.services = services
        (folder / "origin-ca.pem").write_bytes(origin_ca().file.read_bytes())
        folder.chmod(0o755)
        more = {
            "environment": {
                "STEERING_INSPECTOR_TRUST": "/run/trust/origin-ca.pem",
                "STEERING_DNS_WORKERS": "1",
            },
            "volumes": [f"{folder}:/run/trust:ro"],
        }
        override = folder / "compose.override.yaml"
        override.write_text(json.dumps({"services": dict.fromkeys(services, more)}))
        self._line: list[str | Path] = [
            sys.executable,
            "-m",
            "podman_compose",
            "-p",
            "steer",
            "-f",
            ROOT / "compose.yaml",
            "-f",
            override,
        ]

    def compose(self, *arguments: str) -> str:
        ended = self._engine.command(*self._line, *arguments, within_s=120, STEERING_IMAGE=IMAGE)
        assert ended.code == 0, ended.err
        return ended.out

    def exec(self, service: str, *arguments: str) -> str:
        return self._engine.podman("exec", f"steer_{service}_1", *arguments)

    def write_rules(self, service: str, content: object) -> None:
        change = f"import pathlib; pathlib.Path('/state/rules.json').write_text({json.dumps(content)!r})"
        self.exec(service, "/opt/steering/bin/python", "-c", change)

    def wait(self) -> None:
        self._engine.wait_until_ready(*(f"steer_{service}_1" for service in self.services))


@contextmanager
def running(engine: Engine, folder: Path, *services: str) -> Iterator[Project]:
    project = Project(engine, folder, services)
    profile = ["--profile", "split"] if len(services) > 1 else []
    try:
        project.compose(*profile, "up", "-d", *(services if profile else ()))
        project.wait()
        yield project
    finally:
        project.compose(*profile, "down", "-v", "-t", "20")


def page(engine: Engine, host: str, ca: Path) -> tuple[int, bool]:
    """curl's code, and whether it is the origin's page, through the published proxy."""
    ended = engine.curl("--proxy", "http://127.0.0.1:3128", "--cacert", ca, f"https://{host}/")
    return ended.code, "This is the origin." in ended.out


def test_one_service(engine: Engine, tmp_path: Path) -> None:
    with running(engine, tmp_path, "steering") as project:
        ready = json.loads(engine.curl("http://127.0.0.1:8080/readyz").out)
        assert ready["status"] == "ok"
        found = engine.inspect("steer_steering_1")
        assert found["HostConfig"]["ReadonlyRootfs"] and "CAP_NET_BIND_SERVICE" not in str(found["EffectiveCaps"])
        assert engine.dig(8053, "inspected.example") == "127.0.0.1"
        assert project.exec("steering", "steering", "explain", "zoom.us").startswith("zoom.us: bypass")


def test_three_services_of_one_rule_set(engine: Engine, tmp_path: Path) -> None:
    """A change at the control service is followed; the CA is one; and without the control service they go on."""
    ca = tmp_path / "ca.pem"
    with running(engine, tmp_path, *SPLIT) as project:
        ca.write_text(engine.curl("http://127.0.0.1:8080/ca.pem").out)
        assert page(engine, "pin.example", ca) == page(engine, "inspected.example", ca) == (0, True)
        assert engine.dig(8053, "pin.example") == "127.0.0.1"
        project.write_rules("control", PINNED)
        wait_until(lambda: engine.dig(8053, "pin.example") == ADDRESS, 20, "the resolver follows")
        wait_until(lambda: page(engine, "pin.example", origin_ca().file) == (0, True), 20, "the inspector follows")
        wait_until(lambda: "pin.example" in engine.curl("http://127.0.0.1:8080/proxy.pac").out, 20, "the PAC too")

        def is_reported() -> bool:
            listed = json.loads(project.exec("control", "steering", "endpoints", "list", "--json"))
            return {device["report"]["revision"] for device in listed["devices"]} == {listed["revision"]}

        wait_until(is_reported, 20, "both report what they enforce")
        project.compose("--profile", "split", "stop", "-t", "20", "control")
        project.compose("--profile", "split", "restart", "-t", "20", "dns", "inspector")
        engine.wait_until_ready("steer_dns_1", "steer_inspector_1")
        assert engine.dig(8053, "pin.example") == ADDRESS
        assert page(engine, "inspected.example", ca) == (0, True)
