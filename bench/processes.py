"""Programs that a measurement starts: on ports of their own, in a folder of their own, ended by it whatever happens."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType, TracebackType

from bench.cost import pin, tree
from bench.rounds import Failed

SERVER_CPU, CLIENT_CPU = 0, 1


class Stage:
    """A folder, and what runs on it: ``with Stage() as stage: stage.start(...)``."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="steering-bench-"))
        self.folder.chmod(0o755)  # squid and nginx work as other users
        self._ends = contextlib.ExitStack()

    def __enter__(self) -> "Stage":
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        try:
            self._ends.close()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def sub(self, name: str) -> Path:
        """A new folder."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def at_end(self, act: Callable[[], object]) -> None:
        self._ends.callback(act)

    def start(self, command: Sequence[str | Path], *, cpu: int = SERVER_CPU, **extra: str) -> int:
        """Its pid.  extra: more of its environment.  Output goes to a file beside its folder."""
        log = self.folder / f"{Path(command[0]).name}-{len(list(self.folder.glob('*.log')))}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=self.folder,
                env=os.environ | extra,
                start_new_session=True,
            )
        self.at_end(lambda: end(process))
        pin(process.pid, cpu)
        self._last = (process, log)
        return process.pid

    def until(self, ready: Callable[[], bool], what: str, within_s: float = 30) -> None:
        """Wait for what was started last."""
        process, log = self._last
        deadline = time.monotonic() + within_s
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                said = log.read_text("utf-8", "replace").strip()[-600:]
                raise Failed(f"{what} does not start: {said}")
            time.sleep(0.02)


def end(process: "subprocess.Popen[bytes]") -> None:
    """By its id and those of its children: politely, then not."""
    pids = tree(process.pid)
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(3)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def listens(port: int, host: str = "127.0.0.1") -> bool:
    """Whether something accepts connections."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, port)) == 0


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let SIGTERM end a measurement as Ctrl-C does: what was started is ended first."""

    def raise_it(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    # SIGINT too: what a shell starts in its background would have it ignored.
    before = {number: signal.signal(number, raise_it) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
