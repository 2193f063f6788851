"""What a helper needs to serve, put together in the order in which it is begun; the stack ends it in reverse.

The policy that is kept on disk is in force before the first connection is taken.  What keeps it up to date comes
after that (``upkeep``).
"""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from steering.endpoint.bundle.fetch import ServiceFetcher
from steering.endpoint.bundle.keeper import BundleKeeper
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.capture.rules import OWN_MARK
from steering.endpoint.capturing import Capturing, let_go
from steering.endpoint.device import Credential, client_context
from steering.endpoint.errors import EndpointError
from steering.endpoint.identify import open_identifier
from steering.endpoint.listening import Listening, bind
from steering.endpoint.marking import allowed
from steering.endpoint.policy_keeping import keeper_of
from steering.endpoint.proxy.dial import SystemResolver
from steering.endpoint.proxy.inspector import InspectorLinks
from steering.endpoint.proxy.service import EndpointProxy
from steering.endpoint.proxy.works import Attester, Works
from steering.endpoint.settings import EndpointSettings
from steering.endpoint.this_system import own_system
from steering.endpoint.trial import TriedIdentifier
from steering.process.accesslog import AccessLog, as_json, as_text
from steering.process.logs import logger

log = logger("endpoint")


@dataclass(slots=True)
class Shown:
    """The certificate that peers are shown; renewed, it is another one."""

    context: ssl.SSLContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """capturing: None without capture.  mark: of what the helper dials, 0 for none."""

    live: LiveBundle
    listening: Listening
    shown: Shown
    keeper: BundleKeeper
    identifier: TriedIdentifier
    links: InspectorLinks
    proxy: EndpointProxy
    sink: AccessLog
    capturing: Capturing | None
    mark: int = 0

    def counters(self) -> dict[str, int]:
        return {**self.proxy.counters(), "log:dropped": self.sink.dropped}

    def problems(self) -> list[str]:
        """What keeps it from doing all of its work now."""
        found = [self.links.error, self.capturing.error if self.capturing else ""]
        return [problem for problem in found if problem]


async def begin(folder: Path, settings: EndpointSettings, credential: Credential, stack: AsyncExitStack) -> Parts:
    """Everything but serving.  Raises EndpointError; what was begun is in ``stack``."""
    listening = bind(settings)
    stack.callback(listening.close)
    live, shown = LiveBundle(), Shown(client_context(folder, credential))
    mark = allowed(OWN_MARK) if settings.capture else 0
    settings = replace(settings, limits=replace(settings.limits, mark=mark))
    fetcher = ServiceFetcher(lambda: shown.context, mark, keeps=True)
    stack.callback(fetcher.close)
    keeper = keeper_of(folder, credential, live, fetcher)
    keeper.load()
    sink = AccessLog(settings.access, as_json if settings.log_format == "json" else as_text)
    stack.callback(sink.close)
    identifier = await _identifier(stack)
    works = _works(settings, credential, live, identifier, shown, sink, stack)
    proxy = EndpointProxy(works)
    stack.push_async_callback(proxy.close)
    capturing = await stack.enter_async_context(_capturing(folder, settings, listening))
    return Parts(
        live=live,
        listening=listening,
        shown=shown,
        keeper=keeper,
        identifier=identifier,
        links=works.links,
        proxy=proxy,
        sink=sink,
        capturing=capturing,
        mark=mark,
    )


async def _identifier(stack: AsyncExitStack) -> TriedIdentifier:
    identifier = TriedIdentifier(open_identifier(), own_system())
    stack.callback(identifier.close)
    identifier.watch()
    await identifier.try_now()
    return identifier


def _works(
    settings: EndpointSettings,
    credential: Credential,
    live: LiveBundle,
    identifier: TriedIdentifier,
    shown: Shown,
    sink: AccessLog,
    stack: AsyncExitStack,
) -> Works:
    loop, resolver = asyncio.get_running_loop(), SystemResolver()
    stack.callback(resolver.close)
    return Works(
        live=live,
        identifier=identifier,
        links=InspectorLinks(shown.context, settings.limits, resolver, loop),
        attester=Attester(device_id=credential.device_id, group=credential.group, key=credential.key),
        sink=sink,
        loop=loop,
        resolve=resolver,
        limits=settings.limits,
    )


@asynccontextmanager
async def _capturing(folder: Path, settings: EndpointSettings, listening: Listening) -> AsyncIterator[Capturing | None]:
    """Without capture, none is to be left from an older run with it."""
    if not settings.capture:
        try:
            if await asyncio.to_thread(let_go, folder):
                log.info("what an older run captured is let go")
        except EndpointError as exc:
            log.error("what an older run captured cannot be let go", error=str(exc))
        yield None
        return
    capturing = Capturing(folder, listening.captured_port, log.warning, mark=settings.limits.mark)
    try:
        yield capturing
    finally:
        await capturing.end()
