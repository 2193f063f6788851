"""Questions to the control service: answered, refused or not reached, and each says which."""

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from steering.control.device_authority import load_device_authority
from steering.control.endpoint_tls import EndpointTls, context_of
from steering.endpoint.device import trusting
from steering.endpoint.errors import ServiceRefused, ServiceUnreachable
from steering.endpoint.service_link import MAX_ANSWER_BYTES, MAX_SAID, ServiceLink
from tests.kit import free_port


@asynccontextmanager
async def service(folder: Path, *routes: web.RouteDef) -> AsyncIterator[ServiceLink]:
    """A link to a service with these routes."""
    authority = load_device_authority(folder, time.time())
    identity = authority.issue_server(["127.0.0.1"], time.time())
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    context = context_of(EndpointTls(authority_pem=authority.pem, identity=identity), required=False)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    link = ServiceLink(f"https://127.0.0.1:{runner.addresses[0][1]}", trusting(authority.pem.decode()))
    try:
        yield link
    finally:
        await link.close()
        await runner.cleanup()


def answers(path: str, body: str | bytes, status: int = 200) -> web.RouteDef:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(body=body, status=status)

    return web.route("*", path, handler)


async def test_answers(tmp_path: Path) -> None:
    async with service(tmp_path, answers("/a", b"\x00bytes"), answers("/b", '{"x": 1}')) as link:
        assert await link.get("/a") == b"\x00bytes"
        assert await link.post("/b", {}) == {"x": 1}


@pytest.mark.parametrize(
    ("body", "revoked", "unknown"),
    [
        ('{"error": "no"}', False, False),
        ('{"error": "no", "revoked": true}', True, False),
        ('{"error": "no", "unknown": true}', False, True),
    ],
)
async def test_refusals(tmp_path: Path, body: str, revoked: bool, unknown: bool) -> None:
    async with service(tmp_path, answers("/a", body, 403)) as link:
        with pytest.raises(ServiceRefused, match=r"^no$") as caught:
            await link.post("/a", {})
        assert (caught.value.status, caught.value.revoked, caught.value.unknown) == (403, revoked, unknown)


async def test_what_it_says_steers_no_terminal(tmp_path: Path) -> None:
    """At enrolment whoever stands on the way says it."""
    body = json.dumps({"error": "\x1b]0;x\x07\nno " + "x" * 5000})
    async with service(tmp_path, answers("/a", body, 403)) as link:
        with pytest.raises(ServiceRefused) as caught:
            await link.get("/a")
    said = str(caught.value)
    assert said.startswith(r"\x1b]0;x\x07\nno xxx") and said.isprintable() and len(said) == MAX_SAID


@pytest.mark.parametrize(
    ("body", "status"),
    [
        *(("<html>", 200), ("[1]", 200), ("", 200), ("<html>", 403), ("[]", 500), ('{"x": 1}', 404), ("", 302)),
        *(("[" * 200_000, 200), ("[" * 200_000, 403)),  # deeper than json goes
    ],
)
async def test_who_answers_like_none_of_ours_is_not_the_service(tmp_path: Path, body: str, status: int) -> None:
    async with service(tmp_path, answers("/a", body, status)) as link:
        with pytest.raises(ServiceUnreachable):
            await link.post("/a", {})


@pytest.mark.parametrize("spare", [0, 1])
async def test_an_answer_without_end(tmp_path: Path, spare: int) -> None:
    async with service(tmp_path, answers("/a", b"x" * (MAX_ANSWER_BYTES + spare))) as link:
        if spare:
            with pytest.raises(ServiceUnreachable, match="without end"):
                await link.get("/a")
        else:
            assert len(await link.get("/a")) == MAX_ANSWER_BYTES


async def test_nobody_there_and_somebody_else(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    other = load_device_authority(tmp_path / "other", time.time())
    async with service(tmp_path, answers("/a", "{}")) as link:
        link.replace_context(trusting(other.pem.decode()))
        with pytest.raises(ServiceUnreachable, match="certificate"):
            await link.get("/a")
        url = link.url
    gone = ServiceLink(url, trusting(other.pem.decode()))
    with pytest.raises(ServiceUnreachable, match="cannot be reached"):
        await gone.get("/a")
    with pytest.raises(ServiceUnreachable, match="cannot be reached"):
        await anext(gone.events())
    await gone.close()


def events(*pieces: bytes) -> web.RouteDef:
    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for piece in pieces:
            await response.write(piece)
            await asyncio.sleep(0)
        return response

    return web.get("/events", handler)


# Pieces of a stream -> the data in it.
STREAMS: list[tuple[tuple[bytes, ...], list[str]]] = [
    ((b"event: revision\ndata: r1\n\n",), ["r1"]),
    ((b": alive\n\n", b"data: r1\r\n\r\n", b"data:r2\n\n"), ["r1", "r2"]),
    (tuple(bytes([byte]) for byte in b"event: revision\ndata: {}\n\n"), ["{}"]),
    ((b"data: cut",), ["cut"]),
    ((b"datax: no\n\nid: 3\n\n",), []),
    ((b"data: \xff\n\n",), ["\ufffd"]),
]


@pytest.mark.parametrize(("pieces", "data"), STREAMS)
async def test_streams_of_events(tmp_path: Path, pieces: tuple[bytes, ...], data: list[str]) -> None:
    async with service(tmp_path, events(*pieces)) as link, aclosing(link.events()) as found:
        assert [event async for event in found] == data


async def test_a_line_without_end_in_a_stream(tmp_path: Path) -> None:
    async with service(tmp_path, events(b"data: " + b"x" * 100_000)) as link:
        with pytest.raises(ServiceUnreachable):
            async for _ in link.events():
                pass


async def test_a_refused_stream(tmp_path: Path) -> None:
    async with service(tmp_path, answers("/events", '{"error": "revoked", "revoked": true}', 403)) as link:
        with pytest.raises(ServiceRefused) as caught:
            await anext(link.events())
        assert caught.value.revoked


async def test_that_nobody_is_there_is_said_in_words_for_people() -> None:
    url = f"https://127.0.0.1:{free_port()}"
    link = ServiceLink(url, ssl.create_default_context())
    try:
        with pytest.raises(ServiceUnreachable) as caught:
            await link.get("/authority")
    finally:
        await link.close()
    assert str(caught.value) == f"{url} cannot be reached: Connection refused"


async def test_questions_take_one_connection(tmp_path: Path) -> None:
    peers: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        assert request.transport is not None
        peers.append(request.transport.get_extra_info("peername"))
        return web.Response(body=b"{}")

    async with service(tmp_path, web.post("/heartbeat", handler)) as link:
        for _ in range(3):
            await link.post("/heartbeat", {})
        assert peers[:1] * 3 == peers
