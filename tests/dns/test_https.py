"""DNS over HTTPS by real clients: kdig, dig, curl, and what clients do that break things."""

import asyncio
import contextlib
import ssl
import subprocess
from base64 import urlsafe_b64encode
from ipaddress import ip_network
from pathlib import Path

import dns.message
import pytest

from steering_dns import Limits, http2
from steering_dns.https import HttpsConnection
from steering_dns.tcp import PIECE_BYTES
from tests.dns.secure import Secured, secured
from tests.dns.unread import Unread
from tests.dns.world import world
from tests.kit import eventually

QUERY = dns.message.make_query("steered.example", "A", id=0).to_wire()
GET = b"GET /dns-query?dns=" + urlsafe_b64encode(QUERY).rstrip(b"=") + b" HTTP/1.1\r\nHost: dns.test\r\n\r\n"
POST = (
    b"POST /dns-query HTTP/1.1\r\nHost: dns.test\r\nContent-Type: application/dns-message\r\nContent-Length: %d\r\n\r\n"
)


async def run(*command: str) -> str:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=20, check=False)
    return " ".join(done.stdout.decode("latin-1").split())


def trusted(s: Secured) -> list[str]:
    return [f"+tls-ca={s.cert}", "+tls-hostname=dns.test"]


@pytest.mark.needs("kdig", "dig")
async def test_by_kdig_and_dig(tmp_path: Path) -> None:
    async with secured(tmp_path) as s:
        at = ("@127.0.0.1", "-p", str(s.https_port))
        found = await asyncio.gather(
            run("kdig", *at, "+https", *trusted(s), "pinned.example"),
            run("kdig", *at, "+https-get", *trusted(s), "pinned.example"),
            run("kdig", *at, "+https", f"+tls-ca={s.cert}", "+tls-hostname=other.test", "pinned.example"),
            run("dig", *at, "+https", "pinned.example"),
            run("dig", *at, "+https-get", "steered.example", "HTTPS"),
        )
        assert ["203.0.113.10" in text for text in found] == [True, True, False, True, False]
        assert "HTTP/2-POST" in found[0]
        assert "HTTP/2-GET" in found[1]
        assert "EDE: 4" in found[4]


@pytest.mark.needs("curl")
async def test_by_curl(tmp_path: Path) -> None:
    async with secured(tmp_path) as s:
        (tmp_path / "query").write_bytes(QUERY)
        curl = ("curl", "-sS", "-i", "--cacert", str(s.cert), "--connect-to", f"dns.test:443:127.0.0.1:{s.https_port}")
        target = "https://dns.test/dns-query"
        media = ("-H", "content-type: application/dns-message")
        post = (*media, "--data-binary", f"@{tmp_path}/query", target)
        get = f"{target}?dns={urlsafe_b64encode(QUERY).rstrip(b'=').decode()}"
        (tmp_path / "long").write_bytes(b"x" * 70_000)
        answers = await asyncio.gather(
            run(*curl, "--http2", *post),
            run(*curl, "--http1.1", *post),
            run(*curl, "--http2", get),
            run(*curl, "--http1.1", get),
        )
        for number, text in enumerate(answers):
            assert text.lower().startswith("http/2 200" if number % 2 == 0 else "http/1.1 200 ok"), text
            assert "content-type: application/dns-message" in text.lower()
            assert "cache-control: max-age=30" in text.lower()
        errors = await asyncio.gather(
            *(
                run(*curl, version, *more)
                for version in ("--http2", "--http1.1")
                for more in (
                    ("-X", "PUT", *post),
                    ("https://dns.test/",),
                    (*media, "--data-binary", f"@{tmp_path}/long", target),
                    ("--data-binary", f"@{tmp_path}/query", target),
                    (f"{target}?dns=AAAA",),
                    (f"{target}?dns==",),
                )
            )
        )
        assert [int(text.split()[1]) for text in errors] == 2 * [405, 404, 413, 415, 400, 400]
        assert "allow: get, post" in errors[0].lower()


@pytest.mark.needs("curl")
async def test_curl_finds_a_web_server_by_it(tmp_path: Path) -> None:
    """As a browser would: the name is resolved by us, and what was steered is connected to."""
    async with secured(tmp_path) as s:
        doh = f"https://127.0.0.1:{s.https_port}/dns-query"
        text = await run(
            "curl",
            "-sv",
            "--stderr",
            "-",
            "--doh-insecure",
            "--doh-url",
            doh,
            "--max-time",
            "2",
            "http://steered.example",
        )
        assert "192.0.2.1" in text
        assert s.world.server.counters()["inspector:default"] >= 1


class Raw:
    """A TLS connection that sends what no client would."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, s: Secured, *protocols: str) -> "Raw":
        context = ssl.create_default_context(cafile=s.cert)
        context.set_alpn_protocols(list(protocols))
        return cls(*await asyncio.open_connection("127.0.0.1", s.https_port, ssl=context, server_hostname="dns.test"))

    async def until_end(self) -> bytes:
        found = b""
        with contextlib.suppress(OSError, ssl.SSLError):
            async with asyncio.timeout(5):
                while piece := await self.reader.read(65_536):
                    found += piece
        self.writer.close()
        return found


async def test_requests_in_a_row_are_answered_in_a_row(tmp_path: Path) -> None:
    """The first has to be asked of an upstream, those behind it wait for it, and the last one ends the connection."""
    async with secured(tmp_path) as s:
        raw = await Raw.to(s, "http/1.1")
        slow = dns.message.make_query("pinned.example", "A", id=1).to_wire()
        raw.writer.write(POST % len(slow) + slow + GET * 2 + b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        said = await raw.until_end()
        assert [part.split(b"\r\n")[0] for part in said.split(b"HTTP/1.1 ")[1:]] == [b"200 OK"] * 3 + [b"404 Not Found"]
        first = said.split(b"\r\n\r\n", 1)[1]
        assert dns.message.from_wire(first[: first.index(b"HTTP/1.1")]).answer[0][0].to_text() == "203.0.113.10"


async def test_nonsense_is_told_so_and_ended(tmp_path: Path) -> None:
    async with secured(tmp_path) as s:
        for protocols, sent, expected in (
            (("http/1.1",), b"nonsense\r\n\r\n", b"400 Bad Request"),
            ((), b"\x16\x03\x01\r\n\r\n", b"400 Bad Request"),
            (("http/1.1",), POST % 1000, b""),
            (("h2",), b"nonsense", b"\0\0\0\1"),  # GOAWAY, PROTOCOL_ERROR
        ):
            raw = await Raw.to(s, *protocols)
            raw.writer.write(sent)
            if not expected:
                raw.writer.close()
                continue
            assert expected in await raw.until_end()
        await eventually(lambda: s.world.server.counters()["tcp:connections"] == 0)


@pytest.mark.parametrize(("limit", "served"), [(0, False), (1, True)])
async def test_connections_are_bounded_before_their_handshake(tmp_path: Path, limit: int, served: bool) -> None:
    async with secured(tmp_path, limits=Limits(tcp_connections_per_client=limit)) as s:
        try:
            raw = await Raw.to(s, "http/1.1")
            raw.writer.write(GET)
            assert served is (b"200 OK" in await raw.reader.read(100))
            raw.writer.close()
        except OSError:
            assert not served
        assert s.world.server.counters().get("tcp:refused", 0) == (not served)


async def test_the_idle_are_closed_whatever_they_trickle(tmp_path: Path) -> None:
    async with secured(tmp_path, limits=Limits(secure_idle_s=0.3)) as s:
        silent = await asyncio.open_connection("127.0.0.1", s.https_port)  # no handshake at all
        idle = [await Raw.to(s, "h2"), await Raw.to(s, "http/1.1")]
        for raw in idle:
            raw.writer.write(b"PRI"[:1])
        await asyncio.gather(*(raw.until_end() for raw in idle))
        assert await asyncio.wait_for(silent[0].read(), 5) == b""
        silent[1].close()


async def test_who_asks_and_gives_no_window_is_closed(tmp_path: Path) -> None:
    async with secured(tmp_path, limits=Limits(secure_idle_s=0.3)) as s:
        raw = await Raw.to(s, "h2")
        target = b"/dns-query?dns=" + urlsafe_b64encode(QUERY).rstrip(b"=")
        block = b"\x82\x87\x04" + bytes((len(target),)) + target
        no_window = http2.frame(http2.SETTINGS, 0, 0, b"\0\4\0\0\0\0")
        end = http2.END_STREAM | http2.END_HEADERS
        raw.writer.write(http2.PREFACE + no_window + http2.frame(http2.HEADERS, end, 1, block))
        async with asyncio.timeout(10):
            said = await raw.reader.read(-1)
        assert b"\x88" in said  # the head of the response
        raw.writer.close()
        await eventually(lambda: s.world.server.counters()["tcp:connections"] == 0)


async def test_who_asks_and_does_not_read_is_not_answered_further() -> None:
    async with world() as w:
        query = dns.message.make_query("huge.pinned.example", "TXT", id=0).to_wire()
        transport = Unread(HttpsConnection(w.server, Limits()))
        transport.protocol.data_received(POST % len(query) + query)
        await eventually(lambda: len(transport.written) > 0)
        size = len(transport.written)
        transport.protocol.data_received((POST % len(query) + query) * 500)
        assert size < len(transport.written) < Unread.HIGH_BYTES + 2 * PIECE_BYTES
        assert transport.protocol.eof_received(), "what was asked before the end is still answered"
        await transport.read_until(lambda: transport.closed)
        assert len(transport.written) == 501 * size
        transport.protocol.connection_lost(None)


@pytest.mark.parametrize("protocol", ["h2", "http/1.1"])
async def test_a_drain_answers_what_was_asked(tmp_path: Path, protocol: str) -> None:
    async with secured(tmp_path) as s:
        s.world.upstream.chaos.delay_s = 0.3
        asking = asyncio.create_task(ask(s, protocol))
        await eventually(lambda: s.world.server.lookup.waiting == 1)
        await s.world.server.drain(5)
        assert await asking == "203.0.113.10"


async def ask(s: Secured, protocol: str) -> str:
    query = dns.message.make_query("pinned.example", "A", id=1).to_wire()
    if protocol == "http/1.1":
        raw = await Raw.to(s, protocol)
        raw.writer.write(POST % len(query) + query)
        said = await raw.until_end()
        return str(dns.message.from_wire(said.partition(b"\r\n\r\n")[2]).answer[0][0].to_text())
    text = await run("kdig", "@127.0.0.1", "-p", str(s.https_port), "+https", *trusted(s), "pinned.example")
    return "203.0.113.10" if "203.0.113.10" in text else text


async def test_strangers_are_refused(tmp_path: Path) -> None:
    async with secured(tmp_path, allowed=(ip_network("127.0.0.2/32"),)) as s:
        raw = await Raw.to(s, "http/1.1")
        raw.writer.write(GET.replace(b"Host: dns.test", b"Host: dns.test\r\nConnection: close"))
        said = await raw.until_end()
        assert dns.message.from_wire(said.partition(b"\r\n\r\n")[2]).rcode() == 5
        assert b"max-age=0" in said
