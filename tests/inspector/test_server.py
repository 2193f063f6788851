"""The whole inspector on loopback: every kind of connection, end to end, with clients that write their own bytes."""

import asyncio
import gc
import os
import ssl
from pathlib import Path

import pytest

from steering_inspector.settings import Limits
from tests.inspector.clients import RULES, Rig, Wire, policy_of, running, until
from tests.inspector.origin import DAY, inspector_ca, origin_ca

HTTP_200 = b"HTTP/1.1 200 OK\r\n"


async def issuer(wire: Wire) -> str:
    certificate = wire.writer.get_extra_info("peercert")
    return str(dict(pair for part in certificate["issuer"] for pair in part)["commonName"])


async def test_an_opened_connection_carries_requests_one_after_the_other() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        assert await issuer(wire) == "test inspector"
        for _ in range(3):
            status, head, body = await wire.get("www.example", "/hello")
            assert (status, body) == (200, b"hello\n")
            assert b"X-Origin: yes" in head and b"Alt-Svc" not in head and b"Keep-Alive" not in head
        await wire.close()
        assert [(line.effect, line.host, line.detail, line.status) for line in await rig.settled(3)] == [
            ("open", "www.example", "GET /hello", 200)
        ] * 3
        assert rig.origin.connections == 1
        assert rig.resolved == ["www.example"]


async def test_a_bypass_is_tunnelled_unopened() -> None:
    async with running() as rig:
        wire = await rig.open("pinned.example")
        assert await issuer(wire) == "test origins"
        assert (await wire.get("pinned.example", "/hello"))[2] == b"hello\n"
        await wire.close()
        (line,) = await rig.settled()
        assert (line.effect, line.rule, line.host) == ("tunnel", "pinned", "pinned.example")
        assert line.sent > 0 and line.received > 0
        assert b"Via" not in rig.origin.heads[0].raw


async def test_a_block_is_a_page_inside_the_clients_tls() -> None:
    async with running() as rig:
        wire = await rig.open("blocked.example")
        assert await issuer(wire) == "test inspector"
        status, _, body = await wire.get("blocked.example", "/hello")
        assert status == 403 and b"banned" in body
        assert await wire.at_end() == b""
        assert rig.origin.connections == 0 and rig.resolved == []


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


async def test_pipelined_requests_are_answered_in_order() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(
            b"".join(b"GET /%b HTTP/1.1\r\nHost: www.example\r\n\r\n" % p for p in (b"hello", b"chunked", b"head"))
        )
        assert [(await wire.answer())[2][:5] for _ in range(3)] == [b"hello", b"hello", b"GET /"]
        await wire.close()


async def test_a_websocket_becomes_a_pipe() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(
            b"GET /ws HTTP/1.1\r\nHost: www.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = await wire.head()
        assert head.startswith(b"HTTP/1.1 101 ") and b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head
        await wire.send(b"\x81\x05hello")
        assert await wire.reader.readexactly(7) == b"\x81\x05hello"
        await wire.close()
        (line,) = await rig.settled()
        assert (line.status, line.received) == (101, 7)


async def test_plain_http_is_decided_request_by_request() -> None:
    async with running() as rig:
        wire = await rig.connect()
        for host, status in (("www.example", 200), ("pinned.example", 200), ("blocked.example", 403)):
            got = await wire.get(host, f"http://{host}:{rig.plain.port}/hello")
            assert got[0] == status
        await wire.close()
        lines = await rig.settled(3)
        assert [(line.host, line.effect) for line in lines] == [
            ("www.example", "open"),
            ("pinned.example", "tunnel"),
            ("blocked.example", "block"),
        ]


async def test_transparent_connections_go_by_sni_and_by_host() -> None:
    async with running() as rig:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.tls))
        await wire.start_tls("www.example")
        assert (await wire.get("www.example", "/hello"))[2] == b"hello\n"
        await wire.close()
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.tls))
        await wire.start_tls("pinned.example")
        assert await issuer(wire) == "test origins"
        await wire.close()
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.http))
        assert (await wire.get("www.example", "/hello"))[2] == b"hello\n"
        await wire.close()
        assert rig.resolved == ["www.example", "pinned.example", "www.example"]


async def test_the_inner_host_must_be_the_sni() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        assert (await wire.get("other.example", "/hello"))[0] == 421
        await wire.close()
        assert rig.origin.heads == []


async def test_connect_and_sni_are_both_decided() -> None:
    async with running() as rig:
        wire = await rig.open("www.example", connect="pinned.example")
        assert await issuer(wire) == "test inspector"
        assert (await wire.get("www.example", "/hello"))[0] == 200
        await wire.close()
        wire = await rig.open("pinned.example", connect="www.example")
        assert await issuer(wire) == "test inspector"
        await wire.close()
        wire = await rig.open("pinned.example", connect="203.0.113.7")
        assert await issuer(wire) == "test origins"
        await wire.close()
        assert rig.resolved == ["www.example", "pinned.example"]


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (b"CONNECT www.example:22 HTTP/1.1\r\nHost: www.example:22\r\n\r\n", 403, "port"),
        (b"CONNECT www.example HTTP/1.1\r\nHost: www.example\r\n\r\n", 400, "bad-request"),
        (b"CONNECT 10.1.2.3:443 HTTP/1.1\r\nHost: 10.1.2.3\r\n\r\n", 200, ""),
        (b"CONNECT 127.1:443 HTTP/1.1\r\nHost: 127.1\r\n\r\n", 400, "bad-request"),
        (b"CONNECT 169.254.169.254:443 HTTP/1.1\r\nHost: a\r\n\r\n", 403, "reserved"),
        (b"CONNECT mask.icloud.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", 403, "reserved"),
        (b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n", 400, "bad-request"),
        (b"GET http://mail.example:25/ HTTP/1.1\r\nHost: www.example\r\n\r\n", 403, "port"),
        (b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nVia: 1.1 STEERING\r\n\r\n", 508, "loop"),
    ],
)
async def test_refusals_name_their_reason(request_: bytes, status: int, reason: str) -> None:
    async with running() as rig:
        wire = await rig.connect()
        await wire.send(request_)
        head = await wire.head()
        assert int(head.split(b" ")[1]) == status
        await wire.close()
        if reason:
            (line,) = await rig.settled()
            assert (line.effect, line.reason, line.status) == ("refuse", reason, status)


async def test_tunnels_that_are_no_longer_bypassed_are_closed() -> None:
    async with running() as rig:
        wire = await rig.open("pinned.example")
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        rig.live.swap(policy_of(RULES))
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        rig.live.swap(policy_of(RULES[1:]))
        assert await wire.at_end() == b""
        await wire.close()
        (line,) = await rig.settled()
        assert line.reason == "policy-change"


async def test_kept_alive_requests_are_decided_by_the_new_rules() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        assert (await wire.get("www.example", "/hello"))[0] == 200
        rig.live.swap(policy_of([{"name": "no", "action": "block", "domains": ["www.example"]}]))
        assert (await wire.get("www.example", "/hello"))[0] == 403
        await wire.close()
        assert [(line.effect, line.rule) for line in await rig.settled(2)] == [("open", None), ("block", "no")]


async def test_an_opened_connection_that_is_now_bypassed_makes_way_for_a_tunnel() -> None:
    now_bypassed = policy_of([{"name": "spared", "domains": ["www.example"]}])
    async with running() as rig:
        idle, busy = await rig.open("www.example"), await rig.open("www.example")
        assert (await idle.get("www.example", "/hello"))[0] == 200
        await busy.send(b"POST /echo HTTP/1.1\r\nHost: www.example\r\nContent-Length: 4\r\n\r\nab")
        await until(lambda: len(rig.origin.heads) == 2)
        rig.live.swap(now_bypassed)
        assert await idle.at_end() == b""
        await busy.send(b"cd")
        status, head, body = await busy.answer()
        assert (status, body) == (200, b"abcd") and b"Connection: close" in head
        for wire in (idle, busy):
            await wire.close()
        again = await rig.open("www.example")
        assert await issuer(again) == "test origins"
        await again.close()
        assert [(line.effect, line.rule) for line in await rig.settled(3)][-1] == ("tunnel", "spared")


async def test_a_blocked_name_of_a_connect_is_not_reached_by_another_sni() -> None:
    async with running() as rig:
        wire = await rig.open("pinned.example", connect="www.example")
        assert (await wire.get("pinned.example", "/hello"))[0] == 200
        rig.live.swap(policy_of([*RULES, {"name": "no", "action": "block", "domains": ["www.example"]}]))
        assert (await wire.get("pinned.example", "/hello"))[0] == 403
        await wire.close()
        lines = await rig.settled(2)
        assert [(line.host, line.effect, line.rule) for line in lines] == [
            ("pinned.example", "open", None),
            ("pinned.example", "block", "no"),
        ]


async def test_without_a_ca_only_bypasses_pass() -> None:
    async with running(can_open=False) as rig:
        wire = await rig.open("pinned.example")
        assert await issuer(wire) == "test origins"
        await wire.close()
        wire = await rig.connect()
        await wire.send(f"CONNECT www.example:{rig.origin.port} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert (await wire.head()).startswith(b"HTTP/1.1 503 ")
        await wire.close()
        rig.inspector.replace_leaves(inspector_ca())
        wire = await rig.open("www.example")
        assert (await wire.get("www.example", "/hello"))[0] == 200
        await wire.close()


async def test_a_client_that_refuses_our_certificate_is_evidence() -> None:
    async with running() as rig:
        wire = await rig.connect()
        await wire.send(f"CONNECT www.example:{rig.origin.port} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await wire.head()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await wire.writer.start_tls(origin_ca().trusting(), server_hostname="www.example")
        await wire.close()
        (line,) = await rig.settled()
        assert line.reason == "client-handshake"
        assert [(f.sni, f.client) for f in rig.failures] == [("www.example", "127.0.0.1")]


def open_files() -> int:
    gc.collect()
    return len(list(Path(f"/proc/{os.getpid()}/fd").iterdir()))


async def test_no_descriptor_is_left_behind() -> None:
    before = open_files()
    async with running() as rig:
        for host in ("www.example", "pinned.example", "blocked.example") * 5:
            wire = await rig.open(host)
            await wire.get(host, "/big?600000")
            await wire.close()
        await until(lambda: not rig.inspector.counters()["connections"])
    await until(lambda: open_files() <= before + 2)


async def test_clients_are_capped_at_the_limit() -> None:
    async with running(limits=Limits(max_connections_per_client=2)) as rig:
        first, second = await rig.connect(), await rig.connect()
        assert (await first.get("www.example", f"http://www.example:{rig.plain.port}/hello"))[0] == 200
        assert (await second.get("www.example", f"http://www.example:{rig.plain.port}/hello"))[0] == 200
        third = await rig.connect()
        assert (await third.at_end()).startswith(b"HTTP/1.1 503 ")
        await first.close()
        await until(lambda: rig.inspector.counters()["connections"] < 2)
        fourth = await rig.connect()
        assert (await fourth.get("www.example", f"http://www.example:{rig.plain.port}/hello"))[0] == 200
        for wire in (second, third, fourth):
            await wire.close()


async def test_a_client_outside_the_allowed_networks_is_refused() -> None:
    async with running(allowed=()) as rig:
        wire = await rig.connect()
        assert (await wire.at_end()).startswith(b"HTTP/1.1 403 ")
        await wire.close()
        (line,) = await rig.settled()
        assert line.reason == "client"


async def drained(rig: Rig) -> None:
    await rig.inspector.drain(5)
    assert rig.inspector.counters()["connections"] == 0


async def test_draining_lets_an_exchange_end() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(b"POST /echo HTTP/1.1\r\nHost: www.example\r\nContent-Length: 4\r\n\r\nab")
        idle = await rig.open("www.example")
        draining = asyncio.get_running_loop().create_task(drained(rig))
        assert await idle.at_end() == b""
        await wire.send(b"cd")
        status, head, body = await wire.answer()
        assert (status, body) == (200, b"abcd") and b"Connection: close" in head
        await wire.close()
        await idle.close()
        await draining


@pytest.mark.parametrize(
    ("context", "reason", "shown"),
    [
        (origin_ca().context("other.example"), "origin-wrong-name", b"other.example"),
        (origin_ca().context("www.example", san=False), "origin-wrong-name", b"www.example"),
        (origin_ca().context("www.example", back=5 * DAY, ahead=-DAY), "origin-expired", b"UTC"),
        (origin_ca().context("www.example", back=-DAY), "origin-not-yet-valid", b"UTC"),
        (inspector_ca().context("www.example"), "origin-unknown-issuer", b"test inspector"),
    ],
)
async def test_a_bad_origin_certificate_is_a_page_that_says_so(
    context: ssl.SSLContext, reason: str, shown: bytes
) -> None:
    async with running(origin=context) as rig:
        wire = await rig.open("www.example")
        status, head, body = await wire.get("www.example", "/hello")
        assert (status, f"Steering-Reason: {reason}\r\n".encode() in head) == (502, True)
        assert shown in body
        await wire.close()
        (line,) = await rig.settled()
        assert (line.reason, line.status) == (reason, 502)
        assert rig.origin.heads == []
