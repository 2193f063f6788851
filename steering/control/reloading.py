"""Putting rules in force: at the start, when the file changes, when their time comes.

Whatever goes wrong on the way, what is in force stays in force, and the status says why.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from steering.control.errors import PolicyUnusable
from steering.control.policystore import Enforced, read_source
from steering.control.state import State, write_whole
from steering.control.status import Status
from steering.control.watch import Watch
from steering.policy import Policy
from steering.process.logs import logger

LOOK_S = 60.0  # clocks are set, and sleep does not notice

Make = Callable[[bytes, str], Enforced]
Publish = Callable[[Enforced], Awaitable[None]]


class Reloading:
    """The policy in force, and the ways to another one.

    make: from a rules text, and what errors call it, to what is enforced; raises PolicyUnusable.
    publish: puts it in force at every point, and returns when it is.
    """

    def __init__(self, rules: Path, state: State, status: Status, make: Make, publish: Publish) -> None:
        self._rules = rules
        self._state = state
        self._status = status
        self._make = make
        self._publish = publish
        self._watch = Watch(rules)
        self._busy = asyncio.Lock()
        self._coming: asyncio.Task[dict[str, Any]] | None = None
        self._replanned = asyncio.Event()
        self._log = logger("policy")
        self.enforced = self._first()

    def _first(self) -> Enforced:
        """From the file; from the last good rules where it cannot be enforced.  Raises PolicyUnusable."""
        try:
            enforced = self._make(read_source(self._rules), str(self._rules))
        except PolicyUnusable as exc:
            last = self._state.last_good_rules
            if not last.exists():
                raise
            self._log.error("the rules file cannot be enforced, the last good rules are", error=str(exc))
            enforced = self._make(read_source(last), str(last))
            self._blame(str(exc), exc.summary)
        note(self._status, enforced, str(self._rules))
        return enforced

    async def serve(self) -> None:
        """Follow file and clock until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow_file())
            group.create_task(keep_time(self._status, lambda: self.enforced.policy, self._replanned, self._replan))

    async def reload(self) -> dict[str, Any]:
        """Read the file and put it in force, or say why not; the status that this leads to.

        Who asks while others are waiting is served by the same reading: it has not begun.
        """
        if self._coming is None:
            self._coming = asyncio.create_task(self._reload())
        return await asyncio.shield(self._coming)

    async def _reload(self) -> dict[str, Any]:
        async with self._busy:
            self._coming = None
            began = time.monotonic()
            try:
                source = await asyncio.to_thread(read_source, self._rules)
                if source == self.enforced.source and self._status.error is None:
                    return self._status.as_json()  # asked for by a command, then noticed by the watch
                await self._enforce(source, str(self._rules))
            except PolicyUnusable as exc:
                self._blame(str(exc), exc.summary)
            except Exception as exc:  # a fault of ours: as harmless as one of the file, and as loud
                self._log.exception("the rules file could not be put in force")
                self._blame(f"internal error: {exc!r}", "internal error; the log says more")
            else:
                self._status.error = self._status.summary = None
                self._status.reloads += 1
                self._status.last_reload_ms = round((time.monotonic() - began) * 1000, 1)
                note(self._status, self.enforced, str(self._rules))
                self._log.info("policy in force", revision=self._status.revision, took_ms=self._status.last_reload_ms)
                await asyncio.to_thread(self.save)
            return self._status.as_json()

    async def _enforce(self, source: bytes, shown: str) -> None:
        enforced = await asyncio.to_thread(self._make, source, shown)
        await self._publish(enforced)
        self.enforced = enforced
        self._replanned.set()

    async def _follow_file(self) -> None:
        while True:
            await self._watch.changed()
            await self.reload()

    async def _replan(self) -> None:
        """The same rules at another time: whether the file can be read just now is not asked."""
        async with self._busy:
            try:
                await self._enforce(self.enforced.source, str(self._rules))
                note(self._status, self.enforced, str(self._rules))
                self._log.info("a time condition has begun or ended", revision=self._status.revision)
            except Exception as exc:
                self._log.exception("the PACs could not be planned anew")
                self._blame(f"internal error: {exc!r}", "internal error; the log says more")

    def save(self) -> None:
        """Keep what is in force for a start that finds a broken file."""
        try:
            write_whole(self._state.last_good_rules, self.enforced.source)
        except OSError as exc:
            self._log.error("the last good rules cannot be kept", error=str(exc))

    def _blame(self, error: str, summary: str) -> None:
        self._log.error("the old rules stay in force", error=error)
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
    status.pac_variants = enforced.pacs.variants


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
