"""Following a control service: its signed bundles are put in force here as a rules file would be.

They are fetched, proved and kept exactly as an endpoint helper does it: no older one, no foreign one and no damaged
one is taken, and the last good one is enforced at the next start, whether anybody can be reached or not.
"""

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from typing import Any

from steering.control.errors import PolicyUnusable
from steering.control.joining import FollowPlan, join
from steering.control.policystore import Enforced
from steering.control.reloading import keep_time, note
from steering.control.status import Status
from steering.endpoint.bundle.content import Bundle
from steering.endpoint.bundle.fetch import ServiceFetcher
from steering.endpoint.bundle.keeper import BundleKeeper
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.bundle.watch import BundleWatch, back_off_s
from steering.endpoint.device import Credential, client_context
from steering.endpoint.enrol import keep_renewed
from steering.endpoint.errors import BundleError, EndpointError, ServiceUnreachable
from steering.endpoint.heartbeat import Heartbeat
from steering.endpoint.policy_keeping import keeper_of
from steering.endpoint.reporting import own_version
from steering.endpoint.service_link import ServiceLink
from steering.process.logs import logger

POLL_S = 30.0  # hints are quicker; this is for when they do not come
HINT_JITTER_S = 0.2  # a handful of services, not a thousand laptops
MAX_PAUSE_S = 5.0  # before the first policy: nothing is served until then
MAX_COUNTERS = 200
UNUSABLE = "unusable"  # lies in the folder where what is kept could not be put in force at the last start
SUMMARY = "the newest policy is not in force; 'steering status' says why"

log = logger("follow")


class Following:
    """``begin``, then ``first``, then ``serve``; besides, it is asked what a ``Reloading`` is asked.

    make: from a bundle to what is enforced; raises PolicyUnusable.  publish: as for a Reloading.
    """

    def __init__(
        self,
        plan: FollowPlan,
        status: Status,
        make: Callable[[Bundle], Enforced],
        publish: Callable[[Enforced], Awaitable[None]],
        counters: Callable[[], Mapping[str, int]],
    ) -> None:
        self._plan = plan
        self._unusable = plan.folder / UNUSABLE
        self._status = status
        self._make = make
        self._publish = publish
        self._counters = counters
        self._live = LiveBundle()
        self._fetcher = ServiceFetcher(lambda: self._context)
        self._busy = asyncio.Lock()
        self._changed = asyncio.Event()
        self._replanned = asyncio.Event()
        self._news = asyncio.Event()  # something that the control service should hear now
        self._unenforced = ""  # why the bundle that is kept is not in force
        self._context: ssl.SSLContext
        self._credential: Credential
        self._keeper: BundleKeeper
        self._link: ServiceLink
        self._heartbeat: Heartbeat | None = None
        self.enforced: Enforced
        self._of: Bundle | None = None  # what is enforced was made of it

    @property
    def ca_pem(self) -> bytes:
        """What clients of the control service are given to trust; b"" where it has no CA."""
        return self._keeper.ca_pem

    @property
    def warnings(self) -> list[str]:
        keeper, unheard = self._keeper, self._heartbeat.error if self._heartbeat else ""
        found = [
            keeper.unreachable and f"the control service cannot be asked: {keeper.unreachable}",
            unheard and f"the control service is not told what is enforced: {unheard}",
            "nobody vouches any more that these rules are the newest" if keeper.is_stale else "",
        ]
        return list(filter(None, found))

    # The first policy

    async def begin(self) -> None:
        """Return when there is a policy: the one that is kept, or the first that is fetched."""
        failures, said = 0, ""
        while True:
            try:
                await self._try_to_begin()
                return
            except EndpointError as exc:
                failures += 1
                if str(exc) != said:
                    log.warning("nothing is served before there is a policy", service=self._plan.url, error=str(exc))
                    said = str(exc)
            await asyncio.sleep(min(back_off_s(failures), MAX_PAUSE_S))

    async def _try_to_begin(self) -> None:
        self._credential = await join(self._plan)
        self._context = client_context(self._plan.folder, self._credential)
        self._keeper = keeper_of(self._plan.folder, self._credential, self._live, self._fetcher)
        if not await asyncio.to_thread(self._keeper.load):
            await self._keeper.update()
        elif self._unusable.exists():
            with suppress(ServiceUnreachable):  # what is kept, then: it may have been for our settings
                await self._keeper.update()
        if self._live.bundle is None:
            raise BundleError(self._keeper.error)

    def first(self) -> None:
        """Make what is enforced first.  Raises PolicyUnusable: the next start then asks for a newer bundle first."""
        assert self._live.bundle is not None, "there is one once it has begun"
        self._of = self._live.bundle
        try:
            self.enforced = self._make(self._of)
        except PolicyUnusable:
            with suppress(OSError):
                self._unusable.touch(mode=0o600)
            raise
        with suppress(OSError):
            self._unusable.unlink(missing_ok=True)
        note(self._status, self.enforced, self._plan.url)
        self._live.subscribe(lambda _: self._changed.set())

    # Afterwards

    async def serve(self) -> None:
        """Follow until cancelled."""
        self._link = ServiceLink(self._plan.url, self._context)
        self._heartbeat = Heartbeat(self._link, self._report)
        watch = BundleWatch(self._update, self._link.events, poll_s=POLL_S, hint_jitter_s=HINT_JITTER_S)
        works: list[Coroutine[Any, Any, None]] = [
            watch.serve(),
            self._heartbeat.serve(),
            self._keep_telling(self._heartbeat),
            self._keep_enforcing(),
            keep_time(self._status, lambda: self.enforced.policy, self._replanned, self._replan),
            keep_renewed(self._plan.folder, self._credential, self._link, self._renewed),
        ]
        try:
            async with asyncio.TaskGroup() as group:
                for work in works:
                    group.create_task(work)
        finally:
            self._fetcher.close()
            await self._link.close()

    async def reload(self) -> dict[str, Any]:
        """Ask for a newer policy now; the status that this leads to."""
        with suppress(ServiceUnreachable):
            await self._update()
        await self._enforce()
        return self._status.as_json()

    def save(self) -> None:
        """What is kept for the next start is kept when it is fetched."""

    async def _update(self) -> None:
        try:
            await self._keeper.update()
        finally:
            self._judge()

    async def _keep_enforcing(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await self._enforce()

    async def _keep_telling(self, heartbeat: Heartbeat) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            await heartbeat.beat()

    async def _enforce(self) -> None:
        """Put the newest bundle in force, where it is not; what is in force stays where that fails."""
        async with self._busy:
            bundle = self._live.bundle
            if bundle is None or bundle is self._of:
                return
            began = time.monotonic()
            try:
                await self._put_in_force(bundle)
            except PolicyUnusable as exc:
                self._unenforced = str(exc)
            except Exception as exc:  # a fault of ours: as harmless as one of the bundle, and as loud
                log.exception("the policy could not be put in force")
                self._unenforced = f"internal error: {exc!r}"
            else:
                self._status.reloads += 1
                self._status.last_reload_ms = round((time.monotonic() - began) * 1000, 1)
                log.info("policy in force", revision=self._status.revision, took_ms=self._status.last_reload_ms)
                self._news.set()
            self._judge()

    async def _put_in_force(self, bundle: Bundle) -> None:
        enforced = await asyncio.to_thread(self._make, bundle)
        await self._publish(enforced)
        self.enforced, self._of, self._unenforced = enforced, bundle, ""
        note(self._status, enforced, self._plan.url)
        self._replanned.set()

    async def _replan(self) -> None:
        """The same rules at another time."""
        async with self._busy:
            assert self._of is not None
            try:
                await self._put_in_force(self._of)
            except Exception as exc:
                log.exception("the PACs could not be planned anew")
                self._unenforced = f"internal error: {exc!r}"
            self._judge()

    def _judge(self) -> None:
        """Whether what is in force is what should be."""
        error = self._unenforced or self._keeper.error
        if error != (self._status.error or ""):
            self._news.set()
            if error:
                log.error("the old rules stay in force", error=error)
        self._status.error, self._status.summary = (error, SUMMARY) if error else (None, None)
        if self._status.state != "starting":
            self._status.state = "degraded" if error else "ok"

    def _renewed(self, credential: Credential) -> None:
        self._credential = credential
        self._context = client_context(self._plan.folder, credential)
        self._link.replace_context(self._context)

    def _report(self) -> Mapping[str, object]:
        """A heartbeat's content: of what the points enforce, which is later than what is kept."""
        return {
            "revision": self._status.revision,
            "version": own_version(),
            "error": "; ".join(filter(None, [self._status.error, *self._status.warnings])),
            "counters": dict(sorted(self._counters().items())[:MAX_COUNTERS]),
        }
