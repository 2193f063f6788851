"""Somebody with a guide and a machine of his own: its commands, typed into one shell, one after the other.

The machine is a network namespace with the internet of the tests, where the guides' sites are too.  It has a checkout
that ``make run`` finds installed, the addresses that the guides use, and copies of the folders that they write to.
What a machine of the tests cannot have, a running systemd say, is stood in for by ``STAND_INS``.
"""

import asyncio
import os
import re
import shlex
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.dns.upstream import Records, UpstreamServer
from tests.inspector.origin import origin_ca
from tests.kit import ROOT
from tests.wire.internet import ADDRESS, ADDRESSES, RECORDS, running_internet
from tests.wire.namespace import Namespace

RESOLVER = "192.0.2.53"  # the provider's, as the guides call it
SITES = ("example.com", "www.example.com", "www.example.org", "zoom.us", "us02web.zoom.us", "gambling.example.net")
RECORDS_HERE: Records = RECORDS | {(f"{name}.", "A"): [ADDRESS] for name in SITES}
# The addresses of the guides, as they are printed there.
PRINTED = ("192.168.10.5", "192.168.10.6")

# Begins what serves until it is ended -> what it has printed once it does.
SERVES = {
    "make run": "Stop with Ctrl-C",
    "steering serve": "Stop with Ctrl-C",
    "steering endpoint run": "Stop with Ctrl-C",
}

WITHIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """A command that has ended.  output: both streams."""

    code: int
    output: str


class Shell:
    """One bash.  Made by ``running_shell``."""

    def __init__(self, process: asyncio.subprocess.Process, folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._served = 0

    async def type(self, command: str) -> Done:
        """Run ``command``; of one that serves, return when it does."""
        expected = next((text for begun, text in SERVES.items() if begun in command), "")
        if not expected:
            return await self._run(f"{{ {command}\n}} </dev/null 2>&1")
        self._served += 1
        log = self._folder / f"served-{self._served}"  # one each: what another has printed says nothing of this one
        log.touch()
        started = await self._run(f"{command} </dev/null >{shlex.quote(str(log))} 2>&1 &")
        async with asyncio.timeout(WITHIN_S):
            while expected not in log.read_text("utf-8", "replace"):
                alive = await self._run("kill -0 $!")
                assert alive.code == 0, f"{command} has ended: {log.read_text('utf-8', 'replace')}"
                await asyncio.sleep(0.05)
        return Done(code=started.code, output=log.read_text("utf-8", "replace"))

    async def _run(self, line: str) -> Done:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f'{line}\necho "<ended $?>"\n'.encode())
        output = ""
        async with asyncio.timeout(WITHIN_S):
            while not (ended := re.search(r"<ended (\d+)>\n\Z", output)):
                read = await self._process.stdout.readline()
                assert read, f"the shell has ended: {output}"
                output += read.decode("utf-8", "replace")
        return Done(code=int(ended[1]), output=output[: ended.start()])

    async def close(self) -> None:
        """End it and what it has started, by their numbers."""
        await self._run("kill $(jobs -p) 2>/dev/null; wait")
        assert self._process.stdin is not None
        self._process.stdin.close()
        await self._process.wait()


@dataclass(frozen=True, slots=True, kw_only=True)
class Stranger:
    """home: where the shell begins, the checkout."""

    space: Namespace
    shell: Shell
    home: Path

    def type(self, command: str) -> Done:
        return self.space.run(self.shell.type(command), 2 * WITHIN_S)

    def write(self, path: str, content: str) -> None:
        """``path`` as the guide names it: from the checkout, or of the machine."""

        def put() -> None:
            file = self.home / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content, "utf-8")

        self.space.call(put)


@contextmanager
def running_stranger(folder: Path) -> Iterator[Stranger]:
    """Everything, started; ended with the block."""
    checkout = make_checkout(folder / "steering")
    addresses = (*ADDRESSES, f"{RESOLVER}/32", *(f"{address}/32" for address in PRINTED))
    with (
        Namespace(addresses, _machine(folder)) as space,
        space.holding(_internet()),
        space.holding(running_shell(folder, checkout)) as shell,
    ):
        yield Stranger(space=space, shell=shell, home=checkout)


def make_checkout(folder: Path) -> Path:
    """As after 'git clone' and the first 'make': everything of ours by link, and a virtual environment of its own."""
    folder.mkdir()
    for entry in ROOT.iterdir():
        if entry.name not in {".git", ".venv", "var"}:
            (folder / entry.name).symlink_to(entry)
    bin_ = folder / ".venv" / "bin"
    bin_.mkdir(parents=True)
    (bin_ / "activate").write_text(f"PATH={shlex.quote(str(bin_))}:$PATH\n")
    where = ":".join(map(str, (ROOT, ROOT / "dns", ROOT / "inspector", sysconfig.get_path("purelib"))))
    program = "from steering.cli import main; main()"
    (bin_ / "steering").write_text(f"#!/bin/sh\nPYTHONPATH={where} exec {sys.executable} -P -c '{program}' \"$@\"\n")
    (bin_ / "steering").chmod(0o755)
    (folder / ".venv" / "installed").touch()
    return folder


def _machine(folder: Path) -> dict[Path, Path]:
    """Place -> what is to be found there.  Written files go to copies."""
    etc, lib = folder / "etc", folder / "var-lib"
    shutil.copytree("/etc", etc, symlinks=True)
    (lib / "misc").mkdir(parents=True)
    (etc / "resolv.conf").unlink(missing_ok=True)
    (etc / "resolv.conf").write_text(f"nameserver {RESOLVER}\n")
    (etc / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    return {Path("/etc"): etc, Path("/var/lib"): lib}


@asynccontextmanager
async def _internet() -> AsyncIterator[None]:
    async with running_internet(), UpstreamServer(dict(RECORDS_HERE), host=RESOLVER, port=53):
        yield


@asynccontextmanager
async def running_shell(folder: Path, home: Path) -> AsyncIterator[Shell]:
    (folder / "bin").mkdir()
    sudo = folder / "bin" / "sudo"
    sudo.write_text('#!/bin/sh\nexec "$@"\n')
    sudo.chmod(0o755)
    kept = ("LANG", "TERM")
    process = await asyncio.create_subprocess_exec(
        "bash", "--noprofile", "--norc",
        cwd=home,
        env={name: os.environ[name] for name in kept if name in os.environ} | {
            "HOME": str(folder),
            "PATH": f"{folder / 'bin'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SSL_CERT_FILE": str(origin_ca().file),  # the authority of this internet
        },
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    shell = Shell(process, folder)
    try:
        yield shell
    finally:
        await shell.close()
