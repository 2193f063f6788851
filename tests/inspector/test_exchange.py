"""One request and its answer: bodies and their framing both ways, lies, truncations, and dead connections."""

import asyncio
import ssl
import sys
from types import FrameType

import pytest

from steering_inspector.settings import Limits
from tests.inspector.clients import running, until
from tests.inspector.origin import REPLIES, Head, Reply, TestCa, fixed


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


async def test_head_gets_no_body_and_the_connection_goes_on() -> None:
    async with running() as rig:
        rig.origin.replies["/chunked-head"] = fixed(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", close=False
        )
        wire = await rig.open("www.example")
        for path, line in (("/hello", b"Content-Length: 6\r\n"), ("/chunked-head", b"HTTP/1.1 200 OK\r\n")):
            status, head, _ = await wire.get("www.example", path, method="HEAD")
            assert status == 200 and line in head
        assert (await wire.get("www.example", "/hello"))[2] == b"hello\n"
        await wire.close()
        assert rig.origin.connections == 1


@pytest.mark.parametrize(
    ("path", "body"), [("/chunked", b"hello\n"), ("/some-1xx", b"hinted\n"), ("/hello", b"hello\n")]
)
async def test_a_client_of_http_1_0_gets_neither_chunks_nor_hints(path: str, body: bytes) -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(f"GET {path} HTTP/1.0\r\nHost: www.example\r\n\r\n".encode())
        head, _, got = (await wire.at_end()).partition(b"\r\n\r\n")
        assert (head.startswith(b"HTTP/1.1 200 OK\r\n"), got) == (True, body)
        assert b"Transfer-Encoding" not in head and b"Connection: close" in head
        await wire.close()


def second_request_kills() -> Reply:
    """Answers the first request of a connection and closes it on the second, as if it had timed out just then."""
    seen: set[asyncio.StreamWriter] = set()

    async def reply(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
        if writer in seen:
            return True
        seen.add(writer)
        return await REPLIES["/echo"](head, reader, writer)

    return reply


@pytest.mark.parametrize(
    ("method", "body", "status", "connections"), [("GET", b"", 200, 2), ("PUT", b"a", 502, 1), ("POST", b"", 502, 1)]
)
async def test_what_may_be_repeated_is_when_a_kept_connection_was_dead(
    method: str, body: bytes, status: int, connections: int
) -> None:
    async with running() as rig:
        rig.origin.replies["/dying"] = second_request_kills()
        wire = await rig.open("www.example")
        assert (await wire.get("www.example", "/dying"))[0] == 200
        await wire.send(
            f"{method} /dying HTTP/1.1\r\nHost: www.example\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
        )
        assert (await wire.answer())[0] == status
        await wire.close()
        assert rig.origin.connections == connections


async def test_a_repeated_request_is_repeated_once() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        assert (await wire.get("www.example", "/hello"))[0] == 200
        assert (await wire.get("www.example", "/reset"))[0] == 502
        await wire.close()
        assert [head.target for head in rig.origin.heads] == ["/hello", "/reset", "/reset"]


async def test_a_connection_that_was_authenticated_serves_one_client_only() -> None:
    """NTLM and Negotiate authenticate the connection: shared, it would lend one user's rights to another."""
    async with running() as rig:
        rig.origin.replies["/ntlm"] = fixed(
            b"HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: NTLM\r\nContent-Length: 0\r\n\r\n", close=False
        )
        first, second = await rig.open("www.example"), await rig.open("www.example")
        assert (await first.get("www.example", "/ntlm"))[0] == 401
        assert (await second.get("www.example", "/hello"))[0] == 200
        assert (await first.get("www.example", "/hello", b"Authorization: NTLM abc"))[0] == 200
        assert rig.origin.connections == 2
        await first.close()
        await until(lambda: rig.inspector.counters()["origin_connections"] == 1)
        await second.close()


async def test_a_client_that_leaves_ends_the_download() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(b"GET /big?1000000000 HTTP/1.1\r\nHost: www.example\r\n\r\n")
        await wire.head()
        wire.writer.transport.abort()
        (line,) = await rig.settled()
        assert (line.reason, line.status) == ("client-reset", 200)
        await until(lambda: not rig.origin.writers)
        assert rig.inspector.counters()["origin_connections"] == 0


async def test_a_client_that_does_not_read_holds_the_origin_back() -> None:
    limits = Limits(high_water_bytes=65536)
    async with running(limits=limits) as rig:
        wire = await rig.open("www.example")
        await wire.send(b"GET /big?100000000 HTTP/1.1\r\nHost: www.example\r\n\r\n")
        await wire.head()
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a transport that reads
        sent: list[int] = []

        def stands() -> bool:
            (writer,) = rig.origin.writers
            sent.append(writer.transport.get_write_buffer_size())
            return len(sent) > 20 and sent[-1] == sent[-20] > 0

        await until(stands)
        wire.writer.transport.abort()


async def test_an_origin_that_demands_a_client_certificate_is_told_apart() -> None:
    demanding = TestCa("test origins")
    context = demanding.context("www.example")
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(str(demanding.file))
    async with running(origin=context) as rig:
        rig.inspector.replace_trust(demanding.trusting())
        wire = await rig.open("www.example")
        status, head, _ = await wire.get("www.example", "/hello")
        reasons = [reason for reason in ("origin-client-certificate", "origin-protocol") if reason.encode() in head]
        assert status == 502 and reasons  # OpenSSL loses the alert when the connection is reset behind it
        await wire.close()


async def test_the_rest_of_an_upload_is_not_taken_for_a_request() -> None:
    """An early answer to a chunked upload whose rest looks like a request."""
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(b"POST /early HTTP/1.1\r\nHost: www.example\r\nTransfer-Encoding: chunked\r\n\r\n")
        status, head, _ = await wire.answer()
        assert status == 413 and b"Connection: close" in head
        await wire.send(b"GET /hello HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert await wire.at_end() == b""
        await wire.close()
        assert [one.target for one in rig.origin.heads] == ["/early"]


class Counted:
    """How many functions of ours are called while it is entered."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> "Counted":
        sys.setprofile(self._count)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _count(self, frame: FrameType, event: str, _: object) -> None:
        file = frame.f_code.co_filename
        self.calls += event == "call" and "/steering" in file and "/tests/" not in file


async def test_what_a_request_on_a_kept_connection_costs() -> None:
    """65 calls of functions of ours; it was 151 when each head went through parser, checks and a decision."""
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.get("www.example", "/big?1024")
        found = []
        for _ in range(5):  # the clock ticks now and then
            with Counted() as counted:
                assert (await wire.get("www.example", "/big?1024"))[0] == 200
            found.append(counted.calls)
        assert 30 < min(found) <= 72
        await wire.close()
