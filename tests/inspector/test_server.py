"""The inspector as a service: who may connect and how many, draining, and what is left behind."""

import asyncio
import gc
import os
from pathlib import Path

from steering_inspector.settings import Limits
from tests.inspector.clients import Rig, running, until


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
