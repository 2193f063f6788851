"""A helper's life in this process: begun, told of, kept, ended.  As a process of its own: tests/wire."""

import asyncio
import gc
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from steering.endpoint import device
from steering.endpoint.bundle.watch import BundleWatch
from steering.endpoint.capture import linux_nft
from steering.endpoint.device import Credential
from steering.endpoint.errors import EndpointError
from steering.endpoint.policy_keeping import fetch_policy
from steering.endpoint.run import SLEPT_S, Helper, Serving, notice_waking
from steering.endpoint.settings import EndpointSettings
from steering.process.notify import Supervising
from tests.control.helpers import helpers_rig
from tests.kit import eventually

SETTINGS = EndpointSettings(listen="127.0.0.1:0", access="off")
# A helper that ends gives up connections that it is just making, which asyncio leaves to the collector; as a process
# of its own it has no more use for them.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@asynccontextmanager
async def serving(
    folder: Path, settings: EndpointSettings = SETTINGS, supervising: Supervising | None = None
) -> AsyncIterator[Serving]:
    """A running helper, stopped with the block."""
    helper = Helper(folder, settings, supervising)
    told: asyncio.Future[Serving] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(helper.run(told.set_result))
    ended = asyncio.create_task(_raise_if_it_ends(running, told))
    try:
        yield await asyncio.wait_for(told, 30)
    finally:
        helper.stop()
        await asyncio.wait_for(running, 30)
        await ended
        gc.collect()  # within this test, not in the next one of another file


async def _raise_if_it_ends(running: "asyncio.Task[None]", told: "asyncio.Future[Serving]") -> None:
    await asyncio.wait([running])
    if not told.done():
        told.set_exception(running.exception() or AssertionError("it ended"))


async def test_it_serves_what_is_kept_with_nobody_there(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        revision = await fetch_policy(tmp_path / "helper", credential)
    async with serving(tmp_path / "helper") as it:
        assert it.bundle is not None and it.bundle.revision == revision
        assert it.credential.device_id == credential.device_id and it.captured == ""
        host, port = it.proxy.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(f"GET /proxy.pac HTTP/1.1\r\nHost: {it.proxy}\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200 ") and f'"PROXY {it.proxy}"'.encode() in answer


async def test_a_first_policy_comes_by_itself_and_the_service_hears_of_it(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.enrolled(tmp_path / "helper")
        async with serving(tmp_path / "helper") as it:
            assert it.bundle is None
            await eventually((tmp_path / "helper/bundle/last-good.json").exists, what="the policy on disk")
            await eventually(lambda: rig.endpoints.listed()["devices"][0]["report"], what="a heartbeat")


async def test_not_enrolled(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="is not enrolled: run 'steering endpoint enrol TOKEN' first"):
        await Helper(tmp_path, SETTINGS).run()


async def test_one_at_a_time_on_a_folder(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.enrolled(tmp_path / "helper")
        async with serving(tmp_path / "helper"):
            with pytest.raises(EndpointError, match="another helper"):
                await Helper(tmp_path / "helper", SETTINGS).run()


async def test_what_the_supervisor_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
        heard.bind(str(tmp_path / "notify"))
        heard.setblocking(False)
        words: list[str] = []

        def hear() -> list[str]:
            while True:
                try:
                    words.append(heard.recv(1000).decode())
                except BlockingIOError:
                    return words

        supervising = Supervising({"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "100000"})
        async with helpers_rig(tmp_path / "service") as rig:
            credential = await rig.enrolled(tmp_path / "helper")
            revision = await fetch_policy(tmp_path / "helper", credential)
            async with serving(tmp_path / "helper", supervising=supervising):
                await eventually(lambda: hear().count("WATCHDOG=1") >= 2, what="signs of life")
                other = await rig.publish([{"name": "x", "domains": ["x.example"]}])
                await eventually(lambda: f"STATUS=enforces policy {other}" in hear(), what="the new policy")
        told = [word for word in hear() if word != "WATCHDOG=1"]
        assert told == [
            f"STATUS=enforces policy {revision}",
            "READY=1",
            f"STATUS=enforces policy {other}",
            "STOPPING=1",
        ]


async def test_capture_is_in_force_before_it_says_that_it_serves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who waits for it to be ready, and then lets the network be used, lets nothing past it."""
    order: list[str] = []

    async def keep(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("os.getuid", lambda: 4242)
    monkeypatch.setattr(linux_nft, "apply", lambda plan, folder: order.append(f"capture, {plan.dead}"))
    monkeypatch.setattr(linux_nft, "keep", keep)
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        await fetch_policy(tmp_path / "helper", credential)
    settings = EndpointSettings(listen="127.0.0.1:0", transparent_listen="127.0.0.1:0", capture=True, access="off")
    helper = Helper(tmp_path / "helper", settings)

    def ready(serving: Serving) -> None:
        order.append("ready")
        assert serving.captured.startswith("127.0.0.1:")
        helper.stop()

    await asyncio.wait_for(helper.run(ready), 30)
    assert order == ["capture, closed", "ready"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signals_end_it(tmp_path: Path, number: signal.Signals) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.enrolled(tmp_path / "helper")
    running = asyncio.create_task(Helper(tmp_path / "helper", SETTINGS).run(lambda _: signal.raise_signal(number)))
    await asyncio.wait_for(running, 30)


async def test_a_part_that_ends_ends_the_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(self: BundleWatch) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(BundleWatch, "serve", fail)
    async with helpers_rig(tmp_path / "service") as rig:
        await rig.enrolled(tmp_path / "helper")
    with pytest.raises(RuntimeError, match="a fault"):
        await asyncio.wait_for(Helper(tmp_path / "helper", SETTINGS).run(), 30)


async def test_a_renewed_certificate_is_shown_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        first = await rig.enrolled(tmp_path / "helper")
        shown = []
        monkeypatch.setattr(Credential, "renew_at", lambda self: 0.0 if self.certificate == first.certificate else 9e9)

        def remember(folder: Path, credential: Credential) -> ssl.SSLContext:
            shown.append(credential.certificate)
            return device.client_context(folder, credential)

        monkeypatch.setattr("steering.endpoint.upkeep.client_context", remember)
        async with serving(tmp_path / "helper"):
            await eventually(lambda: shown, what="a renewed certificate")
        renewed = device.load(tmp_path / "helper").certificate
        assert shown == [renewed] and renewed != first.certificate


async def test_waking_is_noticed() -> None:
    wall, acts = [0.0], []
    noticing = asyncio.create_task(notice_waking(lambda: acts.append(wall[0]), lambda: wall[0], every_s=0.01))
    try:
        # The wall clock stands still, which within seconds is no jump.
        for _ in range(5):
            await asyncio.sleep(0.01)
        assert acts == []
        wall[0] += SLEPT_S + 5
        await eventually(lambda: acts == [SLEPT_S + 5])
    finally:
        noticing.cancel()
        await asyncio.gather(noticing, return_exceptions=True)
