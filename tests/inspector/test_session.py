"""The requests of one connection: in order, each decided, half-closed, timed, ended with a page."""

import asyncio
import ssl

import pytest

from tests.inspector.clients import RULES, Wire, dial_tls, issuer, policy_of, running, until
from tests.inspector.origin import DAY, Head, inspector_ca, origin_ca


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


async def test_a_client_that_is_done_sending_still_reads() -> None:
    """Half-closed by FIN on a plain connection, by close_notify and FIN within TLS."""
    async with running() as rig:
        wire = await rig.connect()
        await wire.send(f"GET http://www.example:{rig.plain.port}/big?300000 HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        wire.writer.write_eof()
        status, _, body = await wire.answer()
        assert (status, len(body), await wire.at_end()) == (200, 300000, b"")
        await wire.close()
        link, told = await dial_tls(rig, rig.tls, sni="www.example")
        link.write(b"GET /big?300000 HTTP/1.1\r\nHost: www.example\r\n\r\n")
        link.finish()
        await until(lambda: told.over)
        assert told.ends == [True] and len(told.got.partition(b"\r\n\r\n")[2]) == 300000
        link.close()


async def test_an_upload_that_is_cut_short_is_not_passed_off_as_whole() -> None:
    async with running() as rig:
        got: list[bytes] = []

        async def keep(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
            got.append(await reader.read())
            return True

        rig.plain.replies["/keep"] = keep
        wire = await rig.connect()
        target = f"http://www.example:{rig.plain.port}/keep"
        await wire.send(f"POST {target} HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf".encode())
        await until(lambda: bool(rig.plain.heads))
        await wire.close()
        (line,) = await rig.settled()
        assert line.reason in ("client-truncated", "client-reset")
        await until(lambda: got == [b"half"])


async def test_blank_lines_before_a_request_are_passed_over() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(b"\r\n")
        assert (await wire.get("www.example", "/hello"))[0] == 200
        await wire.send(b"\r\n\r\n")
        assert (await wire.get("www.example", "/hello"))[0] == 200
        await wire.close()


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"CONNECT www.example:443 HTTP/1.1\r\nHost: www.example\r\n\r\n", 405),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"GET http://www.example/ HTTP/1.1\r\nHost: www.example\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nHost: www.example\r\nVia: 1.1 steering\r\n\r\n", 508),
        (b"GET /hello HTTP/1.1\r\n\r\n", 400),
        (b"GET /hello HTTP/1.1\r\nHost: a.www.example\r\n\r\n", 421),
        (b"GET https://other.example/ HTTP/1.1\r\nHost: www.example\r\n\r\n", 421),
        (b"BREW /hello HTTP/1.1\r\nHost: www.example\r\n\r\n", 501),
    ],
)
async def test_what_is_refused_within_tls(request_: bytes, status: int) -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(request_ + b"GET /hello HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert (await wire.answer())[0] == status
        assert await wire.at_end() == b""  # nothing behind it is read
        await wire.close()
        assert rig.origin.heads == []


async def test_connect_is_spoken_to_the_proxys_own_port_only() -> None:
    async with running() as rig:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.http))
        await wire.send(b"CONNECT www.example:443 HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert (await wire.answer())[0] == 405
        await wire.close()


async def test_by_host_the_port_of_the_configuration_is_dialled() -> None:
    """Whatever Host says: a transparent client has not chosen it."""
    async with running() as rig:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.http))
        assert (await wire.get("www.example:25", "/hello"))[0] == 200
        await wire.close()
        assert [head.get("host") for head in rig.plain.heads] == ["www.example:25"]


async def test_what_reaches_the_origin_names_this_inspector_and_no_hop() -> None:
    async with running(advertised="inspector-1") as rig:
        wire = await rig.open("www.example")
        status, head, body = await wire.get(
            "www.example", "/head", b"Connection: X-Mine", b"X-Mine: 1", b"TE: trailers", b"Proxy-Authorization: x"
        )
        assert body == b"GET /head HTTP/1.1\r\nHost: www.example\r\nVia: 1.1 inspector-1\r\n\r\n"
        assert (status, b"Via: 1.1 inspector-1\r\n" in head) == (200, True)
        await wire.close()


async def test_a_websocket_ends_when_its_name_is_blocked() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(
            b"GET /ws HTTP/1.1\r\nHost: www.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await wire.head()
        rig.live.swap(policy_of([{"name": "spared", "domains": ["www.example"]}]))
        await wire.send(b"still here")
        assert await wire.reader.readexactly(10) == b"still here"
        rig.live.swap(policy_of([{"name": "no", "action": "block", "domains": ["www.example"]}]))
        assert await wire.at_end() == b""
        await wire.close()
        (line,) = await rig.settled()
        assert (line.reason, line.received) == ("policy-change", 10)


async def test_a_websocket_is_closed_by_either_side() -> None:
    async with running() as rig:
        wire = await rig.open("www.example")
        await wire.send(
            b"GET /ws HTTP/1.1\r\nHost: www.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        await wire.head()
        await until(lambda: bool(rig.origin.writers))
        (writer,) = rig.origin.writers
        writer.close()
        assert await wire.at_end() == b""
        await wire.close()
        assert [line.status for line in await rig.settled()] == [101]
