"""The ladder with real programs: named rightly, or not at all.

Each case runs with everything that a system may offer and with parts of it (``programs.SYSTEMS``).
"""

import asyncio
import hashlib
import os
import pwd
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import cast

import pytest

from steering.endpoint.identify import linux as ladder_module
from steering.endpoint.identify import linux_attributes, linux_procfs
from steering.endpoint.identify.identity import Ends, Identity, Method
from steering.endpoint.identify.linux import (
    CHANGED,
    GONE,
    MAY_HAVE_CHANGED,
    NAMELESS,
    NOT_FOUND,
    SHARED,
    TOO_LONG,
    LinuxIdentifier,
)
from steering.endpoint.identify.linux_bpf import Connected, SocketMap, open_map
from steering.endpoint.identify.linux_diag import SockDiag
from steering.endpoint.identify.linux_events import ProcessEvents, open_events
from steering.endpoint.identify.linux_search import HolderSearch
from steering.endpoint.identify.selftest import KINDS
from steering.policy import Program
from tests.endpoint.identify.programs import (
    SYSTEMS,
    Listener,
    Programs,
    descriptors,
    go_on,
    identify,
    ladder,
    said,
)
from tests.kit import ROOT, eventually

pytestmark = pytest.mark.needs("linux", "socket-map", "process-events")
SEES = "map and events"
HERE = ip_address("127.0.0.1")


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found must not depend on how busy this machine is; test_mixed runs with the real deadline."""
    monkeypatch.setattr(ladder_module, "DEADLINE_S", 10)


@pytest.fixture(params=SYSTEMS)
def system(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def identifier(system: str) -> Iterator[LinuxIdentifier]:
    found = ladder(system)
    yield found
    found.close()


def outcome(identity: Identity) -> str:
    """The program's name, or why there is none."""
    return identity.unknown or "/".join(identity.names)


def everywhere(expected: str, **others: str) -> dict[str, str]:
    """The same with every system, but for those named (with _ for a blank)."""
    return dict.fromkeys(SYSTEMS, expected) | {name.replace("_", " "): what for name, what in others.items()}


BLIND = {"map_alone": MAY_HAVE_CHANGED, "events_alone": MAY_HAVE_CHANGED, "bare": MAY_HAVE_CHANGED}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """code: what the program ``slack`` does; it says ``ready`` when it is to be identified.

    Its arguments: the port, the path of ``lat``, whether descriptors stay open over an exec.
    """

    code: str
    closing: dict[str, str]
    open: dict[str, str]


# Until the test is over; it reads nothing that the other waits for.
STAY = 'import select; end = select.poll(); end.register(0, 0); print("ready", flush=True); end.poll()'
RUN_LAT = f"[sys.argv[2], '-P', '-S', '-c', {STAY!r}]"
START = "s = connect(int(sys.argv[1]), inheritable=sys.argv[3] == '1')\n"
READY = "say('ready'); wait()\n"
RECEIVE = (
    f"import socket, sys; s = socket.socket(fileno=int(sys.argv[1])); s.recvmsg(1, 99, socket.MSG_CMSG_CLOEXEC);{STAY}"
)
CASES = {
    "a program connects": Case(code=START + READY, closing=everywhere("slack"), open=everywhere("slack", **BLIND)),
    "a thread connects": Case(
        code=f"import threading\ndef work():\n  global s\n  {START}"
        f"t = threading.Thread(target=work); t.start(); t.join()\n{READY}",
        closing=everywhere("slack"),
        open=everywhere("slack", **BLIND),
    ),
    "a child shares it": Case(
        code=f"{START}if os.fork() == 0: wait(); os._exit(0)\n{READY}",
        closing=everywhere("slack"),
        open=everywhere("slack", **BLIND),
    ),
    "the child goes on with it": Case(
        code=f"{START}if os.fork():\n  s.close(); wait(); os._exit(0)\n{READY}",
        closing=everywhere("slack"),
        # What connected is known, and has the socket no more; it has not changed, so the connection is its own.
        open=everywhere("slack", **BLIND),
    ),
    "the child goes on with it alone": Case(
        code=f"{START}parent = os.getpid()\nif os.fork(): os._exit(0)\nwhile os.getppid() == parent: pass\n{READY}",
        closing=everywhere("slack"),
        open=everywhere(MAY_HAVE_CHANGED),
    ),
    "it becomes another program": Case(
        code=f"{START}os.execv(sys.argv[2], {RUN_LAT})",
        closing=everywhere(GONE),
        open=everywhere(MAY_HAVE_CHANGED, map_and_events=CHANGED),
    ),
    "its child becomes another program": Case(
        code=f"{START}if os.fork() == 0: os.execv(sys.argv[2], {RUN_LAT})\nwait()",
        closing=everywhere("slack"),
        open=everywhere(SHARED, map_alone=MAY_HAVE_CHANGED, bare=MAY_HAVE_CHANGED),
    ),
    "its child became another program before it connected": Case(
        code="s = socket.socket(); s.set_inheritable(sys.argv[3] == '1')\n"
        f"if os.fork() == 0: os.execv(sys.argv[2], {RUN_LAT})\n"
        "wait(); s.connect(('127.0.0.1', int(sys.argv[1]))); wait()",
        closing=everywhere("slack"),
        open=everywhere(MAY_HAVE_CHANGED, map_and_events="slack", events_alone=SHARED),
    ),
    "it is handed to another program": Case(
        code="a, b = socket.socketpair(); b.set_inheritable(True)\n"
        f"if os.fork() == 0: os.execv(sys.argv[2], [sys.argv[2], '-P', '-S', '-c', {RECEIVE!r}, str(b.fileno())])\n"
        f"{START}socket.send_fds(a, [b'.'], [s.fileno()]); s.close(); wait()",
        # Whoever connected, where that is known; else who has it now, with the consent of both.
        closing=everywhere("lat", map_and_events="slack", map_alone=SHARED),
        open=everywhere("lat", map_and_events="slack", map_alone=SHARED),
    ),
    "it runs from memory": Case(
        code="fd = os.memfd_create('slack'); os.write(fd, open(sys.argv[2], 'rb').read())\n"
        "if len(sys.argv) == 4: os.execve(fd, ['slack', '-P', '-S', '-c', sys.orig_argv[4], *sys.argv[1:], '!'],"
        f" os.environ)\n{START}{READY}",
        closing=everywhere(NAMELESS),
        open=everywhere(NAMELESS, **BLIND),
    ),
    "it will not be looked at": Case(
        code=f"import ctypes; ctypes.CDLL(None).prctl(4, 0)\n{START}{READY}",  # PR_SET_DUMPABLE
        closing=everywhere("slack"),
        open=everywhere("slack", **BLIND),
    ),
    "it is somebody else's": Case(
        code=f"os.setgroups([]); os.setgid(4242); os.setuid(4242)\n{START}{READY}",
        closing=everywhere("slack"),
        open=everywhere("slack", **BLIND),
    ),
    "it ends at once": Case(code=f"{START}say('ready')", closing=everywhere(GONE), open=everywhere(GONE)),
}


@pytest.mark.parametrize("inheritable", [False, True], ids=["closing", "open"])
@pytest.mark.parametrize("name", CASES)
async def test_cases(
    identifier: LinuxIdentifier, system: str, programs: Programs, listener: Listener, name: str, inheritable: bool
) -> None:
    case = CASES[name]
    with programs.running("slack", case.code, listener.port, programs.path("lat"), int(inheritable)) as process:
        assert said(process) == "ready"
        if "before it connected" in name:
            go_on(process)
        with listener.accept() as accepted:
            if "at once" in name:
                process.wait()
            identity = await identify(identifier, accepted)
        assert outcome(identity) == (case.open if inheritable else case.closing)[system]


@pytest.mark.parametrize("kind", KINDS)
async def test_over_every_kind_of_address(
    identifier: LinuxIdentifier, programs: Programs, listener: Listener, kind: str
) -> None:
    code = "s = connect(int(sys.argv[1]), sys.argv[2]); wait()"
    for name in ("slack", "lat", "slack"):
        with programs.running(name, code, listener.port, kind) as process, listener.accept(kind) as accepted:
            identity = await identify(identifier, accepted)
            assert (outcome(identity), identity.pid, identity.user) == (name, process.pid, "root")


async def test_the_step_that_answered_is_told(
    identifier: LinuxIdentifier, system: str, programs: Programs, listener: Listener
) -> None:
    code = "kept = []\nwhile True: kept.append(connect(int(sys.argv[1]))); wait()"
    first = Method.MAP if "map" in system else Method.SCAN
    with programs.running("slack", code, listener.port) as process:
        methods = []
        for _ in range(3):
            with listener.accept() as accepted:
                methods.append((await identify(identifier, accepted)).method)
            go_on(process)
    assert methods == [first, *[Method.MAP if "map" in system else Method.RECENT] * 2]


# The events decide


@pytest.fixture
async def seeing() -> AsyncIterator[LinuxIdentifier]:
    identifier = ladder(SEES)
    yield identifier
    identifier.close()


@pytest.mark.parametrize(("queued_ns", "expected"), [(0, "slack"), (ladder_module.QUEUED_NS, MAY_HAVE_CHANGED)])
async def test_without_the_map_a_process_must_have_been_the_same_for_as_long_as_a_connection_may_wait(
    programs: Programs, listener: Listener, monkeypatch: pytest.MonkeyPatch, queued_ns: int, expected: str
) -> None:
    monkeypatch.setattr(ladder_module, "QUEUED_NS", queued_ns)
    identifier = ladder("events alone")
    with programs.running("slack", CASES["a program connects"].code, listener.port, "", 1) as process:
        said(process)
        with listener.accept() as accepted:
            assert outcome(await identify(identifier, accepted)) == expected
    identifier.close()


async def test_what_was_said_first_stands(
    programs: Programs, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asked again later, a process would have been the same for long enough."""
    monkeypatch.setattr(ladder_module, "QUEUED_NS", 300_000_000)
    identifier = ladder("events alone")
    with programs.running("slack", CASES["a program connects"].code, listener.port, "", 1) as process:
        said(process)
        with listener.accept() as accepted:
            assert outcome(await identify(identifier, accepted)) == MAY_HAVE_CHANGED
            await asyncio.sleep(0.4)
            assert outcome(await identifier.full(accepted.ends)) == MAY_HAVE_CHANGED
    identifier.close()


async def test_nobody_asked_in_the_tick_of_the_accept(programs: Programs, listener: Listener) -> None:
    """When it connected is not known then: what closes on exec is proved all the same, the rest is not."""
    for system, inheritable, expected in (
        ("events alone", 0, "slack"),
        ("events alone", 1, MAY_HAVE_CHANGED),
        (SEES, 1, "slack"),
    ):
        identifier = ladder(system)
        with programs.running("slack", CASES["a program connects"].code, listener.port, "", inheritable) as process:
            said(process)
            with listener.accept() as accepted:
                assert outcome(await identifier.full(accepted.ends)) == expected
        identifier.close()


def many_processes() -> None:
    for _ in range(40):
        subprocess.run(["true"], check=True)


class Told:
    """A socket map that tells what it was told."""

    def __init__(self, connected: Connected | None) -> None:
        self.connected = connected

    def find(self, cookie: int) -> Connected | None:
        return self.connected

    def close(self) -> None:
        pass


def told(connected: Connected | None, events: ProcessEvents | None) -> LinuxIdentifier:
    return LinuxIdentifier(SockDiag(), cast(SocketMap, Told(connected)), events)


async def test_a_number_given_to_another_process_since(programs: Programs, listener: Listener) -> None:
    """lat has the number of what connected, slack has the socket."""
    events, _ = open_events()
    before = time.monotonic_ns()
    with (
        programs.running("slack", CASES["a program connects"].code, listener.port, "", 0),
        programs.running("lat", "say('ready'); wait()") as other,
        listener.accept() as accepted,
    ):
        said(other)
        identifier = told(Connected(other.pid, before), events)
        assert outcome(await identify(identifier, accepted)) == CHANGED
        identifier.close()
        identifier = told(Connected(other.pid, before), None)
        assert outcome(await identify(identifier, accepted)) == SHARED
        identifier.close()


async def test_after_an_overflow_nothing_is_taken_for_unchanged(programs: Programs, listener: Listener) -> None:
    socket_map, _ = open_map()
    identifier = LinuxIdentifier(SockDiag(), socket_map, ProcessEvents(buffer_bytes=4096))
    code = "kept = []\nwhile True: kept.append(connect(int(sys.argv[1]), inheritable=sys.argv[2] == '1')); wait()"
    for inheritable, expected in ((0, "slack"), (1, MAY_HAVE_CHANGED)):
        with programs.running("slack", code, listener.port, inheritable):
            accepted = listener.accept()
            await asyncio.to_thread(many_processes)
            assert outcome(await identify(identifier, accepted)) == expected
            accepted.sock.close()
    identifier.close()


async def test_a_process_known_to_execute_something_is_asked_for_its_descriptors_no_more(
    seeing: LinuxIdentifier, programs: Programs, listener: Listener
) -> None:
    code = "kept = []\nwhile True: kept.append(connect(int(sys.argv[1]), inheritable=True)); wait()"
    with programs.running("slack", code, listener.port) as process:
        answers = []
        for _ in range(3):
            with listener.accept() as accepted:
                at_once = seeing.fast(accepted.ends)
                answers.append((at_once is not None, outcome(at_once or await seeing.full(accepted.ends))))
            go_on(process)
    # An open descriptor proves nothing, so the first took a look at the process at rest.
    assert answers == [(False, "slack"), (True, "slack"), (True, "slack")]


async def test_ports_used_again_are_another_connection(
    seeing: LinuxIdentifier, programs: Programs, listener: Listener
) -> None:
    """What was found of the first says nothing of the second, though ``fast`` was not asked for that."""
    code = """
s = socket.socket(); s.bind(("127.0.0.1", int(sys.argv[2]))); s.setsockopt(1, 13, b"\\1\\0\\0\\0\\0\\0\\0\\0")
s.connect(("127.0.0.1", int(sys.argv[1]))); say(s.getsockname()[1]); wait(); s.close(); say("closed"); wait()
"""
    with programs.running("slack", code, listener.port, 0) as first:
        port = int(said(first))
        with listener.accept() as accepted:
            assert outcome(await identify(seeing, accepted)) == "slack"
            go_on(first)
            said(first)
            with programs.running("lat", code, listener.port, port) as second:
                assert int(said(second)) == port
                with listener.accept() as again:
                    assert again.ends == accepted.ends
                    assert outcome(await seeing.full(again.ends)) == "lat"


# Places and people


@pytest.mark.needs("unshare")
async def test_a_program_in_a_sandbox_has_the_name_it_has_there(
    identifier: LinuxIdentifier, programs: Programs, listener: Listener, tmp_path: Path
) -> None:
    """As bubblewrap does it: a file system of its own, moved to with pivot_root."""
    app = tmp_path / "app"
    app.mkdir()
    (app / "spotify").write_bytes(programs.path("slack").read_bytes())
    (app / "spotify").chmod(0o755)
    folders = ["/usr", "/lib", "/lib64", sys.base_prefix]
    shell = (
        f"set -e; mount -t tmpfs none /mnt; mkdir -p /mnt/app /mnt/old; mount --bind {app} /mnt/app; cd /mnt;"
        f" for d in {' '.join(folders)}; do [ -L $d ] && cp -P $d /mnt$d && continue;"
        " [ -d $d ] && mkdir -p /mnt$d && mount --rbind $d /mnt$d; done;"
        ' pivot_root . old; exec /app/spotify "$@"'
    )
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", shell]
    with programs.running("slack", START + READY, listener.port, "", 0, before=command) as process:
        assert said(process) == "ready"
        with listener.accept() as accepted:
            identity = await identify(identifier, accepted)
        assert (outcome(identity), identity.path) == ("spotify", "/app/spotify")


@pytest.mark.needs("unshare")
@pytest.mark.parametrize(("mounted", "told"), [("", True), ("/usr/bin/env", False)])
async def test_a_path_that_others_do_not_see_is_none_for_rules(
    seeing: LinuxIdentifier, programs: Programs, listener: Listener, mounted: str, told: bool
) -> None:
    """In a mount namespace of their own anybody has any file at any path."""
    seeing.wants = frozenset({"path"})
    path = mounted or str(programs.path("slack"))
    code = f'mount --bind "$0" {path} && exec {path} "$@"'
    before = ["unshare", "--mount", "--propagation=private", "sh", "-c", code] if mounted else []
    with programs.running("slack", START + READY, listener.port, "", 0, before=before) as process:
        assert said(process) == "ready"
        with listener.accept() as accepted:
            seeing.fast(accepted.ends)
            found = await seeing.full(accepted.ends)
    assert isinstance(found.program, Program)
    assert (found.path, found.program.path) == (path, path if told else None)


async def test_the_user_is_the_sockets(
    seeing: LinuxIdentifier, programs: Programs, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    answers = threading.Event()

    def getpwuid(uid: int) -> pwd.struct_passwd:
        asked.append(threading.current_thread().name)
        assert answers.wait(20)
        return pwd.struct_passwd(("alice@corp", "x", uid, uid, "", "/", "/bin/sh"))

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    code = "os.setgroups([]); os.setgid(4242); os.setuid(4242)\nkept = []\n"
    code += "while True: kept.append(connect(int(sys.argv[1]))); wait()"
    with programs.running("slack", code, listener.port) as process:
        with listener.accept() as accepted:
            at_once = seeing.fast(accepted.ends)
            assert at_once is not None
            assert at_once.user is None  # a directory service may take seconds to answer
            answers.set()
            assert (await seeing.full(accepted.ends)).user == "alice@corp"
        go_on(process)
        with listener.accept() as accepted:
            again = seeing.fast(accepted.ends)
            assert again is not None
            assert again.user == "alice@corp"
    assert asked == ["attributes_0"]


async def test_only_what_rules_want_is_looked_at(
    seeing: LinuxIdentifier, programs: Programs, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linux_attributes, "SETTLED_NS", 0)
    digest = hashlib.sha256(programs.path("slack").read_bytes()).hexdigest()
    code = "kept = []\nwhile True: kept.append(connect(int(sys.argv[1]))); wait()"
    seen = []
    with programs.running("slack", code, listener.port) as process:
        for wants in ((), ("root_owned",), ("root_owned",), ("sha256",), ("sha256",), ("root_owned", "sha256"), ()):
            seeing.wants = frozenset(wants)
            with listener.accept() as accepted:
                found = [seeing.fast(accepted.ends), await seeing.full(accepted.ends)]
            seen.append([(i.root_owned, i.sha256, i.signer) for i in found if i is not None])
            go_on(process)
    nothing, place, both = (None, None, None), (False, None, ""), (False, digest, "")
    assert seen == [
        [nothing, nothing],
        [nothing, place],
        [place, place],
        [place, both],
        [both, both],
        [both, both],
        [nothing, nothing],
    ]


# Slow things do not hold up the loop


async def test_processes_are_searched_in_a_thread(
    programs: Programs, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def pids() -> list[int]:
        threads.append(threading.current_thread().name)
        return [process.pid]

    identifier = ladder("bare")
    with (
        programs.running("slack", CASES["a program connects"].code, listener.port, "", 0) as process,
        listener.accept() as accepted,
    ):
        monkeypatch.setattr(linux_procfs, "pids", pids)
        assert identifier.fast(accepted.ends) is None
        assert threads == []
        assert outcome(await identifier.full(accepted.ends)) == "slack"
        assert [name.rpartition("_")[0] for name in threads] == ["identify"]
    identifier.close()


async def test_large_tables_of_descriptors_are_searched_in_a_thread(
    programs: Programs, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process seen lately has one; at once no more than a few are looked at."""
    monkeypatch.setattr(ladder_module, "INLINE_DESCRIPTORS", 30)
    identifier = ladder("bare")
    code = "kept = [os.dup(0) for _ in range(100)]\nwhile True: kept.append(connect(int(sys.argv[1]))); wait()"
    with ExitStack() as stack:
        running = [stack.enter_context(programs.running("slack", code, listener.port)) for _ in range(6)]
        for _ in running:
            with listener.accept() as accepted:
                assert outcome(await identify(identifier, accepted)) == "slack"
        calls: list[str] = []

        def readlink(path: str, *, dir_fd: int) -> str:
            calls.append(path)
            return really(path, dir_fd=dir_fd)

        really = os.readlink
        go_on(running[0])
        with listener.accept() as accepted:
            with monkeypatch.context() as counting:
                counting.setattr(os, "readlink", readlink)
                assert identifier.fast(accepted.ends) is None
            assert len(calls) <= 2 * ladder_module.RECENT_TRIED  # the executable, and the last descriptor
            assert outcome(await identifier.full(accepted.ends)) == "slack"
    identifier.close()


async def test_what_takes_too_long_is_unknown(
    programs: Programs, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck = threading.Event()
    monkeypatch.setattr(HolderSearch, "find", lambda *_, **__: stuck.wait(20))
    monkeypatch.setattr(ladder_module, "DEADLINE_S", 0.01)
    identifier = ladder("bare")
    with programs.running("slack", CASES["a program connects"].code, listener.port, "", 0), listener.accept() as given:
        assert outcome(await identify(identifier, given)) == TOO_LONG
        assert outcome(await identifier.full(given.ends)) == TOO_LONG
    stuck.set()
    identifier.close()


async def test_a_search_that_nobody_waits_for_any_more_serves_the_next(
    programs: Programs, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    identifier = ladder("bare")
    code = "kept = []\nwhile True: kept.append(connect(int(sys.argv[1]))); wait()"
    with programs.running("slack", code, listener.port) as process:
        with listener.accept() as accepted, monkeypatch.context() as hurried:
            hurried.setattr(ladder_module, "DEADLINE_S", 0)
            assert outcome(await identify(identifier, accepted)) == TOO_LONG
            await eventually(lambda: identifier._recent.get(process.pid))
        go_on(process)
        with listener.accept() as accepted:
            found = identifier.fast(accepted.ends)
            assert found is not None
            assert (outcome(found), found.method) == ("slack", Method.RECENT)
    identifier.close()


async def test_a_search_stops_at_its_deadline(
    programs: Programs, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ladder_module, "SEARCH_S", 0)
    identifier = ladder("bare")
    with programs.running("slack", CASES["a program connects"].code, listener.port, "", 0), listener.accept() as given:
        assert outcome(await identify(identifier, given)) == TOO_LONG
    identifier.close()


async def test_nobody_holds_it_that_may_be_looked_at(
    programs: Programs, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linux_procfs, "pids", list)
    identifier = ladder("bare")
    with programs.running("slack", CASES["a program connects"].code, listener.port, "", 0), listener.accept() as given:
        assert outcome(await identify(identifier, given)) == NOT_FOUND
    identifier.close()


# Privileges and namespaces

ME = """
import asyncio, ctypes, os, socket, struct, sys
sys.path.insert(0, ".")
from ipaddress import ip_address
from steering.endpoint.identify.identity import Ends
from steering.endpoint.identify.linux import open_linux
from steering.endpoint.identify.selftest import run_self_test
from steering.endpoint.identify import linux_users
here, libc = ip_address("127.0.0.1"), ctypes.CDLL(None)
async def main():
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(20)
    user, capabilities = int(sys.argv[1]), sum(1 << int(number) for number in sys.argv[2:])
    if user:
        libc.prctl(8, 1)  # PR_SET_KEEPCAPS
        os.setgroups([]); os.setgid(user); os.setuid(user)
        low, high = capabilities & 0xFFFFFFFF, capabilities >> 32
        assert libc.capset(struct.pack("=Ii", 0x20080522, 0), struct.pack("=6I", low, low, 0, high, high, 0)) == 0
        libc.prctl(4, 1)  # it may be looked at
    identifier = open_linux()
    print(listener.getsockname()[1], flush=True)
    accepted, peer = listener.accept()
    ends = Ends(here, peer[1], here, listener.getsockname()[1])
    found = identifier.fast(ends) or await identifier.full(ends)
    own = {test.why for test in await run_self_test(identifier)}
    print(found.unknown or found.names[0], found.method.value, sorted(own), len(identifier.notes), sep="|", flush=True)
asyncio.run(main())
"""
NET_ADMIN, SYS_PTRACE, BPF, DAC_READ_SEARCH = 12, 19, 39, 2


def seen_by(programs: Programs, command: list[str], client_user: int) -> list[str]:
    """What a helper of less privilege says of a client and of itself."""
    code = "import ctypes; port = int(wait())\n"
    code += f"os.setgroups([]); os.setgid({client_user}); os.setuid({client_user})\n" if client_user else ""
    code += "ctypes.CDLL(None).prctl(4, 1)\ns = connect(port); wait()"
    helper = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    with helper, programs.running("slack", code) as client:
        assert client.stdin is not None
        client.stdin.write(said(helper) + "\n")
        client.stdin.flush()
        return said(helper).split("|")


@pytest.mark.parametrize(
    ("capabilities", "client_user", "expected"),
    [
        ([NET_ADMIN, BPF, SYS_PTRACE, DAC_READ_SEARCH], 0, ["slack", "socket map", "['']", "0"]),
        ([NET_ADMIN, BPF, SYS_PTRACE, DAC_READ_SEARCH], 4242, ["slack", "socket map", "['']", "0"]),
        ([NET_ADMIN, BPF, SYS_PTRACE, DAC_READ_SEARCH], 4243, ["slack", "socket map", "['']", "0"]),
        ([SYS_PTRACE, DAC_READ_SEARCH], 4243, ["slack", "process scan", "['']", None]),
        ([SYS_PTRACE], 4243, [NOT_FOUND, "none", "['']", None]),
        ([], 4242, ["slack", "process scan", "['']", None]),
        ([], 4243, [NOT_FOUND, "none", "['']", None]),
        ([], 0, [NOT_FOUND, "none", "['']", None]),
    ],
)
def test_with_less_privilege(
    programs: Programs, capabilities: list[int], client_user: int, expected: list[str | None]
) -> None:
    command = [sys.executable, "-c", ME, "4242", *map(str, capabilities)]
    found = seen_by(programs, command, client_user)
    assert [None if wanted is None else got for wanted, got in zip(expected, found, strict=True)] == expected


@pytest.mark.needs("unshare")
def test_in_a_network_namespace_of_its_own(programs: Programs) -> None:
    """No process events there; the socket map, and a descriptor that closes on exec, are enough."""
    command = ["unshare", "--net", "sh", "-c", 'ip link set lo up; exec "$@"', "sh", sys.executable, "-c", OWN]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "[('IPv4', ''), ('IPv4-mapped', ''), ('IPv6', '')] 1\n"


OWN = """
import asyncio
from steering.endpoint.identify.linux import open_linux
from steering.endpoint.identify.selftest import run_self_test
identifier = open_linux()
print([(test.kind, test.why) for test in asyncio.run(run_self_test(identifier))], len(identifier.notes))
"""


# Housekeeping


async def test_events_are_taken_in_as_they_come(seeing: LinuxIdentifier, programs: Programs) -> None:
    seeing.watch()
    events = seeing._events
    assert events is not None
    now = time.monotonic_ns()
    await (await asyncio.create_subprocess_exec("true")).wait()
    await eventually(lambda: events.forked_since(os.getpid(), now))


async def test_closing_leaves_nothing_behind() -> None:
    await asyncio.sleep(0)
    before = descriptors()
    identifier = ladder(SEES)
    identifier.watch()
    await asyncio.gather(*[identifier.full(Ends(HERE, 1, HERE, 2)) for _ in range(3)])
    identifier.close()
    assert descriptors() == before


async def test_only_so_many_leads_are_kept(monkeypatch: pytest.MonkeyPatch, listener: Listener) -> None:
    monkeypatch.setattr(ladder_module, "LEADS", 2)
    identifier = ladder("bare")
    for port in (1, 2, 3):
        identifier.fast(Ends(HERE, port, HERE, listener.port))
    assert [ends.local_port for ends in identifier._leads] == [2, 3]
    identifier.close()
