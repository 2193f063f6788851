"""Time limits and sizes on a running inspector: what is slow, silent or endless is cut, with its reason."""

import asyncio
from dataclasses import replace

import pytest

from steering_inspector.settings import Limits
from tests.inspector.clients import Wire, running
from tests.inspector.origin import Head

QUICK = Limits(
    head_s=0.6, hello_s=0.6, handshake_s=0.6, keepalive_s=0.6, response_s=0.8, body_idle_s=0.6, response_idle_s=0.8,
    tunnel_idle_s=0.6, linger_s=0.3, rate_window_s=1.0, min_upload_bytes_s=1000, dial_s=1.0,
)  # fmt: skip


async def test_a_head_that_trickles_is_cut() -> None:
    async with running(limits=QUICK) as rig:
        wire = await rig.connect()
        for byte in b"GET http://www":
            await wire.send(bytes((byte,)))
            await asyncio.sleep(0.02)
        assert (await wire.at_end()).startswith(b"HTTP/1.1 408 ")
        await wire.close()
        assert (await rig.settled())[0].reason == "timeout"


async def test_a_hello_that_never_ends_is_cut() -> None:
    async with running(limits=QUICK) as rig:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.tls))
        await wire.send(b"\x16\x03\x01\x02\x00\x01")
        assert await wire.at_end() == b""
        await wire.close()
        assert (await rig.settled())[0].reason == "hello-timeout"


async def test_an_idle_connection_is_closed() -> None:
    async with running(limits=QUICK) as rig:
        wire = await rig.open("www.example")
        assert (await wire.get("www.example", "/hello"))[0] == 200
        assert await wire.at_end() == b""
        await wire.close()


async def test_a_silent_origin_is_a_504() -> None:
    async with running(limits=QUICK) as rig:
        wire = await rig.open("www.example")
        assert (await wire.get("www.example", "/silent"))[0] == 504
        await wire.close()
        assert (await rig.settled())[0].reason == "timeout"


async def test_a_body_that_stops_is_a_408() -> None:
    async with running(limits=QUICK) as rig:
        wire = await rig.open("www.example")
        await wire.send(b"POST /echo HTTP/1.1\r\nHost: www.example\r\nContent-Length: 100\r\n\r\nabc")
        assert (await wire.answer())[0] == 408
        await wire.close()


async def test_a_body_that_trickles_is_a_408() -> None:
    async with running(limits=QUICK) as rig:
        wire = await rig.open("www.example")
        await wire.send(b"POST /echo HTTP/1.1\r\nHost: www.example\r\nContent-Length: 100000\r\n\r\n")
        answer = asyncio.get_running_loop().create_task(wire.answer())
        while not answer.done():
            await wire.send(b"a")
            await asyncio.sleep(0.05)
        assert (await answer)[0] == 408
        await wire.close()


async def test_a_response_that_stops_is_cut() -> None:
    async with running(limits=QUICK) as rig:

        async def stops(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
            await reader.read()
            return True

        rig.origin.replies["/stops"] = stops
        wire = await rig.open("www.example")
        await wire.send(b"GET /stops HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert (await wire.at_end()).endswith(b"\r\n\r\nhalf")
        await wire.close()
        assert [(line.reason, line.status) for line in await rig.settled()] == [("timeout", 200)]


async def test_a_client_that_stops_reading_is_cut() -> None:
    async with running(limits=replace(QUICK, high_water_bytes=65536)) as rig:
        wire = await rig.open("www.example")
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is a transport that reads
        await wire.send(b"GET /big?100000000 HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert [(line.reason, line.status) for line in await rig.settled()] == [("timeout", 200)]
        assert rig.inspector.counters()["origin_connections"] == 0
        wire.writer.transport.abort()


async def test_an_origin_that_does_not_take_an_upload_is_not_the_clients_fault() -> None:
    async with running(limits=replace(QUICK, high_water_bytes=65536)) as rig:

        async def deaf(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
            await asyncio.Event().wait()
            return True

        rig.origin.replies["/deaf"] = deaf
        wire = await rig.open("www.example")
        await wire.send(b"POST /deaf HTTP/1.1\r\nHost: www.example\r\nContent-Length: 100000000\r\n\r\n")
        answer = asyncio.get_running_loop().create_task(wire.answer())
        wire.writer.write(bytes(50_000_000))
        assert (await answer)[0] == 504
        wire.writer.transport.abort()


@pytest.mark.parametrize("kind", ["get", "connect"])
async def test_an_origin_that_is_not_resolved_in_time_is_a_504(kind: str) -> None:
    async with running(limits=QUICK) as rig:
        rig.unanswered.add("www.example")
        wire = await (rig.open("www.example") if kind == "connect" else rig.connect())
        target = "/hello" if kind == "connect" else f"http://www.example:{rig.plain.port}/hello"
        assert (await wire.get("www.example", target))[0] == 504
        await wire.close()
        assert (await rig.settled())[0].reason in ("origin-timeout", "timeout")


async def test_an_idle_tunnel_is_closed() -> None:
    async with running(limits=QUICK) as rig:
        wire = await rig.open("pinned.example")
        assert await wire.at_end() == b""
        await wire.close()
        assert (await rig.settled())[0].reason == "timeout"


@pytest.mark.parametrize(("size", "status"), [(3999, 200), (4000, 200), (4001, 431)])
async def test_a_head_at_the_limit(size: int, status: int) -> None:
    async with running(limits=Limits(max_head_bytes=4000)) as rig:
        wire = await rig.open("www.example")
        start = b"GET /hello HTTP/1.1\r\nHost: www.example\r\nX: "
        await wire.send(start + b"a" * (size - len(start) - 4) + b"\r\n\r\n")
        assert (await wire.answer())[0] == status
        await wire.close()


@pytest.mark.parametrize(("limit", "status"), [(2, 502), (3, 200), (4, 200)])
async def test_interim_answers_at_the_limit(limit: int, status: int) -> None:
    async with running(limits=Limits(max_interim=limit)) as rig:
        wire = await rig.open("www.example")
        await wire.send(b"GET /some-1xx HTTP/1.1\r\nHost: www.example\r\n\r\n")
        got = [(await wire.answer())[0]]
        while got[-1] < 200:
            got.append((await wire.answer())[0])
        assert got[-1] == status
        await wire.close()


async def test_destinations_inside_are_refused_by_a_page() -> None:
    async with running(allow_destinations=()) as rig:
        wire = await rig.open("www.example")
        status, head, _ = await wire.get("www.example", "/hello")
        assert status == 403 and b"Steering-Reason: destination" in head
        await wire.close()
        assert rig.origin.connections == 0


async def test_own_listeners_are_refused_whatever_is_opened_up() -> None:
    async with running() as rig:
        wire = await rig.connect()
        assert (await wire.get("www.example", f"http://www.example:{rig.explicit}/"))[0] == 403
        await wire.close()
        assert [line.reason for line in await rig.settled()] == ["destination"]
