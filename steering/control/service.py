"""The parent process: owns the sockets, the policy in force and the workers; serves PACs; follows the rules file."""

import asyncio
import contextlib
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import watchfiles
from aiohttp import web

from steering.catalog import load_categories
from steering.control.admin import Offers, make_admin, serve_admin
from steering.control.config import Loaded, parse_listen
from steering.control.errors import ConfigError, ControlError, PolicyUnusable
from steering.control.listening import Listener, Role, free_port_pair, listen
from steering.control.logs import logger
from steering.control.metrics import metrics_of
from steering.control.mobileconfig import ca_profile
from steering.control.page import render_page
from steering.control.points import dns_settings, inspector_settings
from steering.control.policystore import Enforced, enforceable, read_source, reserved_settings
from steering.control.privileges import drop
from steering.control.state import State, open_state, write_whole
from steering.control.status import Status
from steering.control.supervisor import Supervisor
from steering.control.tokens import Tokens
from steering.control.web import Served, make_app
from steering.control.worker import Setup
from steering.pac.publish import PacSettings
from steering.policy import Host, PolicyError, ReservedSettings, parse_host
from steering.policy.explain import Given, explain
from steering.policy.hosts import Address
from steering.policy.points import Effect
from steering_dns.upstreams import UpstreamError, refuse_ourselves
from steering_inspector.crl import empty_crl
from steering_inspector.keystore import Keystore, KeystoreError, load_or_create

DRAIN_S = 10.0
CHECK_S = 60.0
SETTLE_MS = 50  # editors write in several steps


class Only:
    """What ``serve --only`` may name."""

    CONTROL, DNS, INSPECTOR = "control", "dns", "inspector"
    ALL = (CONTROL, DNS, INSPECTOR)


@dataclass(slots=True)
class Service:
    """One running service.  only: which parts.  Use ``run``."""

    loaded: Loaded
    only: Sequence[str] = Only.ALL
    _state: State = field(init=False)
    _status: Status = field(init=False, default_factory=Status)
    _enforced: Enforced | None = field(init=False, default=None)
    _keystore: Keystore | None = field(init=False, default=None)
    _listeners: dict[Role, Listener] = field(init=False, default_factory=dict)
    _supervisor: Supervisor | None = field(init=False, default=None)
    _served: Served = field(init=False)
    _pac: PacSettings = field(init=False)
    _reserved: ReservedSettings = field(init=False)
    _reloading: asyncio.Lock = field(init=False, default_factory=asyncio.Lock)
    _stop: asyncio.Event = field(init=False, default_factory=asyncio.Event)
    _tokens: Tokens = field(init=False)

    async def run(self, on_ready: Callable[[Status], None] | None = None) -> None:
        """Serve until SIGTERM or SIGINT.  on_ready: called with the status once everything is served.

        Raises ControlError for what keeps it from starting.
        """
        self._prepare()
        try:
            async with self._serving():
                self._status.pid = os.getpid()
                if on_ready is not None:
                    on_ready(self._status)
                await self._follow()
        finally:
            self._state.socket.unlink(missing_ok=True)
            self._state.unlock()

    # Before anything is served

    def _prepare(self) -> None:
        log = logger("service")
        config = self.loaded.config
        self._state = open_state(self.loaded.state)
        self._state.lock()
        self._state.socket.unlink(missing_ok=True)  # of a service that was killed
        self._bind()
        self._refuse_loops()
        try:
            self._keystore = load_or_create(self._state.folder, time.time(), name=_ca_name(), passphrase=_passphrase())
        except KeystoreError as exc:
            log.error("the certificate authority cannot be used: only bypasses are passed", error=str(exc))
            self._status.warnings.append(str(exc))
        given_up = drop(config.run.user, self._state.folder)
        if given_up:
            log.warning(given_up) if "root" in given_up else log.info(given_up)
        self._tokens = Tokens.load(self._state.tokens)
        self._pac = PacSettings(
            inspectors=tuple(config.inspector.advertise or [self._address(Role.EXPLICIT) or config.inspector.listen]),
            fail_open=config.pac.fail_open,
            templates=self.loaded.path(config.pac.templates) if config.pac.templates else None,
        )
        self._reserved = reserved_settings(config, tuple(self._own_names()))
        self._enforced = self._first_policy()

    def _bind(self) -> None:
        config, workers = self.loaded.config, self._workers()
        wanted: list[tuple[Role, str, int]] = []
        if Only.CONTROL in self.only:
            wanted.append((Role.CONTROL, config.control.listen, 1))
        if Only.INSPECTOR in self.only:
            wanted.append((Role.EXPLICIT, config.inspector.listen, workers))
            wanted.append((Role.TLS, config.inspector.tls_listen, workers))
            wanted.append((Role.HTTP, config.inspector.http_listen, workers))
        if Only.DNS in self.only and config.dns.listen:
            host, port = parse_listen(config.dns.listen)
            port = port or free_port_pair(host)
            both = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            wanted += [(Role.DNS_UDP, both, workers), (Role.DNS_TCP, both, workers)]
        for role, text, number in wanted:
            if text:
                host, port = parse_listen(text)
                self._listeners[role] = listen(role, host, port, number)
        self._status.addresses = {role.value: self._address(role) for role in self._listeners}

    def _workers(self) -> int:
        config = self.loaded.config
        return max(config.inspector.workers, config.dns.workers) or len(os.sched_getaffinity(0))

    def _address(self, role: Role) -> str:
        listener = self._listeners.get(role)
        if listener is None:
            return ""
        return f"[{listener.host}]:{listener.port}" if ":" in listener.host else f"{listener.host}:{listener.port}"

    def _refuse_loops(self) -> None:
        """A resolver that asks itself would go round until it fell over."""
        if Only.DNS not in self.only and Only.INSPECTOR not in self.only:
            return
        config = self.loaded.config
        settings = dns_settings(config, {}, "")
        upstreams = [*settings.upstreams, *(u for zone in settings.zones.values() for u in zone)]
        own = (listener for role, listener in self._listeners.items() if role in (Role.DNS_UDP, Role.DNS_TCP))
        listening = [(ip_address(listener.host), listener.port) for listener in own]
        try:
            refuse_ourselves(upstreams, listening, _own_addresses())
        except UpstreamError as exc:
            hint = "" if config.dns.upstreams else " (from the system's resolv.conf)"
            raise ConfigError(f"dns.upstreams: {exc}{hint}") from exc

    def _own_names(self) -> dict[str, tuple[Address, ...]]:
        """Names by which clients know this service; they are reached directly, never through the inspector."""
        config = self.loaded.config
        names: dict[str, tuple[Address, ...]] = {}
        hosts = [urlsplit(config.control.public_url).hostname or ""]
        hosts += [text.rpartition(":")[0] for text in config.inspector.advertise]
        for text in hosts:
            try:
                host = parse_host(text)
            except PolicyError:
                continue
            if host.is_name:
                names[host.text] = ()
        return names

    def _first_policy(self) -> Enforced:
        log = logger("service")
        try:
            enforced = self._make(read_source(self.loaded.rules), str(self.loaded.rules))
        except PolicyUnusable as exc:
            last = self._state.last_good_rules
            if not last.exists():
                raise
            log.error("the rules file cannot be enforced, the last good rules stay in force", error=str(exc))
            enforced = self._make(last.read_bytes(), str(last))
            self._status.error = str(exc)
        self._note(enforced)
        return enforced

    # What is served

    @contextlib.asynccontextmanager
    async def _serving(self) -> AsyncIterator[None]:
        enforced = self._enforced
        assert enforced is not None
        self._supervisor = Supervisor([self._setup(i) for i in range(self._workers())] if self._points() else [])
        self._served = self._make_served()
        async with contextlib.AsyncExitStack() as stack:
            admin = await serve_admin(make_admin(self._offers()), self._state.socket)
            stack.push_async_callback(admin.cleanup)
            if Role.CONTROL in self._listeners:
                runner = web.AppRunner(make_app(self._served), access_log=None, keepalive_timeout=30)
                await runner.setup()
                stack.push_async_callback(runner.cleanup)
                await web.SockSite(runner, self._listeners[Role.CONTROL].sockets[0]).start()
            try:
                await self._supervisor.start(enforced.policy, self._keystore.authority if self._keystore else None)
            except TimeoutError as exc:
                await self._supervisor.stop(0)
                raise ControlError("the workers did not start within a minute; the messages above say why") from exc
            self._served.pacs = enforced.pacs
            self._save_last_good(enforced)
            try:
                yield
            finally:
                logger("service").info("draining")
                await self._supervisor.stop(DRAIN_S)

    def _points(self) -> bool:
        return any(role is not Role.CONTROL for role in self._listeners)

    def _setup(self, number: int) -> Setup:
        config = self.loaded.config
        own = frozenset((x.host, x.port) for x in self._listeners.values() if x.role is not Role.DNS_UDP)
        access = config.log.access
        return Setup(
            number=number,
            dns=dns_settings(config, self._own_names(), self._loop_token()),
            inspector=inspector_settings(config, own),
            trust=tuple(map(self.loaded.path, config.inspector.trust)),
            crl_url=f"{self._public_url()}/ca.crl",
            descriptors={
                role: (listener.sockets[number].fileno(),)
                for role, listener in self._listeners.items()
                if role is not Role.CONTROL
            },
            log_format=config.log.format,
            access_log=access if access in ("-", "off") else str(self.loaded.path(access)),
        )

    def _loop_token(self) -> str:
        return f"{os.getpid():x}-{id(self):x}"

    def _public_url(self) -> str:
        return (self.loaded.config.control.public_url or f"http://{self._address(Role.CONTROL)}").rstrip("/")

    def _make_served(self) -> Served:
        host = urlsplit(self._public_url()).hostname or ""
        listening = self._listeners[Role.CONTROL].host if Role.CONTROL in self._listeners else "127.0.0.1"
        assert self._supervisor is not None
        return Served(
            status=self._status,
            group_of=self._tokens.group_of,
            metrics=metrics_of(self._counters, self._status),
            page=lambda: render_page(self._refreshed(), self._public_url()),
            files=self._files(),
            hosts=frozenset({host, listening, "localhost"} - {""}),
        )

    def _files(self) -> Mapping[str, tuple[bytes, str, str]]:
        store = self._keystore
        if store is None:
            return {}
        profile = ca_profile(store.der, name=_ca_name(), identifier="steering.ca")
        return {
            "/ca.pem": (store.pem, "application/x-pem-file", "steering-ca.pem"),
            "/ca.crt": (store.der, "application/x-x509-ca-cert", "steering-ca.crt"),
            "/ca.crl": (empty_crl(store.authority, time.time()), "application/pkix-crl", "steering-ca.crl"),
            "/ca.mobileconfig": (profile, "application/x-apple-aspen-config", "steering-ca.mobileconfig"),
        }

    def _counters(self) -> dict[str, int]:
        self._refreshed()
        return self._supervisor.counters() if self._supervisor else {}

    def _refreshed(self) -> Status:
        if self._supervisor is not None:
            self._status.workers = self._supervisor.alive
            self._status.restarts = self._supervisor.restarts
        return self._status

    def _offers(self) -> Offers:
        return Offers(
            status=lambda: self._refreshed().as_json() | {"counters": self._counters()},
            explain=self._explain,
            reload=self._reload_now,
            tokens=self._tokens,
            groups=lambda: list(self._enforced.policy.rule_set.model.groups) if self._enforced else [],
            drain=self._stop.set,
        )

    def _explain(self, question: Mapping[str, str], now: float) -> dict[str, Any]:
        assert self._enforced is not None
        plan = self._enforced.pacs.anonymous.plan

        def returns(host: Host, effect: Effect) -> str:
            return "DIRECT" if effect is Effect.PAC_DIRECT else plan.chains.of(host)

        given = Given(source=question.get("source"), user=question.get("user"), program=question.get("program"))
        at = float(question.get("instant", now))
        return explain(self._enforced.policy, question["target"], given, at=at, pac_returns=returns).as_json()

    # Following the rules file

    async def _follow(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        hangup = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, hangup.set)
        tasks = [
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._on_hangup(hangup)),
            asyncio.create_task(self._keep_time()),
        ]
        await self._stop.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        """Whatever happens in the file's folder: an atomic replace makes a new file under the same name."""
        rules = self.loaded.rules
        seen = read_source(rules) if rules.exists() else b""
        async for changes in watchfiles.awatch(rules.parent, step=SETTLE_MS, recursive=False, debounce=400):
            if any(Path(path) == rules for _, path in changes):
                with contextlib.suppress(PolicyUnusable):
                    if (found := read_source(rules)) == seen:
                        continue
                    seen = found
                await self._reload_now()

    async def _on_hangup(self, hangup: asyncio.Event) -> None:
        while True:
            await hangup.wait()
            hangup.clear()
            await self._reload_now()

    async def _keep_time(self) -> None:
        """Plan the PACs anew when a time condition begins or ends; renew the CRL; look at the CA."""
        while True:
            assert self._enforced is not None
            now = time.time()
            change = self._enforced.policy.next_change(now)
            self._status.next_change = change
            await asyncio.sleep(min(CHECK_S, max(change - now, 0) + 0.01) if change else CHECK_S)
            if change and time.time() >= change:
                await self._reload_now()
            self._served.files = self._files()
            if self._keystore:
                for warning in self._keystore.warnings(time.time()):
                    if warning not in self._status.warnings:
                        self._status.warnings.append(warning)
                        logger("service").warning(warning)

    async def _reload_now(self) -> dict[str, Any]:
        """Read, make, and put in force; or keep what is in force and say why.  What the status then is."""
        async with self._reloading:
            log = logger("service")
            began = time.monotonic()
            try:
                source = await asyncio.to_thread(read_source, self.loaded.rules)
                enforced = await asyncio.to_thread(self._make, source, str(self.loaded.rules))
                assert self._supervisor is not None
                await self._supervisor.publish(enforced.policy)
            except (PolicyUnusable, TimeoutError) as exc:
                self._status.state = "degraded"
                self._status.error = str(exc) or "a worker did not take the policy in time"
                log.error("the old rules stay in force", error=self._status.error)
                return self._status.as_json()
            self._enforced = enforced
            self._served.pacs = enforced.pacs
            self._status.error = None
            self._note(enforced)
            self._status.reloads += 1
            self._status.last_reload_ms = round((time.monotonic() - began) * 1000, 1)
            self._save_last_good(enforced)
            log.info("policy in force", revision=self._status.revision, took_ms=self._status.last_reload_ms)
            return self._status.as_json()

    def _make(self, source: bytes, shown: str) -> Enforced:
        return enforceable(
            source,
            shown=shown,
            categories=load_categories(),
            reserved=self._reserved,
            pac=self._pac,
            at=time.time(),
        )

    def _note(self, enforced: Enforced) -> None:
        status, policy = self._status, enforced.policy
        status.state = "degraded" if status.error else "ok"
        status.rules_file = str(self.loaded.rules)
        status.revision = policy.revision
        status.rules = len(policy.rules)
        status.names = sum(len(rule.domains) for rule in policy.rules)
        status.since = time.time()
        status.next_change = policy.next_change(time.time())
        status.pac_variants = enforced.pacs.variants

    def _save_last_good(self, enforced: Enforced) -> None:
        try:
            write_whole(self._state.last_good_rules, enforced.source)
        except OSError as exc:
            logger("service").error("the last good rules cannot be kept", error=str(exc))


def _ca_name() -> str:
    return "Steering inspection CA"


def _passphrase() -> bytes | None:
    """From the environment alone: a file beside the key would protect nothing."""
    text = os.environ.get("STEERING_CA_PASSPHRASE", "")
    return text.encode() if text else None


def _own_addresses() -> list[Address]:
    found = []
    with contextlib.suppress(OSError):
        for *_, address in socket.getaddrinfo(socket.gethostname(), None):
            found.append(ip_address(str(address[0]).partition("%")[0]))
    return found
