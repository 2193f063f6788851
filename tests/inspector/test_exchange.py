"""One request and its answer: bodies and their framing both ways, lies, truncations, and dead connections."""

import asyncio
import ssl

import pytest

from tests.inspector.clients import running


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/chunked", 200, b"hello\n"),
        ("/some-1xx", 103, b""),
        ("/not-modified", 304, b""),
        ("/bare-lf", 200, b"hello"),
        ("/until-close", 200, b"until the end"),
    ],
)
async def test_framing_of_origins_is_kept_or_made_anew(path: str, status: int, body: bytes) -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        got = await wire.get("www.example", path)
        assert (got[0], got[2]) == (status, body)
        await wire.close()


@pytest.mark.parametrize(
    "path", ["/many-1xx", "/endless-head", "/both", "/gzip-chunked", "/length-space", "/unasked", "/reset"]
)
async def test_a_lying_origin_is_a_502(path: str) -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        status, _, body = await wire.get("www.example", path)
        while status < 200:
            status, _, body = await wire.answer()
        assert status == 502 and b"The site's answer makes no sense" in body.replace(b"&#39;", b"'")
        assert await wire.at_end() == b""
        await wire.close()
        (line,) = await rig.settled()
        assert (line.reason, line.status) == ("origin-protocol", 502)


@pytest.mark.parametrize("path", ["/short", "/bad-chunk"])
async def test_a_truncated_body_reaches_the_client_as_truncated(path: str) -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError, ssl.SSLError)):
            await wire.get("www.example", path)
        await wire.close()
        (line,) = await rig.settled()
        assert line.reason in ("origin-truncated", "origin-protocol")


async def test_surplus_bytes_never_answer_the_next_request() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        assert (await wire.get("www.example", "/surplus"))[2] == b"hello\n"
        assert (await wire.get("www.example", "/hello"))[2] == b"hello\n"
        assert rig.origin.connections == 2
        await wire.close()


async def test_bodies_go_up_chunked_with_trailers_and_after_100_continue() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(b"POST /echo HTTP/1.1\r\nHost: www.example\r\nTransfer-Encoding: chunked\r\n")
        await wire.send(b"Expect: 100-continue\r\n\r\n")
        assert (await wire.answer())[0] == 100
        for byte in b"5;a=b\r\nhello\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n":
            await wire.send(bytes((byte,)))
        status, head, body = await wire.answer()
        assert (status, body) == (200, b"hello")
        assert b"X-Trailers: X-Sum: 1\r\n" in head
        assert (await wire.get("www.example", "/hello"))[0] == 200
        await wire.close()


async def test_an_early_response_is_delivered_and_ends_the_connection() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(b"POST /early HTTP/1.1\r\nHost: www.example\r\nContent-Length: 1000000\r\n\r\nabc")
        status, head, body = await wire.answer()
        assert (status, body) == (413, b"big\n") and b"Connection: close" in head
        await wire.close()
