"""The parent process: owns the sockets and the workers, serves PACs and the CA, and puts rules in force."""

import asyncio
import contextlib
import os
import secrets
import signal
import time
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from steering.catalog import load_categories
from steering.control.activation import given_sockets
from steering.control.admin import Offers, make_admin, serve_admin
from steering.control.binding import Only, bind, reachable, resolving_at, wanted
from steering.control.cafiles import CA_PEM, files_of, load_ca, passphrase, warnings_of
from steering.control.config import Loaded
from steering.control.dns_tls import SECURE, DnsCertificate, discovery_of, hosts_of
from steering.control.endpoint_admin import endpoint_routes
from steering.control.endpoints import Endpoints, ToWorkers, endpoint_plan
from steering.control.errors import ConfigError, ControlError
from steering.control.joining import follow_plan
from steering.control.listening import OF_PARENT, Listener, Role
from steering.control.machine import own_addresses
from steering.control.metrics import metrics_of
from steering.control.pac_front import serving_pacs
from steering.control.pacmaking import PacMaking
from steering.control.page import render_page
from steering.control.points import check_trust, dns_settings, inspector_settings
from steering.control.policystore import (
    Enforced,
    enforceable,
    enforceable_policy,
    opened_networks,
    own_names,
    reserved_settings,
)
from steering.control.privileges import drop
from steering.control.reloading import Reloading
from steering.control.shared_ca import LOOK_S as LOOK_AT_SHARED_CA_S
from steering.control.shared_ca import SharedCa
from steering.control.state import State, open_state
from steering.control.status import Status
from steering.control.supervisor import START_S, Supervisor
from steering.control.token_file import keep_token
from steering.control.tokens import Tokens
from steering.control.web import Served, make_app
from steering.control.worker import ORPHAN_DRAIN_S, Setup
from steering.endpoint.bundle.content import Bundle
from steering.pac.publish import PacSet, PacSettings, chains_of
from steering.policy import Host, Policy, ReservedSettings
from steering.policy.explain import Given, explain
from steering.policy.points import Effect
from steering.process.logs import logger
from steering.process.notify import READY, STOPPING, Supervising
from steering_dns.settings import Discovery
from steering_dns.upstreams import UpstreamError, refuse_ourselves
from steering_inspector.keystore import Keystore

if TYPE_CHECKING:
    from steering.control.following import Following

__all__ = ["Only", "Service"]

DRAIN_S = 10.0
LOOK_AT_CA_S = 60.0
_SOMEWHERE = "inspector.invalid:3128"  # in a PAC that is planned, and served to nobody
_AFTER_A_CRASH_S = ORPHAN_DRAIN_S + 6.0


@dataclass(slots=True)
class Service:
    """One running service.  only: which parts.  Use ``run``."""

    loaded: Loaded
    only: Collection[str] = Only.ALL
    _state: State = field(init=False)
    _status: Status = field(init=False, default_factory=Status)
    _keystore: Keystore | None = field(init=False, default=None)
    _ca_missed: str = field(init=False, default="")
    _dns_missed: str = field(init=False, default="")
    _dns_certificate: DnsCertificate | None = field(init=False, default=None)
    _listeners: dict[Role, Listener] = field(init=False, default_factory=dict)
    _supervisor: Supervisor = field(init=False)
    _reloading: "Reloading | Following" = field(init=False)
    _following: "Following | None" = field(init=False, default=None)
    _shared_ca: SharedCa | None = field(init=False, default=None)
    _pac_making: PacMaking = field(init=False)
    _served: Served = field(init=False)
    _pac: PacSettings = field(init=False)
    _reserved: ReservedSettings = field(init=False)
    _tokens: Tokens = field(init=False)
    _endpoints: Endpoints | None = field(init=False, default=None)
    _stop: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _supervising: Supervising = field(init=False, default_factory=Supervising)
    _hangup: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _word: str = field(init=False, default_factory=lambda: secrets.token_hex(8))

    async def run(self, on_ready: Callable[[Status], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT.  on_ready: called with the status once everything is served.

        Raises ControlError for what keeps it from starting.
        """
        self._heed_signals()
        self._state = open_state(self.loaded.state)
        self._state.lock()
        try:
            if not await self._has_joined():
                return
            self._prepare()
            async with self._serving():
                if on_ready is not None:
                    on_ready(self._status)
                self._supervising.tell(READY, f"STATUS=enforces policy {self._status.revision}")
                await self._until_stopped()
                self._supervising.tell(STOPPING)
        finally:
            for listener in self._listeners.values():
                listener.close()
            self._state.socket.unlink(missing_ok=True)
            self._state.unlock()

    def _heed_signals(self) -> None:
        """From the first moment: a reload asked for while we start is one to be made, not a reason to end."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        loop.add_signal_handler(signal.SIGHUP, self._hangup.set)

    # Before anything is served

    async def _has_joined(self) -> bool:
        """Wait for the first policy where another service is followed; False where we are stopped before.

        Nothing listens until then: who connects is to be refused, and goes elsewhere, not kept waiting.
        """
        plan = follow_plan(self.loaded, self.only)
        if plan is None:
            return True
        from steering.control.following import Following  # late: a helper's whole client, for those who need it

        following = Following(plan, self._status, self._make_of, self._publish, self._counters)
        begun, stopped = asyncio.ensure_future(following.begin()), asyncio.ensure_future(self._stop.wait())
        done, rest = await asyncio.wait([begun, stopped], return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        if begun not in done:
            return False
        begun.result()
        self._following = following
        return True

    def _prepare(self) -> None:
        config = self.loaded.config
        crashed = self._state.socket.exists()  # of a service that was killed
        self._state.socket.unlink(missing_ok=True)
        self._listeners = bind(
            wanted(config, self.only), self._workers(), _AFTER_A_CRASH_S if crashed else 0.0, given_sockets()
        )
        self._status.addresses = {role.value: listener.address for role, listener in self._listeners.items()}
        self._status.parts = list(self.only)
        self._status.pid = os.getpid()
        if self._has_points():
            self._refuse_loops()
            check_trust([self.loaded.path(file) for file in config.inspector.trust])
        self._load_ca()
        self._dns_certificate = self._for_secure_dns()
        self._give_up_root()
        self._tokens = Tokens.load(self._state.tokens)
        self._pac = self._pac_settings()
        self._reserved = reserved_settings(config)
        self._endpoints = self._for_helpers()
        self._supervisor = Supervisor([self._setup(i) for i in range(self._workers())] if self._has_points() else [])
        self._pac_making = PacMaking(self._pac)
        if self._following is None:
            self._reloading = self._reloading_of_file()
        else:
            self._following.first()
            self._reloading = self._following
        self._served = self._make_served()

    def _reloading_of_file(self) -> Reloading:
        return Reloading(
            self.loaded.rules,
            self._state,
            self._status,
            first=lambda source, shown: self._make(source, shown, self._pac),
            make=self._make,
            publish=self._publish,
            follow=self._follow,
        )

    def _load_ca(self) -> None:
        """Ours, made where there is none; or that of the service that is followed, where an inspector needs it."""
        if self._following is None:
            self._keystore, self._ca_missed = load_ca(self._state.folder)
        elif Only.INSPECTOR in self.only:
            following = self._following
            self._shared_ca = SharedCa(self.loaded.shared_ca, lambda: following.ca_pem)
            self._keystore = self._shared_ca.keystore

    def _for_secure_dns(self) -> DnsCertificate | None:
        """None where the resolver listens for neither TLS nor HTTPS.  Raises ConfigError for files that cannot be used.

        Without a CA these two are not served; everything else is.
        """
        serving = [role for role in SECURE if role in self._listeners]
        if not serving:
            return None
        section = self.loaded.config.dns
        if self._keystore is None and not (section.certificate or section.key):
            for role in serving:
                self._listeners.pop(role).close()
                self._status.addresses.pop(role.value)
            self._dns_missed = "DNS over TLS and HTTPS are not served: they need the CA, or dns.certificate and dns.key"
            logger("dns").error(self._dns_missed)
            return None
        url = self._public_url()
        found = DnsCertificate(
            self.loaded,
            hosts_of(section.server_names, self._listeners),
            lambda: self._keystore.authority if self._keystore else None,
            f"{url}/ca.crl" if url else "",
        )
        found.renew(time.time())
        return found

    async def _renew_dns_certificate(self) -> None:
        renewed = self._dns_certificate.renew(time.time()) if self._dns_certificate else None
        if renewed is not None:
            logger("dns").info("the certificate of DNS over TLS and HTTPS was renewed")
            await self._supervisor.replace_dns_identity(renewed)

    def _workers(self) -> int:
        config = self.loaded.config
        return max(config.inspector.workers, config.dns.workers) or len(os.sched_getaffinity(0))

    def _address(self, role: Role) -> str:
        return reachable(self._listeners, role)

    def _has_points(self) -> bool:
        return any(role not in OF_PARENT for role in self._listeners)

    def _for_helpers(self) -> Endpoints | None:
        """None where no listener for helpers is configured."""
        if not self._listeners.keys() & {Role.ENDPOINT_CONTROL, Role.ENDPOINT}:
            return None
        plan = endpoint_plan(self.loaded.config, self._address(Role.ENDPOINT_CONTROL), self._address(Role.ENDPOINT))
        return Endpoints(self._state, plan, passphrase())

    def _refuse_loops(self) -> None:
        """A resolver that asks itself would go round until it fell over."""
        config = self.loaded.config
        settings = dns_settings(config, {}, "")
        upstreams = [*settings.upstreams, *(u for zone in settings.zones.values() for u in zone)]
        try:
            refuse_ourselves(upstreams, resolving_at(self._listeners), own_addresses())
        except UpstreamError as exc:
            hint = "" if config.dns.upstreams else " (from the system's resolv.conf)"
            raise ConfigError(f"dns.upstreams: {exc}{hint}") from exc

    def _give_up_root(self) -> None:
        done = drop(self.loaded.config.run.user, self._state.owned())
        if done:
            log = logger("service")
            log.warning(done) if "root" in done else log.info(done)

    def _pac_settings(self) -> PacSettings:
        config = self.loaded.config
        templates = self.loaded.path(config.pac.templates) if config.pac.templates else None
        if templates is not None and not templates.is_dir():
            raise ConfigError(f"pac.templates: there is no folder {templates}")
        return PacSettings(
            inspectors=tuple(config.inspector.advertise or [self._inspector()]),
            fail_open=config.pac.fail_open,
            templates=templates,
        )

    def _inspector(self) -> str:
        """Where nothing is advertised: where ours listens.  Raises ConfigError where a PAC would name no inspector."""
        listen = self._address(Role.EXPLICIT) or self.loaded.config.inspector.listen
        if not listen.endswith(":0"):
            return listen
        if Role.CONTROL in self._listeners:
            raise ConfigError(
                f"inspector.listen is {listen}, and the inspector that would take a free port is not run here: say in "
                'inspector.advertise where there is one, as ["proxy.example:3128"]'
            )
        return _SOMEWHERE

    def _setup(self, number: int) -> Setup:
        config = self.loaded.config
        own = frozenset((x.host, x.port) for role, x in self._listeners.items() if role is not Role.DNS_UDP)
        local = frozenset(map(str, own_addresses()))
        access = config.log.access
        url = self._public_url()
        return Setup(
            number=number,
            dns=dns_settings(config, dict.fromkeys(own_names(config), ()), self._word, self._discovery()),
            inspector=inspector_settings(config, own, local, self._word),
            trust=tuple(map(self.loaded.path, config.inspector.trust)),
            crl_url=f"{url}/ca.crl" if url else "",
            descriptors={
                role: tuple(sock.fileno() for sock in listener.of_worker(number, self._workers()))
                for role, listener in self._listeners.items()
                if role not in OF_PARENT
            },
            log_format=config.log.format,
            access_log=access if access in ("-", "off") else str(self.loaded.path(access)),
        )

    def _discovery(self) -> Discovery | None:
        shown = self._dns_certificate
        return None if shown is None else discovery_of(shown.certificate, self._listeners)

    def _public_url(self) -> str:
        """What clients call the control service, without a final slash; "" where none is known."""
        address = self._address(Role.CONTROL)
        return (self.loaded.config.control.public_url or (address and f"http://{address}")).rstrip("/")

    # What is served

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            workers, groups = self._to_workers(), self._groups
            helpers = endpoint_routes(self._endpoints, workers, groups)
            admin = await serve_admin(make_admin(self._offers(), helpers), self._state.socket)
            stack.push_async_callback(admin.cleanup)
            if Role.CONTROL in self._listeners:
                runner = web.AppRunner(make_app(self._served), access_log=None, keepalive_timeout=30)
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                assert runner.server is not None, "it is set up"
                sock = self._listeners[Role.CONTROL].sockets[0]
                await stack.enter_async_context(serving_pacs(self._served, runner.server, sock))
            stack.push_async_callback(self._drain)
            if self._endpoints is not None:
                await workers.tls(self._endpoints.tls)
                await workers.revoked(self._endpoints.revoked)
            if self._dns_certificate is not None and self._dns_certificate.identity is not None:
                await self._supervisor.replace_dns_identity(self._dns_certificate.identity)
            try:
                authority = self._keystore.authority if self._keystore else None
                await self._supervisor.start(self._reloading.enforced.policy, authority)
            except TimeoutError as exc:
                text = f"the workers did not start within {START_S:.0f} s; the messages above say why"
                raise ControlError(text) from exc
            self._served.pacs = self._reloading.enforced.pacs
            stack.push_async_callback(self._pac_making.close)
            if self._following is None:
                await self._pac_making.warm()
            await self._publish_bundle(self._reloading.enforced)
            if self._endpoints is not None and Role.ENDPOINT_CONTROL in self._listeners:
                sock = self._listeners[Role.ENDPOINT_CONTROL].sockets[0]
                await stack.enter_async_context(self._endpoints.serving(sock))
            self._status.state = "degraded" if self._status.error else "ok"
            self._reloading.save()
            self._log_serving()
            yield

    def _log_serving(self) -> None:
        """For people the banner lists the addresses; machines are told here."""
        status = self._status
        addresses = {"addresses": status.addresses} if self.loaded.config.log.format == "json" else {}
        logger("service").info("serving", revision=status.revision, rules=status.rules_in_words, **addresses)

    async def _drain(self) -> None:
        """Our own copies of the sockets go first: what comes now is refused at once, and not kept waiting in vain."""
        logger("service").info("draining")
        for role, listener in self._listeners.items():
            if role not in OF_PARENT:
                listener.close()
        await self._supervisor.stop(DRAIN_S)

    async def _until_stopped(self) -> None:
        """Raises what a task raised that should have gone on: better to end than to serve rules that nobody follows."""
        works: list[Coroutine[Any, Any, Any]] = [
            self._reloading.serve(),
            self._on_hangup(),
            self._look_at_ca(),
            self._supervising.keep_telling(lambda: self._supervisor.serving),
        ]
        if self._endpoints is not None:
            works.append(self._endpoints.serve(self._to_workers()))
            if self.loaded.config.control.token_file:
                works.append(keep_token(self.loaded.path(self.loaded.config.control.token_file), self._endpoints))
        tasks = [asyncio.create_task(work) for work in (self._stop.wait(), *works)]
        done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        for task in done:
            task.result()

    async def _on_hangup(self) -> None:
        while True:
            await self._hangup.wait()
            self._hangup.clear()
            await self._reload()

    async def _look_at_ca(self) -> None:
        """Warn in time, keep the revocation list fresh, and take up a shared CA that has changed."""
        while True:
            if self._shared_ca is not None and self._shared_ca.look():
                self._keystore = self._shared_ca.keystore
                await self._supervisor.replace_authority(self._keystore.authority if self._keystore else None)
            found = self._warnings()
            for warning in found:
                if warning not in self._status.warnings and warning != self._ca_missed:
                    logger("ca").warning(warning)
            self._status.warnings = found
            await asyncio.sleep(LOOK_AT_CA_S if self._following is None else LOOK_AT_SHARED_CA_S)
            await self._offer_ca()
            await self._renew_dns_certificate()

    async def _offer_ca(self) -> None:
        """What clients are to trust may have changed on disk: after a rotation that is more than what is in use."""
        before, self._served.files = self._served.files, files_of(self._keystore, time.time())
        if before.get(CA_PEM) != self._served.files.get(CA_PEM):
            logger("ca").info("clients are offered another set of CA certificates")
            await self._publish_bundle(self._reloading.enforced)

    def _warnings(self) -> list[str]:
        found = [self._dns_missed] if self._dns_missed else []
        found += self._endpoints.warnings if self._endpoints else []
        if self._following is None:
            return warnings_of(self._keystore, self._ca_missed, time.time()) + found
        found = self._following.warnings + found
        if self._shared_ca is None:
            return found
        if self._shared_ca.problem:
            found.insert(0, self._shared_ca.problem)
        return found + (self._keystore.warnings(time.time()) if self._keystore else [])

    def _make_served(self) -> Served:
        host = urlsplit(self._public_url()).hostname or ""
        listening = self._listeners[Role.CONTROL].host if Role.CONTROL in self._listeners else ""
        return Served(
            status=self._status,
            group_of=self._tokens.group_of,
            metrics=metrics_of(self._counters, self._status),
            page=lambda: render_page(self._refreshed(), self._public_url()),
            files=files_of(self._keystore, time.time()),
            hosts=frozenset({host, listening, "localhost"} - {""}),
        )

    def _counters(self) -> dict[str, int]:
        self._refreshed()
        return self._supervisor.counters() | (self._endpoints.counters() if self._endpoints else {})

    def _to_workers(self) -> ToWorkers:
        return ToWorkers(revoked=self._supervisor.replace_revoked, tls=self._supervisor.replace_endpoint_tls)

    def _groups(self) -> list[str]:
        return list(self._reloading.enforced.policy.rule_set.model.groups)

    def _refreshed(self) -> Status:
        self._status.workers = self._supervisor.alive
        self._status.restarts = self._supervisor.restarts
        return self._status

    def _is_ready(self) -> bool:
        """As /readyz, whichever parts run: degraded is ready, or a bad file would end every replica."""
        return self._status.state != "starting" and (self._supervisor.alive > 0 or not self._has_points())

    def _offers(self) -> Offers:
        return Offers(
            status=lambda: self._refreshed().as_json() | {"is_ready": self._is_ready(), "counters": self._counters()},
            explain=self._explain,
            reload=self._reload,
            tokens=self._tokens,
            groups=self._groups,
        )

    async def _reload(self) -> dict[str, Any]:
        await self._offer_ca()
        await self._reloading.reload()
        return self._refreshed().as_json()

    def _explain(self, question: Mapping[str, str], now: float) -> dict[str, Any]:
        enforced = self._reloading.enforced
        chains = chains_of(self._pac)

        def returns(host: Host, effect: Effect) -> str:
            return "DIRECT" if effect is Effect.PAC_DIRECT else chains.of(host)

        given = Given(source=question.get("source"), user=question.get("user"), program=question.get("program"))
        at = float(question.get("instant", now))
        allow = opened_networks(self.loaded.config)
        found = explain(
            enforced.policy, question["target"], given, at=at, pac_returns=returns, allow_destinations=allow
        )
        return found.as_json()

    # From rules to what is in force

    def _make(self, source: bytes, shown: str, pac: PacSettings | None = None) -> Enforced:
        return enforceable(
            source,
            shown=shown,
            categories=load_categories(),
            reserved=self._reserved,
            pac=pac,
            at=time.time(),
        )

    def _make_of(self, bundle: Bundle) -> Enforced:
        shown = self.loaded.config.follow.url
        pac = self._pac if Role.CONTROL in self._listeners else None
        return enforceable_policy(bundle.policy, b"", shown=shown, pac=pac, at=time.time())

    async def _publish(self, enforced: Enforced) -> None:
        await self._supervisor.publish(enforced.policy)
        if enforced.pacs is not None:  # else they follow
            self._served.pacs = enforced.pacs
        self._supervising.tell_status(f"enforces policy {enforced.policy.revision}")
        await self._publish_bundle(enforced)

    async def _follow(self, policy: Policy) -> PacSet:
        self._served.pacs = pacs = await self._pac_making.make(policy, time.time())
        return pacs

    async def _publish_bundle(self, enforced: Enforced) -> None:
        """Helpers come last: what they send through the inspector must be met there by rules no older than theirs."""
        if self._endpoints is not None:
            await self._endpoints.publish(
                enforced.policy, enforced.source, self._keystore.bundle(time.time()) if self._keystore else b""
            )
