"""Real programs to identify: copies of the interpreter under other names, told what to do line by line.

A copy named ``slack`` is to the kernel what a compiled ``slack`` is: an executable file of that name.
"""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from steering.endpoint.identify.identity import Ends, Identifier, Identity
from steering.endpoint.identify.linux import LinuxIdentifier
from steering.endpoint.identify.linux_bpf import open_map
from steering.endpoint.identify.linux_diag import SockDiag
from steering.endpoint.identify.linux_events import open_events

# What every client program starts with.  ``inheritable``: as plain C programs open their sockets, without
# SOCK_CLOEXEC.  ``wait``: until the test lets it go on, or has ended.
PREAMBLE = """
import os, socket, sys
def connect(port, kind="IPv4", inheritable=False):
    family, address = {"IPv4": (2, "127.0.0.1"), "IPv4-mapped": (10, "::ffff:127.0.0.1"), "IPv6": (10, "::1")}[kind]
    s = socket.socket(family)
    s.set_inheritable(inheritable)
    s.connect((address, port))
    return s
def wait():
    return sys.stdin.readline()
def say(what):
    print(what, flush=True)
"""


class Programs:
    """Copies of the interpreter in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {"PYTHONHOME": sys.base_prefix, "PATH": os.environ["PATH"]}

    def path(self, name: str) -> Path:
        path = self.folder / name
        if not path.exists():
            shutil.copy(os.path.realpath(sys.executable), path)
        return path

    @contextmanager
    def running(
        self, program: str | Path, code: str, *given: object, before: Sequence[str] = (), user: int | None = None
    ) -> Iterator["subprocess.Popen[str]"]:
        """``program`` at work on ``code``; ended when the test is over.  before: a command that starts it."""
        path = self.path(program) if isinstance(program, str) else program
        command = [*before, str(path), "-P", "-S", "-c", PREAMBLE + code, *map(str, given)]
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=self.environment,
            user=user,
            extra_groups=[] if user else None,
        )
        try:
            yield process
        finally:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                assert pipe is not None
                pipe.close()
            process.wait()


def descriptors(pid: int | str = "self") -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def go_on(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


@dataclass(frozen=True, slots=True)
class Accepted:
    """A connection of some program."""

    sock: socket.socket
    ends: Ends

    def __enter__(self) -> "Accepted":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


class Listener:
    """What programs connect to: 127.0.0.1 and, at the same port, ::1."""

    def __init__(self) -> None:
        self._v4 = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port: int = self._v4.getsockname()[1]
        self._v6 = socket.create_server(("::1", self.port), family=socket.AF_INET6, backlog=1024)
        for listener in (self._v4, self._v6):
            listener.settimeout(20)

    def each(self) -> list[tuple[socket.socket, str]]:
        return [(self._v4, "127.0.0.1"), (self._v6, "::1")]

    def accept(self, kind: str = "IPv4") -> Accepted:
        sock, peer = (self._v6 if kind == "IPv6" else self._v4).accept()
        here = ip_address("::1" if kind == "IPv6" else "127.0.0.1")
        return Accepted(sock, Ends(here, peer[1], here, self.port))

    def close(self) -> None:
        self._v4.close()
        self._v6.close()


async def identify(identifier: Identifier, accepted: Accepted) -> Identity:
    """As the proxy does: at once, then thoroughly."""
    return identifier.fast(accepted.ends) or await identifier.full(accepted.ends)


# What a system may offer: the socket map, process events.
SYSTEMS = {
    "map and events": (True, True),
    "events alone": (False, True),
    "map alone": (True, False),
    "bare": (False,) * 2,
}


def ladder(system: str) -> LinuxIdentifier:
    """The ladder with the steps of ``SYSTEMS``."""
    wants_map, wants_events = SYSTEMS[system]
    socket_map, no_map = open_map() if wants_map else (None, "")
    events, no_events = open_events() if wants_events else (None, "")
    assert (no_map, no_events) == ("", "")
    return LinuxIdentifier(SockDiag(), socket_map, events)
