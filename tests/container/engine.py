"""podman in a network of our own: its images below .deps, its ports and firewall rules nowhere on this machine.

Images and layers stay there from run to run; what runs, and all that is temporary, ends with the block.
"""

import json
import resource
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.kit import CONTAINER_BASE, ROOT, wait_until
from tests.wire.namespace import Ended, Namespace

FOLDER = CONTAINER_BASE.parent
IMAGE = "localhost/steering:test"
STEERING_UID = 10001
# As compose.yaml and the documentation run it.
HARDENED = (
    "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=512m",
    "--pids-limit=200",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """environment: that podman and what calls it are to have."""

    space: Namespace
    environment: Mapping[str, str]

    def podman(self, *arguments: str | Path, code: int | None = 0, within_s: float = 60) -> str:
        """Its output.  code: that it must end with, None for any."""
        ended = self.command("podman", *arguments, within_s=within_s)
        assert code is None or ended.code == code, ended.err + ended.out
        return ended.out.strip()

    def command(self, *arguments: str | Path, within_s: float = 60, folder: Path = ROOT, **extra: str) -> Ended:
        """extra: more of its environment."""
        environment = {**self.environment, **extra}
        return self.space.command(*arguments, environment=environment, folder=folder, within_s=within_s)

    def inspect(self, name: str) -> dict[str, Any]:
        (found,) = json.loads(self.podman("inspect", name))
        return dict(found)

    def is_ready(self, name: str) -> bool:
        """By its own health check."""
        return self.command("podman", "healthcheck", "run", name).code == 0

    def wait_until_ready(self, *names: str, within_s: float = 60) -> None:
        for name in names:
            try:
                wait_until(partial(self.is_ready, name), within_s, f"{name} is healthy")
            except AssertionError:
                print(self.command("podman", "logs", name))
                raise

    def curl(self, *arguments: str | Path) -> Ended:
        return self.space.command("curl", "-sS", "--max-time", "20", *arguments)

    def dig(self, port: int, name: str) -> str:
        ended = self.space.command("dig", "+short", "+time=5", "+tries=2", "-p", str(port), "@127.0.0.1", name)
        assert ended.code == 0, ended.out
        return ended.out.strip()


@contextmanager
def running_engine(space: Namespace) -> Iterator[Engine]:
    """podman within ``space``; its containers and volumes are gone afterwards."""
    run = Path(tempfile.mkdtemp(prefix="pod"))  # short, for sockets
    # Its database would have it go on in the folder of the first run; images are not in there.
    shutil.rmtree(FOLDER / "storage/libpod", ignore_errors=True)
    engine = Engine(space=space, environment=_settings(run))
    try:
        yield engine
    finally:
        engine.podman("rm", "--all", "--force", "--time=0", code=None)
        engine.podman("volume", "rm", "--all", "--force", code=None)
        engine.podman("network", "prune", "--force", code=None)
        # What tidies up behind a container that ended runs by itself, and would make the folder anew.
        wait_until(lambda: not _users(run), 30, "podman has tidied up")
        shutil.rmtree(run)


def _users(run: Path) -> list[str]:
    """Processes that were started with our settings."""
    found = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it has ended, or is of the kernel
            if str(run).encode() in environment.read_bytes():
                found.append(environment.parent.name)
    return found


def _settings(run: Path) -> dict[str, str]:
    """Limits are named because podman asks for more than a machine may give; runc, because crun knows no cgroups v1."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = 4096 if most == resource.RLIM_INFINITY else min(4096, most)
    (run / "containers.conf").write_text(
        f'[containers]\ndefault_ulimits = ["nofile={files}:{files}", "nproc=4096:4096"]\n'
        f'[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\ntmp_dir = "{run}/tmp"\n'
        f'[network]\nnetwork_config_dir = "{run}/networks"\n'
    )
    (run / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\nrunroot = "{run}/run"\ngraphroot = "{FOLDER}/storage"\n'
    )
    return {
        "CONTAINERS_CONF": str(run / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(run / "storage.conf"),
        "TMPDIR": str(run),
        "BUILDAH_FORMAT": "docker",  # the other form has no HEALTHCHECK
    }


def build(engine: Engine) -> None:
    """The image, by our own Containerfile, on a base and with wheels that are there already."""
    base = f"localhost/steering-base:{CONTAINER_BASE.stat().st_mtime_ns}"
    if engine.command("podman", "image", "exists", base).code != 0:
        engine.podman("import", "--quiet", CONTAINER_BASE, base, within_s=120)
    engine.podman(
        "build",
        "--quiet",
        "--format=docker",
        "--network=none",
        f"--volume={_wheels()}:/wheels:ro",
        f"--build-arg=BASE_IMAGE={base}",
        "--build-arg=PIP_ARGS=--no-index --find-links /wheels",
        f"--tag={IMAGE}",
        ROOT,
        within_s=300,
    )
    engine.podman("image", "prune", "--force", "--filter=until=24h", code=None)  # of builds long ago


def _wheels() -> Path:
    """What the package needs to be built and run by the base's Python, fetched once."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    needed = [*project["project"]["dependencies"], *project["build-system"]["requires"]]
    version = _python_of_base()
    folder = FOLDER / "wheels" / sha256("\n".join([version, *needed]).encode()).hexdigest()[:16]
    if not folder.is_dir():
        part = Path(tempfile.mkdtemp(dir=FOLDER))
        line = [sys.executable, "-m", "pip", "download", "--quiet", "--only-binary=:all:", "--python-version", version]
        subprocess.run([*line, "--dest", str(part), *needed], check=True, stdin=subprocess.DEVNULL)
        folder.parent.mkdir(exist_ok=True)
        part.rename(folder)
    return folder


def _python_of_base() -> str:
    """As "3.11"."""
    line = ["tar", "-tvf", str(CONTAINER_BASE), "./usr/bin/python3"]
    listed = subprocess.run(line, check=True, capture_output=True, text=True).stdout
    return listed.strip().rpartition("python")[2]
