"""The requests of one connection: in order, each decided, half-closed, timed, ended with a page."""

import ssl

import pytest

from tests.inspector.clients import RULES, issuer, policy_of, running, until
from tests.inspector.origin import DAY, inspector_ca, origin_ca


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


async def test_a_block_is_a_page_inside_the_clients_tls() -> None:
    async with running() as rig:
        wire = await rig.open("blocked.example")
        assert await issuer(wire) == "test inspector"
        status, _, body = await wire.get("blocked.example", "/hello")
        assert status == 403 and b"banned" in body
        assert await wire.at_end() == b""
        assert rig.origin.connections == 0 and rig.resolved == []


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


async def test_the_inner_host_must_be_the_sni() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        assert (await wire.get("other.example", "/hello"))[0] == 421
        await wire.close()
        assert rig.origin.heads == []


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
