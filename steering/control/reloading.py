"""Putting rules in force: at the start, when the file changes, when their time comes.

Resolver, inspector and helpers come first, the PACs follow as soon as they are made and have passed their gates: a
PAC never sends direct what would still be opened.  Whatever goes wrong on the way, what is in force stays in force,
and the status says why.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from steering.control.errors import PolicyUnusable
from steering.control.policystore import Enforced, failed_checks, read_source
from steering.control.state import State, write_whole
from steering.control.status import Status
from steering.control.watch import Watch
from steering.pac.errors import PacError
from steering.pac.publish import PacSet
from steering.policy import Point, Policy
from steering.process.logs import logger

LOOK_S = 60.0  # clocks are set, and sleep does not notice

_OLD_RULES = "the old rules stay in force"
_OLD_PACS = "the rules are in force, but the old PACs stay"

Make = Callable[[bytes, str], Enforced]
Publish = Callable[[Enforced], Awaitable[None]]
Follow = Callable[[Policy], Awaitable[PacSet]]


class Reloading:
    """The policy in force, and the ways to another one.

    first: from a rules text, and what errors call it, to what is enforced and its PACs; raises PolicyUnusable.
    make: the same without the PACs.  publish: puts it in force at every point but the PACs, and returns when it is.
    follow: makes a policy's PACs, publishes and returns them; raises PacError.
    """

    def __init__(
        self, rules: Path, state: State, status: Status, *, first: Make, make: Make, publish: Publish, follow: Follow
    ) -> None:
        self._rules = rules
        self._state = state
        self._status = status
        self._make = make
        self._publish = publish
        self._follow = follow
        self._watch = Watch(rules)
        self._busy = asyncio.Lock()
        self._keeping = asyncio.Lock()
        self._set_aside = False  # whether the file, as it was last read, is not what is enforced
        self._coming: asyncio.Task[None] | None = None
        self._settling: asyncio.Task[None] | None = None
        self._replanned = asyncio.Event()
        self._log = logger("policy")
        self.enforced = self._first(first)

    def _first(self, make: Make) -> Enforced:
        """From the file; from the last good rules where it cannot be enforced.  Raises PolicyUnusable."""
        try:
            enforced = make(read_source(self._rules), str(self._rules))
        except PolicyUnusable as exc:
            last = self._state.last_good_rules
            if not last.exists():
                raise
            self._log.error("the rules file cannot be enforced, the last good rules are", error=str(exc))
            enforced = make(read_source(last), str(last))
            self._set_aside = True
            self._blame(str(exc), exc.summary)
        note(self._status, enforced, str(self._rules))
        return enforced

    async def serve(self) -> None:
        """Follow file and clock until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._follow_file())
                group.create_task(keep_time(self._status, lambda: self.enforced.policy, self._replanned, self._replan))
        finally:
            if self._settling is not None:
                self._settling.cancel()

    async def reload(self) -> dict[str, Any]:
        """Read the file and put it in force, the PACs too, or say why not; the status that this leads to."""
        await self._read()
        while self._settling is not None and not self._settling.done():  # a newer one may take its place
            await asyncio.wait((self._settling,))
        return self._status.as_json()

    async def _read(self) -> None:
        """Read the file and put it in force but for the PACs.

        Who asks while others are waiting is served by the same reading: it has not begun.
        """
        if self._coming is None:
            self._coming = asyncio.create_task(self._reload())
        await asyncio.shield(self._coming)

    async def _reload(self) -> None:
        async with self._busy:
            self._coming = None
            began = time.monotonic()
            try:
                source = await asyncio.to_thread(read_source, self._rules)
                if source == self.enforced.source and self._status.error is None:
                    return  # asked for by a command, then noticed by the watch
                enforced = await asyncio.to_thread(self._make, source, str(self._rules))
                await self._publish(enforced)
            except PolicyUnusable as exc:
                self._set_aside = True
                self._blame(str(exc), exc.summary)
            except Exception as exc:  # a fault of ours: as harmless as one of the file, and as loud
                self._set_aside = True
                self._log.exception("the rules file could not be put in force")
                self._blame(f"internal error: {exc!r}", "internal error; the log says more")
            else:
                self._set_aside = False
                self.enforced = enforced
                self._status.reloads += 1
                self._status.last_reload_ms = _ms_since(began)
                note_asking(self._status, enforced.policy.revision)
                self._log.info(
                    "policy in force", revision=enforced.policy.revision, took_ms=self._status.last_reload_ms
                )
                self._settle()
                self._replanned.set()

    def _settle(self) -> None:
        """Let the PACs follow what is enforced; those of what was enforced before are not waited for."""
        if self._settling is not None:
            self._settling.cancel()
        self._settling = asyncio.create_task(self._have_pacs_follow(self.enforced))

    async def _have_pacs_follow(self, enforced: Enforced) -> None:
        began = time.monotonic()
        try:
            pacs = await self._follow(enforced.policy)
        except PacError as exc:
            unusable = failed_checks(str(self._rules), exc)
            note(self._status, enforced, str(self._rules))
            self._blame(str(unusable), unusable.summary, _OLD_PACS)
        except Exception as exc:  # as above
            self._log.exception("the PACs could not be made")
            note(self._status, enforced, str(self._rules))
            self._blame(f"internal error: {exc!r}", "internal error; the log says more", _OLD_PACS)
        else:
            if not self._set_aside:
                self._status.error = self._status.summary = None
            self._status.last_pac_ms = _ms_since(began)
            note(self._status, enforced, str(self._rules))
            note_pacs(self._status, pacs)
            self._log.info("PACs published", revision=pacs.revision, took_ms=self._status.last_pac_ms)
            await asyncio.shield(self._keep(enforced))  # whole, also where the next policy is there already

    async def _follow_file(self) -> None:
        while True:
            await self._watch.changed()
            await self._read()

    async def _replan(self) -> None:
        """The same rules at another time: whether the file can be read just now is not asked."""
        async with self._busy:
            self._log.info("a time condition has begun or ended", revision=self.enforced.policy.revision)
            self._settle()

    async def _keep(self, enforced: Enforced) -> None:
        async with self._keeping:
            await asyncio.to_thread(self.save, enforced)

    def save(self, enforced: Enforced | None = None) -> None:
        """Keep what is in force, with its PACs, for a start that finds a broken file."""
        try:
            write_whole(self._state.last_good_rules, (enforced or self.enforced).source)
        except OSError as exc:
            self._log.error("the last good rules cannot be kept", error=str(exc))

    def _blame(self, error: str, summary: str, what_stays: str = _OLD_RULES) -> None:
        self._log.error(what_stays, error=error)
        self._status.error, self._status.summary = error, summary
        if self._status.state == "ok":
            self._status.state = "degraded"


def note(status: Status, enforced: Enforced, shown: str) -> None:
    """Write into ``status`` what is in force.  shown: where it comes from."""
    policy = enforced.policy
    if status.state != "starting":
        status.state = "degraded" if status.error else "ok"
    if status.revision != policy.revision:
        status.since = time.time()
    status.rules_file = shown
    status.revision = policy.revision
    status.rules = len(policy.rule_set.model.rules)
    status.enabled = len(policy.rules)
    status.names = sum(len(rule.domains) for rule in policy.rules)
    status.next_change = policy.next_change(time.time())
    note_asking(status, policy.revision)
    if enforced.pacs is not None:
        note_pacs(status, enforced.pacs)


def note_asking(status: Status, revision: str) -> None:
    """Resolver, inspector and helpers ask the policy itself; a PAC is made of it, and follows."""
    status.points |= {point.value: revision for point in Point if point is not Point.PAC}


def note_pacs(status: Status, pacs: PacSet) -> None:
    status.pac_variants = pacs.variants
    status.points[Point.PAC.value] = pacs.revision


def _ms_since(began: float) -> float:
    return round((time.monotonic() - began) * 1000, 1)


async def keep_time(
    status: Status,
    policy: Callable[[], Policy],
    replanned: asyncio.Event,
    replan: Callable[[], Awaitable[None]],
) -> None:
    """Plan the PACs anew when a time condition begins or ends; resolver and inspector see to it themselves.

    replanned: set by whoever puts another policy in force.
    """
    while True:
        replanned.clear()
        change = status.next_change = policy().next_change(time.time())
        try:
            async with asyncio.timeout(LOOK_S if change is None else min(LOOK_S, max(change - time.time(), 0.0))):
                await replanned.wait()
        except TimeoutError:
            if change is not None and time.time() >= change:
                await replan()
