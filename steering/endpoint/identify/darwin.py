"""The macOS ladder: which process holds the socket, and which bundles its program lies in.

``fast``, inline: processes seen lately.  ``full``: every process, the newest first, and what is slow (the account's
name, hash, signer), in a thread with a deadline.

As on Linux, a process may have become another program since it connected, and a child may share the socket.  What
tells is that the kernel was watched since before the connect, or a descriptor that closes on exec; where neither
does, the program is unknown.
"""

import os
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from steering.endpoint.identify.bundle_ids import BundleIds
from steering.endpoint.identify.darwin_calls import load_darwin
from steering.endpoint.identify.darwin_paths import only_administrators_write, unchanged_since
from steering.endpoint.identify.darwin_recent import DarwinRecent
from steering.endpoint.identify.darwin_sockets import (
    Held,
    Key,
    Process,
    key_of,
    read_pids,
    read_process,
    read_socket,
    read_sockets,
)
from steering.endpoint.identify.darwin_system import DarwinSystem
from steering.endpoint.identify.file_hashes import FileHashes
from steering.endpoint.identify.identity import Ends, Identity, Method
from steering.endpoint.identify.slow_facts import Asking, SlowFacts
from steering.policy.facts import System

DEADLINE_S = 0.1
RECENT_TRIED = 4
QUEUED_NS = 1_000_000_000  # how long a connection may have waited for its accept
LAUNCHD = 1

ENDED = "its process has ended, or may not be looked at"
MAY_HAVE_CHANGED = "its process may have become another program since it connected"
SHARED = "different programs hold its socket"
NOT_FOUND = "no process was found that holds its socket"
TOO_LONG = "finding its process took too long"
OTHERS_UNSEEN = "programs of other users are not seen without root"


class _Found(NamedTuple):
    """A process that holds the connection; program: its path.  unknown: why it cannot be trusted all the same."""

    process: Process
    program: str
    method: Method
    unknown: str = ""


class _Searched(NamedTuple):
    """pids: all that there were."""

    holder: tuple[int, Held] | None
    pids: tuple[int, ...]
    why: str


class DarwinIdentifier:
    """An ``Identifier``.  clock_ns: monotonic."""

    def __init__(
        self, system: DarwinSystem, notes: Iterable[str] = (), clock_ns: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.notes = tuple(notes)
        self.wants: frozenset[str] = frozenset()  # the conditions beyond names that rules ask for: fields of Program
        self._system = system
        self._clock_ns = clock_ns
        self._recent = DarwinRecent(system, clock_ns=clock_ns)
        self._bundles = BundleIds()
        self._accounts = SlowFacts(system.account)
        self._signers = SlowFacts[tuple[Process, str]](lambda key: system.signer(key[0].pid))
        self._hashes = FileHashes()
        self._asking = Asking()
        self._watch_all(read_pids(system.pids()))

    def fast(self, ends: Ends) -> Identity | None:
        found = self._among_recent(key_of(ends), self._clock_ns() - QUEUED_NS)
        if found is None or not self._accounts.is_known(found.process.uid):
            return None
        return self._named(found)

    async def full(self, ends: Ends) -> Identity:
        key, at_ns = key_of(ends), self._clock_ns() - QUEUED_NS
        found = self._among_recent(key, at_ns)
        if found is None:
            searched = await self._searched(key)
            self._watch_all(searched.pids)
            if searched.holder is None:
                return _unknown(searched.why)
            found = self._judge(*searched.holder, Method.LIST, at_ns)
            if found is None:
                return _unknown(ENDED)
        if self._lacks(found):
            await self._asking.wait(found.process, lambda: self._ask(found), DEADLINE_S)
        return self._named(found)

    # Who holds it

    def _among_recent(self, key: Key, at_ns: int) -> _Found | None:
        self._recent.drain()
        for pid in self._recent.newest(RECENT_TRIED):
            held = self._held(pid, key)
            if held is not None:
                found = self._judge(pid, held, Method.RECENT, at_ns)
                if found is not None:
                    return found
        return None

    async def _searched(self, key: Key) -> _Searched:
        answer = [_Searched(None, (), TOO_LONG)]
        until = time.monotonic() + DEADLINE_S

        def search() -> None:
            answer[0] = self._search(key, until)

        await self._asking.wait(key, search, DEADLINE_S * 1.5)
        return answer[0]

    def _search(self, key: Key, until: float) -> _Searched:
        """In a thread: it touches nothing but the system."""
        pids = read_pids(self._system.pids())
        for pid in pids:
            if time.monotonic() > until:
                return _Searched(None, tuple(pids), TOO_LONG)
            held = self._held(pid, key)
            if held is not None:
                return _Searched((pid, held), tuple(pids), "")
        return _Searched(None, tuple(pids), NOT_FOUND)

    def _held(self, pid: int, key: Key) -> Held | None:
        """How ``pid`` holds the connection; the least certain way where it has several descriptors of it."""
        best = None
        for descriptor in read_sockets(self._system.descriptors(pid)):
            held = read_socket(self._system.socket(pid, descriptor))
            if held is not None and held.key == key:
                if not held.close_on_exec:
                    return held
                best = held
        return best

    def _judge(self, pid: int, held: Held, method: Method, at_ns: int) -> _Found | None:
        """The process as it is trusted, or not; None where it is gone.  at_ns: when it may have connected."""
        process = read_process(self._system.process(pid))
        program = self._system.path(pid)
        if process is None or not program:
            return None
        self._recent.drain()  # after the look at the path: an exec before that look is known now
        if read_process(self._system.process(pid)) != process:
            return None
        is_same = held.close_on_exec or self._recent.same_since(process, at_ns)
        self._recent.saw(process)
        if not is_same:
            return _Found(process, program, method, MAY_HAVE_CHANGED)
        if not held.close_on_exec and not self._relatives_agree(process, held.key, program):
            return _Found(process, program, method, SHARED)
        return _Found(process, program, method)

    def _relatives_agree(self, process: Process, key: Key, program: str) -> bool:
        """Whether parent and children that hold the connection too run the same file."""
        relatives = read_pids(self._system.pids(process.pid))
        if process.parent > LAUNCHD:
            relatives.append(process.parent)
        return all(
            self._held(relative, key) is None or self._system.path(relative) == program for relative in relatives
        )

    def _watch_all(self, pids: Iterable[int]) -> None:
        """So that a process is watched before it connects.  Costs two calls for each new process."""
        for pid in pids:
            if not self._recent.is_watched(pid) and (process := read_process(self._system.process(pid))):
                self._recent.watch(process)

    # Who that is

    def _named(self, found: _Found) -> Identity:
        process, program = found.process, found.program
        return Identity(
            system=System.MACOS,
            pid=process.pid,
            names=self._bundles.of(program) or (program.rpartition("/")[2],),
            path=program,
            user=self._accounts.known(process.uid),
            root_owned=only_administrators_write(program) if self.wants else None,
            sha256=self._hashes.known(program) if self._hashable(found) else None,
            signer=self._signers.known((process, program)) if "signer" in self.wants else None,
            method=found.method,
            unknown=found.unknown,
        )

    def _hashable(self, found: _Found) -> bool:
        return "sha256" in self.wants and unchanged_since(found.program, found.process.started)

    def _lacks(self, found: _Found) -> bool:
        return (
            not self._accounts.is_known(found.process.uid)
            or ("signer" in self.wants and not self._signers.is_known((found.process, found.program)))
            or (self._hashable(found) and self._hashes.known(found.program) is None)
        )

    def _ask(self, found: _Found) -> None:
        """In a thread."""
        self._accounts.find(found.process.uid)
        if self._hashable(found):
            self._hashes.sha256(found.program)
        if "signer" in self.wants:
            self._signers.find((found.process, found.program))

    # Housekeeping

    def watch(self) -> None:
        """Nothing to wait for: changes wait in the kernel, one a process, until they are asked for."""

    def close(self) -> None:
        self._asking.close()
        self._system.close()


def open_darwin() -> DarwinIdentifier:
    """The ladder on this system.  Raises OSError where it is not macOS, or lacks a function that is needed."""
    notes = () if os.geteuid() == 0 else (OTHERS_UNSEEN,)
    return DarwinIdentifier(load_darwin(), notes)


def _unknown(why: str) -> Identity:
    return Identity(system=System.MACOS, unknown=why)
