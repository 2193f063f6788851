"""The control service's side of helpers in this process: over real TLS, with devices that have enrolled."""

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from steering.control.endpoint_tls import EndpointTls
from steering.control.endpoints import EndpointPlan, Endpoints, ToWorkers
from steering.control.listening import Role, listen
from steering.control.policystore import Enforced
from steering.control.state import State, open_state
from steering.endpoint import device
from steering.endpoint.device import Credential, client_context, trusting
from steering.endpoint.enrol import enrol
from steering.endpoint.service_link import ServiceLink
from steering.formats.enrolment import EnrolmentToken, parse_token
from tests.control.rigs import enforced_of
from tests.service import RULES

CA_PEM = b"-----BEGIN CERTIFICATE-----\nthe inspection CA\n-----END CERTIFICATE-----\n"
MODES = {"inspector_unreachable": "closed", "helper_dead": "closed", "unknown_process": "inspect"}


def plan_of(url: str) -> EndpointPlan:
    return EndpointPlan(
        url=url,
        hosts=("127.0.0.1", "localhost"),
        inspector_hosts=("proxy.example",),
        inspectors=("proxy.example:3130",),
        inspector_addresses=(),
        modes=MODES,
    )


@dataclass(kw_only=True)
class HelpersRig:
    """told: what the workers were sent."""

    endpoints: Endpoints
    state: State
    url: str
    told: list[frozenset[str] | EndpointTls] = field(default_factory=list)

    @property
    def workers(self) -> ToWorkers:
        async def take(what: frozenset[str] | EndpointTls) -> None:
            self.told.append(what)

        return ToWorkers(revoked=take, tls=take)

    async def publish(self, rules: Sequence[Any] | Enforced = RULES, ca_pem: bytes = CA_PEM) -> str:
        """Make rules the bundle; their revision."""
        enforced = rules if isinstance(rules, Enforced) else enforced_of(rules)
        await self.endpoints.publish(enforced.policy, enforced.source, ca_pem)
        return enforced.policy.revision

    async def token(self, group: str = "", uses: int = 1, hours: float = 1.0) -> str:
        return str((await self.endpoints.invite(group, uses, hours))["token"])

    async def parsed_token(self, **how: Any) -> EnrolmentToken:
        return parse_token(await self.token(**how))

    async def enrolled(self, folder: Path, group: str = "") -> Credential:
        return await enrol(await self.token(group), folder, "laptop", "Linux")

    def authority_pem(self) -> str:
        return self.endpoints.tls.authority_pem.decode("ascii")


@asynccontextmanager
async def helpers_rig(
    folder: Path, *, port: int = 0, clock: Callable[[], float] = time.time
) -> AsyncIterator[HelpersRig]:
    """A running service for helpers with its state in ``folder``, and a first bundle published."""
    state = open_state(folder)
    listener = listen(Role.ENDPOINT_CONTROL, "127.0.0.1", port, 1)
    url = f"https://{listener.address}"
    endpoints = Endpoints(state, plan_of(url), None, clock)
    rig = HelpersRig(endpoints=endpoints, state=state, url=url)
    await rig.publish()
    async with endpoints.serving(listener.sockets[0]):
        yield rig


@asynccontextmanager
async def link_of(folder: Path) -> AsyncIterator[ServiceLink]:
    """As the device whose credential is in ``folder``."""
    credential = device.load(folder)
    async with opened(credential.service_url, client_context(folder, credential)) as link:
        yield link


@asynccontextmanager
async def anonymous_link(rig: HelpersRig) -> AsyncIterator[ServiceLink]:
    """As somebody who knows the device CA and has no certificate."""
    async with opened(rig.url, trusting(rig.authority_pem())) as link:
        yield link


@asynccontextmanager
async def opened(url: str, context: ssl.SSLContext) -> AsyncIterator[ServiceLink]:
    link = ServiceLink(url, context)
    try:
        yield link
    finally:
        await link.close()
        await asyncio.sleep(0)


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())
