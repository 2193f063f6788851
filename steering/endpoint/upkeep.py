"""What keeps a serving helper up to date: the link to its service, the watch for policies, heartbeats, certificates.

Begun, and imported, when connections are taken already: nobody needs to be reached for that, and the HTTP client alone
takes longer to load than everything that serves.
"""

from collections.abc import Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from steering.endpoint.bundle.watch import BundleWatch
from steering.endpoint.device import Credential, client_context
from steering.endpoint.enrol import keep_renewed
from steering.endpoint.errors import EndpointError
from steering.endpoint.heartbeat import Heartbeat
from steering.endpoint.parts import Parts
from steering.endpoint.reporting import Reporting
from steering.endpoint.service_link import ServiceLink
from steering.endpoint.settings import EndpointSettings
from steering.process.logs import logger

log = logger("endpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class Upkeep:
    folder: Path
    credential: Credential
    parts: Parts
    link: ServiceLink
    watch: BundleWatch
    heartbeat: Heartbeat
    reporting: Reporting

    def works(self) -> list[Coroutine[object, None, object]]:
        """What goes on for as long as the helper runs."""
        return [
            self.watch.serve(),
            self.heartbeat.serve(),
            self.reporting.keep_looking(),
            keep_renewed(self.folder, self.credential, self.link, self._renewed),
        ]

    def _renewed(self, credential: Credential) -> None:
        """Show the new certificate from the next connections on."""
        parts = self.parts
        try:
            parts.shown.context = client_context(self.folder, credential)
        except EndpointError as exc:
            log.error("the renewed certificate cannot be used", error=str(exc))
            return
        self.link.replace_context(parts.shown.context)
        parts.links.replace_context(parts.shown.context)


def begin_upkeep(
    folder: Path, settings: EndpointSettings, credential: Credential, parts: Parts, stack: AsyncExitStack
) -> Upkeep:
    link = ServiceLink(credential.service_url, parts.shown.context, parts.mark)
    stack.push_async_callback(link.close)
    reporting = Reporting(
        folder=folder,
        settings=settings,
        keeper=parts.keeper,
        identifier=parts.identifier,
        counters=parts.counters,
        problems=parts.problems,
    )
    return Upkeep(
        folder=folder,
        credential=credential,
        parts=parts,
        link=link,
        watch=BundleWatch(parts.keeper.update, link.events, poll_s=settings.poll_s),
        heartbeat=Heartbeat(link, reporting.report),
        reporting=reporting,
    )
