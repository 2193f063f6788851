"""The image, built by our own Containerfile, runs without a right to anything, and does its work."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.container.engine import HARDENED, IMAGE, STEERING_UID, Engine
from tests.inspector.origin import origin_ca
from tests.wire.internet import ADDRESS

pytestmark = [
    pytest.mark.kernel("containers"),
    pytest.mark.needs("podman", "container-base", "curl", "dig", "root", "ip", "unshare"),
]

PUBLISHED = ("127.0.0.1:8080:8080", "127.0.0.1:3128:3128", "127.0.0.1:8053:8053/udp")
PROXY = "http://127.0.0.1:3128"
RULES = {"rules": [{"name": "Pinned app", "domains": ["pin.example"]}]}
SLIM_MB = 60  # over its base


@pytest.fixture(scope="module")
def name(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A hardened container with the image's own settings, but for an internet that is here."""
    config = tmp_path_factory.mktemp("config")
    (config / "origin-ca.pem").write_bytes(origin_ca().file.read_bytes())
    config.chmod(0o755)
    environment = {
        "STEERING_DNS_INSPECTOR_ADDRESSES": "192.0.2.80",
        "STEERING_INSPECTOR_TRUST": "/run/trust/origin-ca.pem",
        "STEERING_DNS_WORKERS": "1",
    }
    engine.podman(
        "run",
        "--detach",
        "--name=one",
        *HARDENED,
        *(f"--publish={port}" for port in PUBLISHED),
        *(f"--env={key}={value}" for key, value in environment.items()),
        f"--volume={config}:/run/trust:ro",
        "--volume=one:/state",
        IMAGE,
    )
    engine.wait_until_ready("one")
    yield "one"


def test_what_the_image_is(engine: Engine) -> None:
    found = engine.inspect(IMAGE)
    config = found["Config"]
    assert (config["User"], config["Entrypoint"], config["Cmd"]) == ("10001:10001", ["steering"], ["serve", "--init"])
    assert (config["StopSignal"], config["WorkingDir"], list(config["Volumes"])) == (
        "SIGTERM",
        "/etc/steering",
        ["/state"],
    )
    assert found["HealthCheck" if "HealthCheck" in found else "Healthcheck"]["Test"] == [
        "CMD", "python", "-m", "steering.probe",
    ]  # fmt: skip
    layers = json.loads(engine.podman("history", "--format=json", IMAGE))
    ours = sum(layer["size"] for layer in layers[:-1] if "COPY" in layer["CreatedBy"] or "RUN" in layer["CreatedBy"])
    assert ours < SLIM_MB * 1_000_000


def test_nothing_of_the_build_is_left(engine: Engine) -> None:
    """No pip, no sources of ours but the package, no bytecode that would have to be made again at each start."""
    listed = engine.podman("run", "--rm", "--entrypoint=find", IMAGE, "/opt/steering", "/src", code=None).splitlines()
    names = {Path(line).name for line in listed}
    assert names & {"pip", "pip3", "setuptools", "tests"} == set()
    sources = {line for line in listed if line.endswith(".py") and "/steering/control/" in line}
    compiled = {line for line in listed if line.endswith(".pyc") and "/steering/control/__pycache__/" in line}
    assert len(sources) == len(compiled) > 20


def test_who_it_is_and_what_it_may(engine: Engine, name: str) -> None:
    status = dict(
        line.split(":\t", 1)
        for line in engine.podman("exec", name, "cat", "/proc/1/status").splitlines()
        if ":\t" in line
    )
    assert set(status["Uid"].split()) == {str(STEERING_UID)}
    assert {status[f"Cap{which}"] for which in ("Prm", "Eff", "Bnd", "Amb")} == {"0" * 16}
    assert status["NoNewPrivs"] == "1"
    assert engine.command("podman", "exec", name, "touch", "/etc/steering/x").code != 0


def test_the_health_check(engine: Engine, name: str) -> None:
    assert engine.command("podman", "healthcheck", "run", name).code == 0
    assert engine.podman("exec", name, "steering", "status", "--ready").startswith("ready: policy ")


def test_browsers_get_their_pac_and_the_ca(engine: Engine, name: str) -> None:
    pac = engine.curl("http://127.0.0.1:8080/proxy.pac").out
    assert '"PROXY 127.0.0.1:3128"' in pac
    ready = json.loads(engine.curl("http://127.0.0.1:8080/readyz").out)
    assert (ready["status"], ready["revision"] in pac) == ("ok", True)


def test_resolver_and_inspector_do_what_the_rules_say(engine: Engine, name: str, tmp_path: Path) -> None:
    """Rules in the volume are changed as an administrator would, and followed."""
    ca = tmp_path / "ca.pem"
    ca.write_text(engine.curl("http://127.0.0.1:8080/ca.pem").out)
    change = f"import pathlib; pathlib.Path('/state/rules.json').write_text({json.dumps(RULES)!r})"
    engine.podman("exec", name, "/opt/steering/bin/python", "-c", change)
    engine.podman("exec", name, "steering", "reload")
    assert engine.dig(8053, "inspected.example") == "192.0.2.80"
    assert engine.dig(8053, "pin.example") == ADDRESS
    for host, trusted in (("inspected.example", ca), ("pin.example", origin_ca().file)):
        page = engine.curl("--proxy", PROXY, "--cacert", trusted, f"https://{host}/")
        assert (page.code, "This is the origin." in page.out) == (0, True), page.err
    explained = json.loads(engine.podman("exec", name, "steering", "explain", "pin.example", "--json", "--live"))
    assert (explained["action"], explained["rule"]) == ("bypass", "Pinned app")


def test_it_drains_and_ends_with_zero(engine: Engine, name: str) -> None:
    """The last but one of this module."""
    engine.podman("stop", "--time=30", name)
    assert engine.inspect(name)["State"]["ExitCode"] == 0
    assert "draining" in engine.command("podman", "logs", name).err


def test_a_backup_brings_everything_back(engine: Engine, name: str, tmp_path: Path) -> None:
    """As the documentation writes the commands, into a volume that was never used."""
    archive, tar = tmp_path / "state.tar", f"run --rm --entrypoint tar -v VOLUME:/state {IMAGE} -C /state"
    backup = f"podman {tar.replace('VOLUME:/state', 'one:/state:ro')} -c . > {archive}"
    restore = f"podman {tar.replace('run', 'run -i').replace('VOLUME', 'other')} -x < {archive}"
    for line in (backup, restore):
        done = engine.command("sh", "-c", line)
        assert done.code == 0, done.err
    files = ("/state/ca/ca.key", "/state/ca/ca.pem", "/state/rules.json")
    states = {
        volume: engine.podman("run", "--rm", "--entrypoint=cat", f"--volume={volume}:/state", IMAGE, *files)
        for volume in ("one", "other")
    }
    assert states["one"] == states["other"] and "Pinned app" in states["other"]
