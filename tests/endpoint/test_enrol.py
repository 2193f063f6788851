"""Enrolment proves the service before it tells the secret, and leaves a whole credential or none."""

import asyncio
import platform
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization

from steering.control.device_authority import DeviceAuthority, load_device_authority
from steering.control.endpoint_tls import EndpointTls, context_of
from steering.endpoint import device
from steering.endpoint.device import Credential
from steering.endpoint.enrol import enrol, keep_renewed
from steering.endpoint.errors import EndpointError
from steering.formats.enrolment import EnrolmentToken, parse_token
from tests.control.helpers import HelpersRig, helpers_rig, link_of
from tests.kit import eventually, free_port

SECRET = "the secret"


async def test_a_token_makes_a_device(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await enrol(await rig.token("sales"), tmp_path / "helper")
        (row,) = rig.endpoints.listed()["devices"]
        assert (
            (row["device_id"], row["group"]) == (credential.device_id, "sales") == (row["device_id"], credential.group)
        )
        assert (row["name"], row["system"]) == (platform.node(), f"{platform.system()} {platform.release()}")
        loaded = device.load(tmp_path / "helper")
        assert loaded.certificate == credential.certificate and loaded.service_url == rig.url
        assert (tmp_path / "helper/bundle/root.json").read_bytes() == (
            tmp_path / "service/bundle/metadata/1.root.json"
        ).read_bytes()
        assert all(path.stat().st_mode & 0o077 == 0 for path in (tmp_path / "helper").rglob("*"))
        async with link_of(tmp_path / "helper") as link:
            assert await link.post("/heartbeat", {})


async def test_enrolling_again_keeps_nothing_of_before(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "1") as first, helpers_rig(tmp_path / "2") as second:
        before = await first.enrolled(tmp_path / "helper")
        (tmp_path / "helper/bundle/last-good.json").write_text("of the service before")
        (tmp_path / "helper/endpoint.toml").write_text("of the user")
        after = await second.enrolled(tmp_path / "helper")
        assert before.device_id != after.device_id == device.load(tmp_path / "helper").device_id
        assert [path.name for path in (tmp_path / "helper/bundle").iterdir()] == ["root.json"]
        assert (tmp_path / "helper/endpoint.toml").exists()


async def test_a_spent_token_leaves_what_was(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        token = await rig.token()
        first = await enrol(token, tmp_path / "helper")
        with pytest.raises(EndpointError, match="used up"):
            await enrol(token, tmp_path / "helper")
        assert device.load(tmp_path / "helper").device_id == first.device_id
        with pytest.raises(EndpointError, match="used up"):
            await enrol(token, tmp_path / "new")
        assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("text", ["", "st1.", "st1.AAAA", "http://steering.example", "st1." + "x" * 5000])
async def test_what_is_no_token(tmp_path: Path, text: str) -> None:
    with pytest.raises(EndpointError, match="enrolment token"):
        await enrol(text, tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_an_expired_token_is_not_even_sent(tmp_path: Path) -> None:
    token = EnrolmentToken(
        url=f"https://127.0.0.1:{free_port()}", authority_sha256="0" * 64, secret=SECRET, expires_at=time.time() - 1
    )
    with pytest.raises(EndpointError, match="has expired"):
        await enrol(token.text(), tmp_path)


async def test_nobody_there(tmp_path: Path) -> None:
    token = EnrolmentToken(
        url=f"https://127.0.0.1:{free_port()}", authority_sha256="0" * 64, secret=SECRET, expires_at=time.time() + 60
    )
    with pytest.raises(EndpointError, match="cannot be reached"):
        await enrol(token.text(), tmp_path)


# Somebody on the way


@asynccontextmanager
async def impostor(
    folder: Path, authority: DeviceAuthority, shown: bytes, names: tuple[str, ...] = ("127.0.0.1",)
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Answers for the service.  shown: the CA that it hands out.  Its URL, and every body that it was sent."""
    identity = authority.issue_server(names, time.time())
    bodies: list[bytes] = []

    async def anything(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(body=shown if request.path == "/authority" else b"{}")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", anything)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = context_of(EndpointTls(authority_pem=authority.pem, identity=identity), required=False)
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
    try:
        yield f"https://127.0.0.1:{runner.addresses[0][1]}", bodies
    finally:
        await runner.cleanup()


def authority_in(folder: Path) -> DeviceAuthority:
    folder.mkdir(parents=True)
    return load_device_authority(folder, time.time())


def token_for(url: str, authority: DeviceAuthority) -> str:
    made = EnrolmentToken(url=url, authority_sha256=authority.sha256, secret=SECRET, expires_at=time.time() + 60)
    assert parse_token(made.text()).secret == SECRET
    return made.text()


async def test_another_ca_is_refused_before_the_secret_is_sent(tmp_path: Path) -> None:
    real, evil = authority_in(tmp_path / "real"), authority_in(tmp_path / "evil")
    async with impostor(tmp_path, evil, evil.pem) as (url, bodies):
        with pytest.raises(EndpointError, match="nothing was sent"):
            await enrol(token_for(url, real), tmp_path / "helper")
        assert bodies == [b""]


async def test_the_right_ca_shown_by_somebody_without_its_key(tmp_path: Path) -> None:
    """The CA is no secret: whoever relays it must still prove a certificate of it."""
    real, evil = authority_in(tmp_path / "real"), authority_in(tmp_path / "evil")
    async with impostor(tmp_path, evil, real.pem) as (url, bodies):
        with pytest.raises(EndpointError, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
            await enrol(token_for(url, real), tmp_path / "helper")
        assert bodies == [b""]


async def test_a_certificate_of_the_ca_for_another_name(tmp_path: Path) -> None:
    real = authority_in(tmp_path / "real")
    async with impostor(tmp_path, real, real.pem, ("proxy.example",)) as (url, bodies):
        with pytest.raises(EndpointError, match=r"[Ii][Pp] address mismatch|certificate verify failed"):
            await enrol(token_for(url, real), tmp_path / "helper")
        assert bodies == [b""]


async def test_a_service_that_answers_with_nothing_of_use(tmp_path: Path) -> None:
    real = authority_in(tmp_path / "real")
    async with impostor(tmp_path, real, real.pem) as (url, bodies):
        with pytest.raises(EndpointError, match="no answer of a Steering service"):
            await enrol(token_for(url, real), tmp_path / "helper")
        assert SECRET.encode() in bodies[1]
    for shown in (b"", b"<html>", real.pem[:100]):
        async with impostor(tmp_path, real, shown) as (url, bodies):
            with pytest.raises(EndpointError, match="something on the way answers"):
                await enrol(token_for(url, real), tmp_path / "helper")
            assert bodies == [b""]
    assert not (tmp_path / "helper").exists()


# Renewal


async def renewing(rig: HelpersRig, folder: Path, clock: list[float]) -> list[Credential]:
    """What renewals made while the clock went by two thirds of a certificate's life."""
    made: list[Credential] = []
    credential = device.load(folder)
    async with link_of(folder) as link:
        task = asyncio.create_task(
            keep_renewed(folder, credential, link, made.append, clock=lambda: clock[0], look_s=0.01)
        )
        clock[0] = credential.renew_at() - 1
        await asyncio.sleep(0.05)
        assert made == []
        clock[0] = credential.renew_at()
        await eventually(lambda: made, what="it is renewed")
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    return made


async def test_it_is_renewed_at_two_thirds_and_only_once(tmp_path: Path) -> None:
    clock = [time.time()]
    async with helpers_rig(tmp_path / "service", clock=lambda: clock[0]) as rig:
        before = await rig.enrolled(tmp_path / "helper", "sales")
        (made,) = await renewing(rig, tmp_path / "helper", clock)
        assert (made.device_id, made.group, made.key.private_numbers()) == (
            before.device_id,
            "sales",
            before.key.private_numbers(),
        )
        assert made.certificate.subject == before.certificate.subject
        assert made.renew_at() > before.renew_at()
        assert device.load(tmp_path / "helper").certificate == made.certificate


async def test_a_renewal_that_is_refused_is_tried_again(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        await rig.endpoints.revoke(credential.device_id, rig.workers)
        asked = rig.endpoints.counters
        async with link_of(tmp_path / "helper") as link:
            late = credential.renew_at() + 1
            task = asyncio.create_task(
                keep_renewed(tmp_path / "helper", credential, link, lambda _: None, clock=lambda: late, look_s=0.01)
            )
            await eventually(lambda: asked().get("endpoint:refused:403", 0) > 2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        kept = device.load(tmp_path / "helper")
        assert kept.certificate == credential.certificate
        assert replace(kept, key=credential.key) == credential
        assert credential.certificate.public_bytes(serialization.Encoding.DER)
