"""The C programs that ask: built once into .deps/bench, run one at a time beside a server whose CPU is read."""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.cost import cpu_ns, pin
from bench.processes import CLIENT_CPU
from bench.rounds import CPU, FAILED, MAX, P50, P99, RATE, Failed, Sample

HERE = Path(__file__).parent
BUILT = HERE.parent.parent / ".deps" / "bench"
LIBRARIES: Mapping[str, tuple[str, ...]] = {"tlsload": ("-lssl", "-lcrypto"), "dnsload": (), "dnsanswer": ()}


class NoCompiler(Failed):
    """What is needed to build the load programs is not here."""


@cache
def program(name: str) -> Path:
    """The built program; built where its source has changed."""
    source = HERE / f"{name}.c"
    built = BUILT / f"{name}-{hashlib.sha256(source.read_bytes()).hexdigest()[:12]}"
    if built.exists():
        return built
    if shutil.which("gcc") is None:
        raise NoCompiler("gcc is not installed (Debian: gcc libc6-dev libssl-dev)")
    BUILT.mkdir(parents=True, exist_ok=True)
    unfinished = built.with_suffix(".new")
    command = ["gcc", "-O2", "-o", str(unfinished), str(source), *LIBRARIES[name]]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise NoCompiler(f"{name} cannot be built (Debian: gcc libc6-dev libssl-dev): {done.stderr[-500:]}")
    unfinished.replace(built)
    return built


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What a load program says, and what the server spent meanwhile (nanoseconds)."""

    count: int
    failed: int
    seconds: float
    size: int
    p50_us: float
    p99_us: float
    max_us: float
    cpu_ns: int

    def sample(self, per: float | None = None) -> Sample:
        """per: how many operations to divide by; default: those that were counted."""
        operations = per or self.count
        return {
            CPU: self.cpu_ns / operations / 1000,
            RATE: operations / self.seconds,
            P50: self.p50_us / 1000,
            P99: self.p99_us / 1000,
            MAX: self.max_us / 1000,
            FAILED: self.failed,
        }

    def per_mb(self) -> Sample:
        """The same for each megabyte that passed; how long one transfer took is nothing to compare."""
        sample = self.sample(self.size / 1e6)
        return {figure: sample[figure] for figure in (CPU, RATE, FAILED)}


class Load:
    """A load program at its start line: connected, warmed up, waiting."""

    def __init__(self, name: str, /, **options: object) -> None:
        given = [f"{key}={value}" for key, value in options.items()]
        self._process = subprocess.Popen(
            [str(program(name)), *given],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        pin(self._process.pid, CLIENT_CPU)
        try:
            self._expect_ready()
        except BaseException:
            self.close()
            raise

    def _expect_ready(self) -> None:
        said = self._line()
        if said != "ready":
            raise Failed(said or "the load program ended")

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def go(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def result(self, server: int, before: int) -> Loaded:
        """Wait for it.  before: the server's CPU when it began."""
        said = self._line()
        spent = cpu_ns(server) - before
        try:
            found = json.loads(said)
        except ValueError as exc:
            raise Failed(f"the load program said {said!r}") from exc
        if not found.get("count"):
            raise Failed(f"nothing succeeded: {said}")
        return Loaded(
            count=found["count"],
            failed=found["failed"] + found.get("unfinished", 0),
            seconds=found["seconds"],
            size=found.get("bytes", 0),
            p50_us=found["p50_us"],
            p99_us=found["p99_us"],
            max_us=found["max_us"],
            cpu_ns=spent,
        )

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> "Load":
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def run(name: str, server: int, /, **options: object) -> Loaded:
    """One load from start to end.  server: the process whose tree is charged."""
    with Load(name, **options) as load:
        before = cpu_ns(server)
        load.go()
        return load.result(server, before)
