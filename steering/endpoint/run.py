"""The helper's life: begun, watched, ended.

Nobody needs to be reached for it to serve.  A part that should have gone on and has ended ends the helper: whoever
started it starts it again, and better that than rules that nobody follows.
"""

import asyncio
import gc
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from steering.endpoint import device
from steering.endpoint.bundle.content import Bundle
from steering.endpoint.device import Credential
from steering.endpoint.identify.wanted import wanted_of
from steering.endpoint.lock import locked
from steering.endpoint.parts import Parts, begin
from steering.endpoint.settings import EndpointSettings
from steering.endpoint.this_system import own_system
from steering.endpoint.trial import Trial
from steering.process.logs import logger
from steering.process.notify import READY, STOPPING, Supervising

WAKING_LOOK_S, SLEPT_S = 5.0, 20.0

log = logger("endpoint")
Work = Coroutine[object, None, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What is said once it serves.  bundle: None where no policy was ever fetched.  captured: "" without capture."""

    credential: Credential
    bundle: Bundle | None
    proxy: str
    captured: str
    trial: Trial
    notes: tuple[str, ...]


class Helper:
    """One running helper.  Construct within an event loop, and ``run`` once."""

    def __init__(self, folder: Path, settings: EndpointSettings, supervising: Supervising | None = None) -> None:
        self._folder = folder
        self._settings = settings
        self._supervising = supervising or Supervising()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[object]] = set()
        self._look_again: Callable[[], None] = lambda: None  # for a newer policy

    async def run(self, on_ready: Callable[[Serving], None] | None = None) -> None:
        """Serve until SIGTERM, Ctrl-C or ``stop``.  Raises EndpointError for what keeps it from starting."""
        credential = device.load(self._folder)
        with locked(self._folder):
            async with AsyncExitStack() as stack:
                parts = await begin(self._folder, self._settings, credential, stack)
                self._follow(parts)
                parts.proxy.start(parts.listening.explicit, parts.listening.captured)
                await asyncio.gather(*self._tasks)  # with capture in force, before the network may be used
                self._heed_signals(parts)
                serving = serving_of(credential, parts)
                _say(serving)
                if on_ready is not None:
                    on_ready(serving)
                self._supervising.tell(READY)
                await self._until_stopped(await self._upkeep(credential, parts, stack))
                self._supervising.tell(STOPPING)
                log.info("stopping")

    def stop(self) -> None:
        self._stop.set()

    # Begin

    def _follow(self, parts: Parts) -> None:
        """What depends on the policy besides the proxy, now and with each new one."""

        def follow(bundle: Bundle) -> None:
            parts.identifier.wants = wanted_of(bundle.policy, own_system())
            self._supervising.tell_status(f"enforces policy {bundle.revision}")
            if parts.capturing is not None:
                self._start(parts.capturing.follow(bundle))

        parts.live.subscribe(follow)
        if parts.live.bundle is not None:
            follow(parts.live.bundle)

    def _start(self, work: Work) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _heed_signals(self, parts: Parts) -> None:
        loop = asyncio.get_running_loop()

        def refresh() -> None:
            self._elsewhere(parts)
            self._start(parts.identifier.try_now())

        for name, act in (("SIGTERM", self.stop), ("SIGINT", self.stop), ("SIGHUP", refresh)):
            number = getattr(signal, name, None)
            if number is not None:
                with suppress(NotImplementedError, RuntimeError):  # Windows: Ctrl-C ends us as it ends everybody
                    loop.add_signal_handler(number, act)

    # Meanwhile

    async def _upkeep(self, credential: Credential, parts: Parts, stack: AsyncExitStack) -> list[Work]:
        # Late, and beside the loop: it serves before this is loaded, and while it is.
        await asyncio.to_thread(import_module, "steering.endpoint.upkeep")
        from steering.endpoint.upkeep import begin_upkeep

        upkeep = begin_upkeep(self._folder, self._settings, credential, parts, stack)
        self._look_again = upkeep.watch.look
        gc.collect()
        gc.freeze()  # what is loaded now stays: the collector need not walk it again
        return [
            *upkeep.works(),
            parts.identifier.try_again(lambda trial: log.info("programs are identified now", self_test=trial.words)),
            self._supervising.keep_telling(),
            notice_waking(lambda: self._elsewhere(parts)),
        ]

    async def _until_stopped(self, works: list[Work]) -> None:
        """Raises what a part raised that should have gone on."""
        stopping = asyncio.ensure_future(self._stop.wait())
        lasting = [asyncio.ensure_future(work) for work in works]
        done, _ = await asyncio.wait([stopping, *lasting], return_when=asyncio.FIRST_COMPLETED)
        started = [stopping, *lasting, *self._tasks]
        for task in started:
            task.cancel()
        await asyncio.gather(*started, return_exceptions=True)
        for ended in done:
            ended.result()

    def _elsewhere(self, parts: Parts) -> None:
        """Everything that was true of the network may be so no longer."""
        self._look_again()
        parts.links.drop()


async def notice_waking(
    act: Callable[[], None], wall: Callable[[], float] = time.time, every_s: float = WAKING_LOOK_S
) -> None:
    """A computer that slept, or whose clock was set, may have missed a hint, and is elsewhere perhaps."""
    loop = asyncio.get_running_loop()
    while True:
        before = wall() - loop.time()
        await asyncio.sleep(every_s)
        if abs(wall() - loop.time() - before) > SLEPT_S:
            act()


def serving_of(credential: Credential, parts: Parts) -> Serving:
    captured = parts.listening.captured
    return Serving(
        credential=credential,
        bundle=parts.live.bundle,
        proxy=parts.listening.address,
        captured=f"127.0.0.1:{parts.listening.captured_port}" if captured else "",
        trial=parts.identifier.trial,
        notes=parts.identifier.notes,
    )


def _say(serving: Serving) -> None:
    log.info(
        "serving",
        device=serving.credential.device_id,
        service=serving.credential.service_url,
        revision=serving.bundle.revision if serving.bundle else "",
        proxy=serving.proxy,
        captured=serving.captured,
        self_test=serving.trial.words,
    )
    if serving.bundle is None:
        log.warning("no policy was ever fetched: everything is refused until one is")
    if not serving.trial.passed:
        log.error("programs cannot be identified: rules that name one bypass nothing", self_test=serving.trial.words)
    for note in serving.notes:
        log.info("identification", note=note)
