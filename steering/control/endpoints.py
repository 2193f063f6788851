"""Everything of the service that is there for helpers: their registry, what they are sent, and by whom it is vouched.

The control service's listener for them runs in the parent, the inspector's in the workers; both show certificates of
the device CA, and what is revoked here is told to the workers at once.
"""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

from steering.control.bundles import BundleRepository
from steering.control.config import Config
from steering.control.device_authority import load_device_authority
from steering.control.devices import Devices
from steering.control.endpoint_tls import EndpointTls, context_of, show
from steering.control.endpoint_web import ForHelpers, make_endpoint_app, serving_helpers
from steering.control.enrolment import Attempts, Invitations
from steering.control.errors import StateError
from steering.control.hints import Hints
from steering.control.listening import authority
from steering.control.state import State
from steering.endpoint.bundle.content import CA_TARGET, POLICY_TARGET, write_bundle
from steering.formats.enrolment import EnrolmentToken
from steering.policy import Policy
from steering.policy.hosts import Address
from steering.process.logs import logger

LOOK_S = 60.0
KEEP_SEEN_EVERY = 10  # looks: when devices were last heard goes to disk so often
HEARD_S = 300.0  # a helper that was heard within is there

ENDPOINT_GAUGES = frozenset(("devices", "helpers", "listening"))  # of what is counted: what there is now

# What a laptop would miss; split services need no such listener.
NO_INSPECTOR = (
    "it is good for split services alone: laptops need an inspector that listens for helpers, so set "
    'inspector.endpoint_listen, as "0.0.0.0:3130", or say in inspector.endpoint_advertise where there is one'
)

log = logger("endpoint")


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointPlan:
    """What the configuration says.

    url: what helpers call the control service.  hosts, inspector_hosts: names and addresses that the certificates of
    the two listeners are for.  inspectors: "HOST:PORT" for the bundle.  inspector_addresses: what split DNS answers.
    """

    url: str
    hosts: tuple[str, ...]
    inspector_hosts: tuple[str, ...]
    inspectors: tuple[str, ...]
    inspector_addresses: tuple[Address, ...]
    modes: Mapping[str, str]


def endpoint_plan(config: Config, control: str, inspector: str) -> EndpointPlan:
    """control, inspector: "HOST:PORT" at which they listen for helpers, "" where they do not."""
    section = config.control
    listening, port = _host(control), control.rpartition(":")[2]
    named = urlsplit(section.public_url).hostname or listening
    url = section.endpoint_url or (control and f"https://{authority(named, int(port))}")
    advertised = tuple(config.inspector.endpoint_advertise or filter(None, [inspector]))
    return EndpointPlan(
        url=url,
        hosts=_hosts(urlsplit(url).hostname or "", named, listening),
        inspector_hosts=_hosts(*(_host(text) for text in (*advertised, inspector))),
        inspectors=advertised,
        inspector_addresses=tuple(map(ip_address, config.dns.inspector_addresses)),
        modes=config.endpoint.model_dump(),
    )


def _host(address: str) -> str:
    return address.rpartition(":")[0].strip("[]")


def _hosts(*found: str) -> tuple[str, ...]:
    """Without wildcards and doubles; loopback where nothing is left, so that there is a certificate at all."""
    return tuple(dict.fromkeys(host for host in found if host not in ("", "0.0.0.0", "::"))) or ("127.0.0.1",)  # noqa: S104


@dataclass(frozen=True, slots=True, kw_only=True)
class ToWorkers:
    """How the workers are told: who is revoked, and what the inspector's listener is to show from now on."""

    revoked: Callable[[frozenset[str]], Awaitable[None]]
    tls: Callable[[EndpointTls], Awaitable[None]]


class Endpoints:
    """Construct once the state folder is ours; raises StateError for what in it cannot be used."""

    def __init__(
        self, state: State, plan: EndpointPlan, passphrase: bytes | None, clock: Callable[[], float] = time.time
    ) -> None:
        now = clock()
        self._plan = plan
        self._clock = clock
        self._authority = load_device_authority(state.folder, now, passphrase)
        self._devices = Devices.load(state.devices)
        self._invitations = Invitations.load(state.invitations)
        self._repository = BundleRepository(state.folder, now, passphrase)
        self._hints = Hints()
        self._publishing = asyncio.Lock()
        self._identity = self._authority.issue_server(plan.hosts, now)
        self._inspector_identity = self._authority.issue_server(plan.inspector_hosts, now)
        self._context = context_of(
            EndpointTls(authority_pem=self._authority.pem, identity=self._identity), required=False
        )
        self._counted: dict[str, int] = {}

    # For the service

    @property
    def tls(self) -> EndpointTls:
        """For the inspector's listener."""
        return EndpointTls(authority_pem=self._authority.pem, identity=self._inspector_identity)

    @property
    def revoked(self) -> frozenset[str]:
        return self._devices.revoked

    @property
    def warnings(self) -> list[str]:
        return [self._repository.problem] if self._repository.problem else []

    @contextlib.asynccontextmanager
    async def serving(self, sock: socket.socket) -> AsyncIterator[None]:
        served = ForHelpers(
            authority=self._authority,
            devices=self._devices,
            invitations=self._invitations,
            attempts=Attempts(),
            repository=self._repository,
            hints=self._hints,
            url=self._plan.url,
            clock=self._clock,
            counted=self._counted,
        )
        async with serving_helpers(make_endpoint_app(served), sock, self._context):
            yield
        with contextlib.suppress(StateError):
            await self._devices.keep()

    async def publish(self, policy: Policy, source: bytes, ca_pem: bytes) -> None:
        """Make ``policy`` the bundle.  source: the rules text that it was made of."""
        async with self._publishing:
            changed = await asyncio.to_thread(self._publish, policy, source, ca_pem)
        if changed:
            log.info("policy bundle published", revision=policy.revision)
        self._note_problem()
        if changed or self._hints.revision != policy.revision:
            self._hints.publish(policy.revision)

    def _publish(self, policy: Policy, source: bytes, ca_pem: bytes) -> bool:
        now = self._clock()

        def written(issued_at: float) -> bytes:
            return write_bundle(
                source=source.decode("utf-8"),
                policy=policy,
                issued_at=issued_at,
                inspectors=self._plan.inspectors,
                inspector_addresses=self._plan.inspector_addresses,
                modes=self._plan.modes,
            )

        before = self._repository.content(POLICY_TARGET)
        policy_json = written(_issued_at(before) or now)
        if policy_json != before:  # the same is not issued twice: no helper need fetch it again after a restart
            policy_json = written(now)
        contents = {POLICY_TARGET: policy_json} | ({CA_TARGET: ca_pem} if ca_pem else {})
        return self._repository.publish(contents, now)

    async def serve(self, workers: ToWorkers) -> None:
        """Keep signatures and certificates fresh until cancelled."""
        looks = 0
        while True:
            await asyncio.sleep(LOOK_S)
            looks += 1
            async with self._publishing:
                await asyncio.to_thread(self._repository.refresh, self._clock())
            self._note_problem()
            await self._renew(workers)
            if looks % KEEP_SEEN_EVERY == 0:
                self._devices.prune(self._clock())
                with contextlib.suppress(StateError):
                    await self._devices.keep()

    async def _renew(self, workers: ToWorkers) -> None:
        now = self._clock()
        if now >= self._identity.renew_at:
            self._identity = self._authority.issue_server(self._plan.hosts, now)
            show(self._context, self._identity)
        if now >= self._inspector_identity.renew_at:
            self._inspector_identity = self._authority.issue_server(self._plan.inspector_hosts, now)
            await workers.tls(self.tls)

    def _note_problem(self) -> None:
        if self._repository.problem:
            log.error(self._repository.problem)

    def counters(self) -> dict[str, int]:
        """As those of the points: "endpoint:what"."""
        now = {
            "devices": len(self._devices),
            "helpers": self._devices.heard_since(self._clock() - HEARD_S),
            "listening": len(self._hints),
        }
        return {f"endpoint:{what}": number for what, number in (self._counted | now).items()}

    # For administration

    async def invite(self, group: str, uses: int, hours: float) -> dict[str, Any]:
        """Raises ControlError."""
        secret, made = await self._invitations.add(group, uses, hours, self._clock())
        token = EnrolmentToken(
            url=self._plan.url,
            authority_sha256=self._authority.sha256,
            secret=secret,
            expires_at=made.expires_at,
        )
        return {
            "token": token.text(),
            "id": made.token_id,
            "group": group,
            "uses": uses,
            "expires_at": made.expires_at,
            "note": "" if self._plan.inspectors else NO_INSPECTOR,
        }

    async def withdraw(self, token_id: str) -> None:
        """An enrolment token, by id; who enrolled by it stays.  Raises StateError."""
        await self._invitations.revoke(token_id)

    def listed(self) -> dict[str, Any]:
        return {
            "revision": self._hints.revision,
            "devices": self._devices.listed(),
            "tokens": self._invitations.listed(self._clock()),
        }

    async def revoke(self, which: str, workers: ToWorkers) -> dict[str, int]:
        """Devices and enrolment tokens by id, devices by name too, both by group.

        Refused from now on everywhere, whatever becomes of the file: StateError says so.
        """
        devices = self._devices.revoke(which, self._clock())
        if devices:
            self._hints.cut(devices)
            await workers.revoked(self._devices.revoked)
            log.warning("devices revoked", devices=sorted(devices)[:20], number=len(devices))
            await self._devices.keep()
        return {"devices": len(devices), "tokens": await self._invitations.revoke(which)}

    async def rotate_keys(self) -> None:
        """New keys for bundles, which helpers follow by themselves.  Raises StateError where they cannot be kept."""
        async with self._publishing:
            try:
                await asyncio.to_thread(self._repository.rotate_keys, self._clock())
            except OSError as exc:
                raise StateError(f"the new keys cannot be kept, the old ones stay: {exc}") from exc
        self._hints.publish(self._hints.revision)


def _issued_at(policy_json: bytes) -> float:
    """Of a bundle that was published before; 0 for none."""
    return float(json.loads(policy_json)["issued_at"]) if policy_json else 0.0
