"""A whole service and its devices: what is enforced reaches them, and who is revoked is shut out everywhere at once."""

import asyncio
import os
import signal
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from steering.control.cafiles import NAME
from steering.control.listening import Role
from steering.endpoint import device
from steering.endpoint.bundle.client import BundleClient
from steering.endpoint.bundle.fetch import ServiceFetcher
from steering.endpoint.bundle.keeper import BundleKeeper
from steering.endpoint.bundle.live import LiveBundle
from steering.endpoint.bundle.watch import BundleWatch
from steering.endpoint.device import Credential, client_context
from steering.endpoint.enrol import enrol
from steering.endpoint.service_link import ServiceLink
from steering_inspector.keystore import rotate
from tests.kit import eventually, free_port
from tests.service import LiveService, Settings, over, service_in

HELPERS: Settings = {
    "control": {"listen": "127.0.0.1:0", "endpoint_listen": "127.0.0.1:0"},
    "inspector": {"endpoint_listen": "127.0.0.1:0"},
    "endpoint": {"unknown_process": "block"},
}
RULES = [{"name": "pinned", "domains": ["pinned.example"]}]
GREETING = b"OPTIONS * HTTP/1.1\r\nHost: steering\r\n\r\n"


@asynccontextmanager
async def running(folder: Path, settings: Settings = HELPERS) -> AsyncIterator[LiveService]:
    service = service_in(folder, RULES, settings)
    try:
        await asyncio.to_thread(service.start)
        yield service
    finally:
        await asyncio.to_thread(service.stop)


async def enrolled(service: LiveService, folder: Path) -> Credential:
    made = await asyncio.to_thread(service.ask, "POST", "/endpoints/token", {})
    return await enrol(made["token"], folder)


@asynccontextmanager
async def greeted(service: LiveService, folder: Path) -> AsyncIterator[tuple[asyncio.StreamReader, bytes]]:
    """A device's connection to the inspector, and its answer to the greeting; b"" where it does not listen to it."""
    context = client_context(folder, device.load(folder))
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port(Role.ENDPOINT), ssl=context)
    try:
        writer.write(GREETING)
        try:
            said = await reader.readuntil(b"\r\n\r\n")
        except (OSError, asyncio.IncompleteReadError):
            said = b""
        yield reader, said
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def is_listened_to(service: LiveService, folder: Path) -> bool:
    async with greeted(service, folder) as (_, said):
        return said.startswith(b"HTTP/1.1 200 ")


class Helper:
    """As much of a helper as keeps its policy."""

    def __init__(self, folder: Path, credential: Credential) -> None:
        context = client_context(folder, credential)
        client = BundleClient(folder / "bundle", credential.service_url, ServiceFetcher(lambda: context))
        self.live = LiveBundle()
        self.keeper = BundleKeeper(folder / "bundle", self.live, client)
        self.link = ServiceLink(credential.service_url, context)
        self._watch = BundleWatch(self.keeper.update, self.link.events, poll_s=3600, hint_jitter_s=0.1)
        self._task = asyncio.create_task(self._watch.serve())

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.link.close()


async def test_what_is_enforced_reaches_the_device_and_is_enforced_without_the_service(tmp_path: Path) -> None:
    folder = tmp_path / "helper"
    async with running(tmp_path / "service") as service:
        credential = await enrolled(service, folder)
        helper = Helper(folder, credential)
        revision = service.ready()[1]["revision"]
        await eventually(lambda: helper.keeper.revision == revision, what="the first policy is in force")
        bundle = helper.live.bundle
        assert bundle is not None
        assert bundle.inspectors == (service.addresses[Role.ENDPOINT.value],)
        assert bundle.modes.unknown_process == "block"
        assert helper.keeper.ca_pem == service.ca.read_bytes()
        status = await asyncio.to_thread(service.enforce, [*RULES, {"name": "more", "domains": ["more.example"]}])
        await eventually(lambda: helper.keeper.revision == status["revision"], what="the change is in force")
        await helper.close()
        metrics = service.get("/metrics")[2].decode()
        assert 'steering_current{point="endpoint",what="devices"} 1.0' in metrics
    again = Helper(folder, device.load(folder))
    assert again.keeper.load() and again.keeper.revision == status["revision"]
    await again.close()


async def test_a_revoked_device_is_shut_out_at_once_and_for_good(tmp_path: Path) -> None:
    ports = over(
        HELPERS,
        {
            "control": {"endpoint_listen": f"127.0.0.1:{free_port()}"},
            "inspector": {"endpoint_listen": f"127.0.0.1:{free_port()}", "workers": 2},
        },
    )
    bad, good = tmp_path / "bad", tmp_path / "good"
    async with running(tmp_path / "service", ports) as service:
        revoked = await enrolled(service, bad)
        await enrolled(service, good)
        async with greeted(service, bad) as (reader, said):
            assert said.startswith(b"HTTP/1.1 200 ") and b"Steering-Nonce: " in said
            assert f"Steering-Revision: {service.ready()[1]['revision']}".encode() in said
            answer = await asyncio.to_thread(service.ask, "POST", "/endpoints/revoke", {"which": revoked.device_id})
            assert answer == {"devices": 1, "tokens": 0}
            async with asyncio.timeout(10):
                with suppress(OSError):
                    await reader.read()
        assert not await is_listened_to(service, bad)
        worker = service.workers()[0]
        os.kill(worker, signal.SIGKILL)
        await eventually(lambda: worker not in service.workers(), 30)
        await eventually(lambda: _is_whole(service), 30, "its successor is there")
        for _ in range(4):
            assert not await is_listened_to(service, bad)
            assert await is_listened_to(service, good)
    async with running(tmp_path / "service", ports) as service:
        assert not await is_listened_to(service, bad)
        assert await is_listened_to(service, good)


async def _is_whole(service: LiveService) -> bool:
    return bool((await asyncio.to_thread(service.status))["workers"] == 2)


async def test_a_registry_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    service = service_in(tmp_path, RULES, HELPERS)
    service.state.mkdir()
    (service.state / "devices.json").write_text("{")
    try:
        service.launch()
        assert await asyncio.to_thread(service.wait) == 1
        assert "devices.json cannot be read" in service.log()
    finally:
        service.kill()


async def test_a_rotation_of_the_ca_reaches_clients_and_helpers_before_it_is_in_force(tmp_path: Path) -> None:
    async with running(tmp_path / "service") as service:
        old = service.ca.read_bytes()
        helper = Helper(tmp_path / "helper", await enrolled(service, tmp_path / "helper"))
        try:
            await eventually(lambda: helper.keeper.ca_pem == old, what="the CA")
            await asyncio.to_thread(rotate, service.state, time.time(), name=NAME)
            both = old + service.ca.read_bytes()
            assert both != old + old
            await asyncio.to_thread(service.reload)
            assert await asyncio.to_thread(lambda: service.get("/ca.pem")[2]) == both
            assert await asyncio.to_thread(lambda: service.get("/ca.crt")[2]) == ssl.PEM_cert_to_DER_cert(old.decode())
            await eventually(lambda: helper.keeper.ca_pem == both, what="both")
        finally:
            await helper.close()
