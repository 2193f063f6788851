"""The Linux ladder: from an accepted connection to the program behind it.

``fast``, inline: the kernel's socket (sock_diag) -> the socket map (eBPF) -> processes seen lately.
``full``, with a thread and a deadline: its control group -> every process, the newest first -> unknown.

What is found is judged before it is believed.  A process may have become another program since it connected, may be
just becoming one, and what it forked may hold the socket too.  Three things prove a name, and nothing less does:
1. a descriptor that closes on exec, held by a process in which no program is just being started: it connected as
   what it executes now.  (Or it was handed the socket by another, with the consent of both.)
2. the socket map names the process, and it has executed the same thing, watched, since before it connected.
3. the process is at rest outside of exec, and the events of processes, watched since the connect, know of no change.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TypeVar

from steering.endpoint.identify.identity import Ends, Identity, Method
from steering.endpoint.identify.linux_attributes import Attributes, LinuxAttributes, package_of_path
from steering.endpoint.identify.linux_bpf import Connected, SocketMap, cgroup_root, open_map
from steering.endpoint.identify.linux_diag import SockDiag, Socket
from steering.endpoint.identify.linux_events import ProcessEvents, open_events
from steering.endpoint.identify.linux_procfs import Executable, Held, Process, open_process
from steering.endpoint.identify.linux_search import INLINE_DESCRIPTORS, Holders, HolderSearch, path_of, relatives_agree
from steering.endpoint.identify.linux_users import Users
from steering.endpoint.identify.recent import Known, RecentProcesses
from steering.policy.facts import System

T = TypeVar("T")

DEADLINE_S = 0.1
SEARCH_S = 2.0  # a search goes on for so long when nobody waits for it any more: the next connection is known then
RECENT_TRIED = 4  # 40 us for the right one, some 60 us for each wrong one before it
LEADS = 1024
# A connection waits for its accept in the kernel's queue.  Without the socket map nobody says how long; a process
# that changed within this time before the accept may have connected as another program.
QUEUED_NS = 1_000_000_000
REST_S = 0.03  # how long a process that never rests is watched; the last microseconds of an exec are over by then
LOOK_AGAIN_S = 0.001

GONE = "its socket is gone, or belongs to another network namespace"
CHANGED = "its process has become another program since it connected"
MAY_HAVE_CHANGED = "its process may have become another program since it connected"
SHARED = "different programs hold its socket"
NAMELESS = "it runs from memory, without a file"
NOT_FOUND = "no process was found that holds its socket"
TOO_LONG = "finding its process took too long"


@dataclass(slots=True)
class _Lead:
    """What ``fast`` found.  accepted_ns: None where it was not asked in the tick of the accept.  answer: None: open."""

    sock: Socket | None
    accepted_ns: int | None
    connected: Connected | None = None
    answer: Identity | None = None


class LinuxIdentifier:
    """An ``Identifier``.  socket_map, events: None where the system offers none (``notes`` says why)."""

    def __init__(
        self, diag: SockDiag, socket_map: SocketMap | None, events: ProcessEvents | None, notes: Iterable[str] = ()
    ) -> None:
        self.notes = tuple(notes)
        self.wants: frozenset[str] = frozenset()
        self._diag = diag
        self._map = socket_map
        self._events = events
        self._recent = RecentProcesses()
        self._attributes = LinuxAttributes()
        self._users = Users()
        self._asking: dict[int, Future[str | None]] = {}
        self._holders = HolderSearch(_cgroup_mount())
        self._leads: dict[Ends, _Lead] = {}
        self._searching = ThreadPoolExecutor(max_workers=2, thread_name_prefix="identify")
        self._looking = ThreadPoolExecutor(max_workers=1, thread_name_prefix="attributes")
        self._is_closed = False
        self._watching: asyncio.AbstractEventLoop | None = None

    # Inline

    def fast(self, ends: Ends) -> Identity | None:
        lead = self._leads[ends] = self._look(ends, time.monotonic_ns())
        if len(self._leads) > LEADS:
            del self._leads[next(iter(self._leads))]
        return lead.answer

    def _look(self, ends: Ends, accepted_ns: int | None) -> _Lead:
        sock = self._diag.find(ends)
        if sock is None:
            return _Lead(None, accepted_ns, answer=_unknown(GONE))
        connected = self._map.find(sock.cookie) if self._map is not None else None
        found = self._by_recent(sock) if connected is None else self._by_map(sock, connected)
        return _Lead(sock, accepted_ns, connected, found)

    def _by_map(self, sock: Socket, connected: Connected) -> Identity | None:
        """The process that connected, as the kernel told; None where more must be looked at."""
        pid, at_ns = connected
        now_ns = time.monotonic_ns()
        known, executable = self._alive(pid)
        if known is None or executable is None:
            return None
        if self._events is not None:
            self._events.drain()  # after the look at the executable: an exec that was finished then is known now
            if self._is_unchanged(known, executable, at_ns):
                self._recent.touch(pid)
                return self._answer(sock, known.process, executable, Method.MAP)
            if self._events.changed_since(pid, at_ns):
                return self._answer(sock, known.process, executable, Method.MAP, CHANGED)
        return self._by_descriptor(sock, known, executable, now_ns, Method.MAP)

    def _alive(self, pid: int) -> tuple[Known | None, Executable | None]:
        known = self._recent.get(pid)
        executable = known.process.executable() if known is not None else None
        if executable is None:  # not seen before, or that one has ended
            known = self._recent.add(pid)
            executable = known.process.executable() if known is not None else None
        return known, executable

    def _is_unchanged(self, known: Known, executable: Executable, at_ns: int) -> bool:
        """Whether it executed this before ``at_ns``, and nothing else since; nor has it forked since ``at_ns``."""
        events, pid = self._events, known.process.pid
        return (
            events is not None
            and known.path == executable.path
            and known.at_ns <= at_ns
            and events.changed_since(pid, known.at_ns) is False
            and events.forked_since(pid, at_ns) is False
        )

    def _by_recent(self, sock: Socket) -> Identity | None:
        for known in self._recent.newest(RECENT_TRIED, sock.cgroup):
            now_ns = time.monotonic_ns()
            executable = known.process.executable()
            if executable is None:
                self._recent.drop(known.process.pid)
                continue
            found = self._by_descriptor(sock, known, executable, now_ns, Method.RECENT)
            if found is not None:
                return found
        return None

    def _by_descriptor(
        self,
        sock: Socket,
        known: Known,
        executable: Executable,
        read_ns: int,
        method: Method,
        held: Held | None = None,
    ) -> Identity | None:
        """None where the descriptor proves nothing.  ``executable`` was read at ``read_ns``, and then, in this order:

        no exec is under way that made it the executable; the descriptor is still there, which an exec had closed.
        held: where to look for it; None: everywhere, but not in a large table.
        """
        process = known.process
        if process.is_starting():
            return None
        held = (
            process.holds(sock.inode, INLINE_DESCRIPTORS) if held is None else process.holds_at(held.number, sock.inode)
        )
        if held is None or not held.close_on_exec:
            return None
        known.saw(executable.path, read_ns, sock.cgroup)
        self._recent.touch(process.pid)
        return self._answer(sock, process, executable, method)

    def _answer(
        self, sock: Socket, process: Process, executable: Executable, method: Method, unknown: str = ""
    ) -> Identity:
        """What is known at once of further conditions; ``full`` looks at the rest."""
        attributes = digest = None
        if self.wants and not unknown:
            with suppress(OSError):
                file = process.file()
                attributes = self._attributes.known(file, executable.path)
                digest = self._attributes.known_sha256(file) if "sha256" in self.wants else None
        if self._users.is_asked_for(sock.uid):
            self._ask_for(sock.uid)
        user, name, path = self._users.known(sock.uid), executable.name, executable.path
        return _identity(process.pid, name, path, user, method, unknown, attributes, digest)

    def _ask_for(self, uid: int) -> Future[str | None]:
        """The name of an account that is not known: once at a time, however many wait for it."""
        asking = self._asking.get(uid)
        if asking is None or asking.done():
            asking = self._asking[uid] = self._looking.submit(self._users.look_up, uid)
        return asking

    # The whole ladder

    async def full(self, ends: Ends) -> Identity:
        """An answer given before stands: a second look, later, proves less than the first."""
        lead = self._lead_of(ends) or self._look(ends, None)
        if lead.answer is None and lead.sock is not None:
            try:
                async with asyncio.timeout(DEADLINE_S * 1.5):
                    lead.answer = await self._search(lead, lead.sock)
            except TimeoutError:
                lead.answer = _unknown(TOO_LONG)
        answer = lead.answer or _unknown(GONE)
        if lead.sock is not None and not answer.unknown:
            answer = lead.answer = await self._completed(answer, lead.sock.uid)
        return answer

    def _lead_of(self, ends: Ends) -> _Lead | None:
        """What ``fast`` found of this very socket: another one may have had the same ports."""
        lead = self._leads.get(ends)
        if lead is None or lead.sock is None:
            return lead
        sock = self._diag.find(ends)
        return lead if sock is not None and sock.cookie == lead.sock.cookie else None

    async def _search(self, lead: _Lead, sock: Socket) -> Identity:
        if lead.connected is not None:
            found = await self._at_rest(sock, lead.connected)
            if found is not None:
                return found
        holders = self._holders.near(sock) or await self._searched(lead, sock)
        if holders is None:
            return _unknown(TOO_LONG)
        if not holders.pids:
            return _unknown(NOT_FOUND)
        if holders.closing is None:
            return await self._all_agree(lead, sock, holders)
        now_ns = time.monotonic_ns()
        known, executable = self._alive(holders.pids[0])
        if known is None or executable is None:
            return _unknown(NOT_FOUND)
        if lead.connected is not None and path_of(lead.connected.pid) not in (None, executable.path):
            return self._answer(sock, known.process, executable, holders.method, SHARED)
        held = self._by_descriptor(sock, known, executable, now_ns, holders.method, holders.closing)
        return held or self._answer(sock, known.process, executable, holders.method, MAY_HAVE_CHANGED)

    async def _searched(self, lead: _Lead, sock: Socket) -> Holders | None:
        find = partial(self._holders.find, all_matter=self._may_judge(lead))
        deadline = time.monotonic() + SEARCH_S
        searching = asyncio.get_running_loop().run_in_executor(self._searching, find, sock, deadline)
        searching.add_done_callback(self._saw_holders)
        return await _waited(searching)

    def _saw_holders(self, searching: asyncio.Future[Holders | None]) -> None:
        if self._is_closed or searching.cancelled() or searching.exception() is not None:
            return
        holders = searching.result()
        if holders is not None and holders.closing is not None and self._recent.get(holders.pids[0]) is None:
            self._recent.add(holders.pids[0])

    async def _at_rest(self, sock: Socket, connected: Connected) -> Identity | None:
        """The process that connected, once it is seen at rest; None where that cannot be, or not be known."""
        pid, at_ns = connected
        with _processes([pid]) as processes:
            now_ns = time.monotonic_ns()
            executable = processes[0].executable() if processes else None
            if executable is None or self._events is None:
                return None
            rests = await _rests(processes[0])
            self._events.drain()
            changed = self._events.changed_since(pid, at_ns)
            if changed:
                return self._answer(sock, processes[0], executable, Method.MAP, CHANGED)
            if changed is None or not rests:
                return None
            if self._events.forked_since(pid, at_ns) is not False:
                agree = await _in_thread(self._searching, relatives_agree, pid, sock.inode, executable.path)
                if not agree:
                    return self._answer(sock, processes[0], executable, Method.MAP, SHARED)
            known, still = self._alive(pid)
            if known is not None and still == executable:
                known.saw(executable.path, now_ns, sock.cgroup)
            return self._answer(sock, processes[0], executable, Method.MAP)

    async def _all_agree(self, lead: _Lead, sock: Socket, holders: Holders) -> Identity:
        """Of descriptors that an exec leaves open, without the word of the socket map: all who hold one must have
        executed the same thing since before the connect.
        """
        with _processes(holders.pids) as processes:
            executables = [process.executable() for process in processes]
            first = executables[0] if executables else None
            if first is None or len(processes) != len(holders.pids):
                return _unknown(NOT_FOUND)
            if any(other != first for other in executables):
                return self._answer(sock, processes[0], first, holders.method, SHARED)
            if not self._may_judge(lead):
                return self._answer(sock, processes[0], first, holders.method, MAY_HAVE_CHANGED)
            rest = [await _rests(process) for process in processes]
            if not all(rest) or not self._are_unchanged(holders.pids, lead):
                return self._answer(sock, processes[0], first, holders.method, MAY_HAVE_CHANGED)
            return self._answer(sock, processes[0], first, holders.method)

    def _may_judge(self, lead: _Lead) -> bool:
        """Whether holders of a descriptor that stays open can be told to have been the same since the connect."""
        return self._events is not None and lead.accepted_ns is not None and lead.connected is None

    def _are_unchanged(self, pids: Iterable[int], lead: _Lead) -> bool:
        if self._events is None or lead.accepted_ns is None or not self._may_judge(lead):
            return False
        self._events.drain()
        since_ns = lead.accepted_ns - QUEUED_NS
        return all(self._events.changed_since(pid, since_ns) is False for pid in pids)

    async def _completed(self, found: Identity, uid: int) -> Identity:
        """With what else rules ask for; what takes too long is there the next time."""
        if self._users.is_asked_for(uid):
            await _waited(asyncio.wrap_future(self._ask_for(uid)))
        if found.user is None:
            found = replace(found, user=self._users.known(uid))
        if self.wants and found.root_owned is None and found.path is not None:
            look = partial(self._attributes.look, path=found.path)
            attributes = await _in_thread(self._looking, _of_program, found, look)
            if attributes is not None:
                found = replace(
                    found,
                    package=attributes.package,
                    root_owned=attributes.root_owned,
                    signer=attributes.signer,
                    is_there=attributes.is_there,
                )
        if "sha256" in self.wants and found.sha256 is None:
            digest = await _in_thread(self._looking, _of_program, found, self._attributes.sha256)
            found = replace(found, sha256=digest)
        return found

    # Housekeeping

    def watch(self) -> None:
        """Within a running loop: take process events in as they come, so that their queue does not overflow."""
        if self._events is not None:
            self._watching = asyncio.get_running_loop()
            self._watching.add_reader(self._events.fileno(), self._events.drain)

    def close(self) -> None:
        self._is_closed = True
        self._searching.shutdown(wait=False, cancel_futures=True)
        self._looking.shutdown(wait=False, cancel_futures=True)
        self._recent.close()
        self._diag.close()
        if self._map is not None:
            self._map.close()
        if self._events is not None:
            if self._watching is not None:
                self._watching.remove_reader(self._events.fileno())
            self._events.close()


def open_linux() -> LinuxIdentifier:
    """The ladder with every step that this system offers.  Raises OSError where not even the first is there."""
    diag = SockDiag()
    socket_map, no_map = open_map()
    events, no_events = open_events()
    return LinuxIdentifier(diag, socket_map, events, filter(None, (no_map, no_events)))


async def _rests(process: Process) -> bool:
    """Whether no exec is under way in it, and whatever it executed before has its event."""
    until = time.monotonic() + REST_S
    while True:
        starting, in_exec = process.is_starting(), process.is_in_exec()
        if not starting and in_exec is False:
            return True
        if time.monotonic() >= until:
            return not starting and in_exec is None
        await asyncio.sleep(LOOK_AGAIN_S)


async def _in_thread(pool: ThreadPoolExecutor, work: Callable[..., T], *given: object) -> T | None:
    """None where it takes longer than anybody waits for it (it is not stopped), or fails."""
    return await _waited(asyncio.get_running_loop().run_in_executor(pool, work, *given))


async def _waited(working: asyncio.Future[T]) -> T | None:
    try:
        async with asyncio.timeout(DEADLINE_S):
            return await asyncio.shield(working)
    except (TimeoutError, OSError):
        return None


def _of_program(found: Identity, look: Callable[[int], T]) -> T | None:
    """What ``look`` finds, if the process executes the same thing before and after; in a thread."""
    if path_of(found.pid) != found.path:
        return None
    result = look(found.pid)
    return result if path_of(found.pid) == found.path else None


@contextmanager
def _processes(pids: Iterable[int]) -> Iterator[list[Process]]:
    """Those that still run, held while they are looked at."""
    processes = [process for process in map(open_process, pids) if process is not None]
    try:
        yield processes
    finally:
        for process in processes:
            process.close()


@lru_cache(maxsize=1024)
def _identity(
    pid: int,
    name: str,
    path: str,
    user: str | None,
    method: Method,
    unknown: str,
    attributes: Attributes | None,
    digest: str | None,
) -> Identity:
    """Kept: nearly every connection is opened by a process that opened one before, and making this costs 3 us."""
    return Identity(
        system=System.LINUX,
        pid=pid,
        names=(name,) if name else (),
        path=path,
        is_there=attributes is not None and attributes.is_there,
        user=user,
        package=attributes.package if attributes else package_of_path(path),
        root_owned=attributes.root_owned if attributes else None,
        signer=attributes.signer if attributes else None,
        sha256=digest,
        method=method,
        unknown=unknown or ("" if name else NAMELESS),
    )


def _unknown(why: str) -> Identity:
    return Identity(system=System.LINUX, unknown=why)


def _cgroup_mount() -> str | None:
    try:
        root = cgroup_root(Path("/proc/self/mounts").read_text("utf-8", "replace"))
    except OSError:
        return None
    return str(root) if root else None
