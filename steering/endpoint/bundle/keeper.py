"""Keeps the bundle in force the newest good one: from disk at the start, from the service afterwards.

A bundle is put in force when it is proved, parsed and compiled, by one reference; whatever goes wrong on the way, the
one before stays, and ``error`` says why.
"""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

from steering.endpoint.bundle import store
from steering.endpoint.bundle.client import BundleClient, Fetched
from steering.endpoint.bundle.content import Bundle, parse_bundle
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.errors import BundleError, ServiceUnreachable
from steering.process.logs import logger

log = logger("bundle")


class BundleKeeper:
    """error: why the newest bundle is not in force, or "".  unreachable: why nobody could be asked last, or ""."""

    def __init__(
        self, folder: Path, live: LiveBundle, client: BundleClient, clock: Callable[[], float] = time.time
    ) -> None:
        self._folder = folder
        self._live = live
        self._client = client
        self._clock = clock
        self._digest = ""  # of what is in force
        self._refused = ""  # of what was found bad: not to be fetched again and again
        self._fresh_until = client.fresh_until()
        self._busy = asyncio.Lock()
        self.ca_pem = b""
        self.error = ""
        self.unreachable = ""

    @property
    def revision(self) -> str:
        return self._live.bundle.revision if self._live.bundle else ""

    @property
    def is_stale(self) -> bool:
        """Whether nobody vouches any more that the rules in force are the newest."""
        return self._clock() > self._fresh_until

    def load(self) -> bool:
        """Put in force what is kept on disk; whether there was something.  Blocks for as long as compiling takes."""
        try:
            kept = store.load(self._folder)
            if kept is None:
                return False
            self._enforce(kept, parse_bundle(kept.policy))
        except BundleError as exc:
            self._blame(str(exc))
            return False
        return True

    async def update(self) -> bool:
        """Ask the service; whether another bundle is in force now.  Raises ServiceUnreachable."""
        async with self._busy:
            try:
                found = await asyncio.to_thread(self._fetch)
            except ServiceUnreachable as exc:
                self.unreachable = str(exc)
                raise
            except (BundleError, OSError) as exc:
                self.unreachable = ""
                self._blame(str(exc))
                return False
            except Exception as exc:  # a fault of ours: as harmless as one of the service, and as loud
                log.exception("the policy bundle could not be taken")
                self._blame(f"internal error: {exc!r}")
                return False
            self.unreachable = ""
            self._fresh_until = await asyncio.to_thread(self._client.fresh_until)
            if found is None:
                self.error = "" if not self._refused else self.error
                return False
            fetched, bundle = found
            self._enforce(fetched, bundle)
            log.info("policy in force", revision=bundle.revision)
            await asyncio.to_thread(self._save, fetched)
            return True

    def _fetch(self) -> tuple[Fetched, Bundle] | None:
        """Another bundle than that in force and than the one refused last, compiled.  Raises BundleError, OSError."""
        fetched = self._client.refresh(self._refused or self._digest)
        if fetched is None or fetched.digest == self._digest:
            self._refused = "" if fetched else self._refused
            return None
        try:
            return fetched, parse_bundle(fetched.policy)
        except BundleError:
            self._refused = fetched.digest
            raise

    def _enforce(self, fetched: Fetched, bundle: Bundle) -> None:
        self._digest, self._refused, self.error = fetched.digest, "", ""
        self.ca_pem = fetched.ca_pem
        self._live.swap(bundle)

    def _save(self, fetched: Fetched) -> None:
        try:
            store.save(self._folder, fetched)
        except OSError as exc:
            self._blame(f"the policy is in force, but cannot be kept for the next start: {exc}")

    def _blame(self, error: str) -> None:
        if error != self.error:
            log.error("the policy in force stays", error=error)
        self.error = error
