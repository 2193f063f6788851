"""Two links crossed, with and without TLS: every byte both ways, at the pace of the slower side, to the last one."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from steering.streams import crossing as module
from steering.streams.crossing import Crossing
from steering.streams.link import Link
from tests.kit import eventually
from tests.streams.links import Room, Told, pair, secured

MIB = 1024 * 1024
UP, DOWN = bytes(range(256)) * (12 * 1024), bytes(reversed(range(256))) * (8 * 1024)  # 3 MiB, 2 MiB
SIDES = pytest.mark.parametrize(
    ("client_tls", "origin_tls"), [(False, False), (True, False), (False, True), (True, True)]
)


@dataclass(slots=True)
class There:
    """client, origin: the far ends.  inside, outside: the links that are crossed.  ends: what the crossing said."""

    client: Link
    told_client: Told
    inside: Link
    outside: Link
    origin: Link
    told_origin: Told
    crossing: Crossing = field(init=False)
    ends: list[Exception | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.crossing = Crossing(asyncio.get_running_loop(), self.inside, self.outside, self.ends.append)


@asynccontextmanager
async def crossed(client_tls: bool = False, origin_tls: bool = False, room: Room = Room()) -> AsyncIterator[There]:  # noqa: B008
    """Started by the test."""
    near, far = secured if client_tls else pair, secured if origin_tls else pair
    async with (
        near(room=room) as (client, told_client, inside, _one),
        far(room=room) as (outside, _two, origin, told_origin),
    ):
        for link in (inside, outside):
            link.pause()
        there = There(client, told_client, inside, outside, origin, told_origin)
        yield there
        there.crossing.close()


@SIDES
async def test_bytes_pass_both_ways_and_half_closed_stays_half_open(client_tls: bool, origin_tls: bool) -> None:
    async with crossed(client_tls, origin_tls) as there:
        there.client.resume()
        there.origin.resume()
        there.crossing.start()
        there.client.write(UP)
        there.client.finish()
        await eventually(lambda: there.told_origin.ends)
        assert (there.told_origin.got == UP, there.told_origin.ends, there.ends) == (True, [True], [])
        there.origin.write(DOWN)
        there.origin.finish()
        await eventually(lambda: there.told_client.ends)
        assert (there.told_client.got == DOWN, there.told_client.ends) == (True, [True])
        await eventually(lambda: there.ends)
        assert there.ends == [None]
        assert (there.crossing.up, there.crossing.down, there.crossing.carried) == (3 * MIB, 2 * MIB, 5 * MIB)
        assert there.inside.closed and there.outside.closed


@SIDES
async def test_what_was_read_before_comes_first(client_tls: bool, origin_tls: bool) -> None:
    async with crossed(client_tls, origin_tls) as there:
        there.client.resume()
        there.origin.resume()
        there.crossing.start(b"GET ", b"HTTP/")
        there.client.write(b"/")
        there.origin.write(b"1.1")
        await eventually(lambda: (there.told_client.got, there.told_origin.got) == (b"HTTP/1.1", b"GET /"))
        assert (there.crossing.up, there.crossing.down) == (5, 8)


@SIDES
async def test_a_side_that_takes_no_more_stops_the_other(client_tls: bool, origin_tls: bool) -> None:
    room = Room(high_water_bytes=100_000)
    async with crossed(client_tls, origin_tls, room) as there:
        there.origin.pause()
        there.crossing.start()
        there.client.write(UP)
        await eventually(lambda: there.outside.congested and not there.inside.reading)
        assert there.outside.unsent <= room.high_water_bytes + 2 * room.read_bytes
        assert there.outside.reading  # the other way goes on
        there.origin.write(b"still heard")
        there.client.resume()
        await eventually(lambda: there.told_client.got == b"still heard")
        there.origin.resume()
        await eventually(lambda: len(there.told_origin.got) == len(UP))
        assert there.told_origin.got == UP
        assert there.inside.reading


async def test_a_side_congested_by_what_was_read_before_is_not_read() -> None:
    async with crossed(room=Room(high_water_bytes=100_000)) as there:
        there.crossing.start(UP)
        assert (there.outside.congested, there.inside.reading, there.outside.reading) == (True, False, True)
        there.origin.resume()
        await eventually(lambda: there.told_origin.got == UP)
        await eventually(lambda: there.inside.reading)


@pytest.mark.parametrize("far", ["client", "origin"])
async def test_a_broken_side_ends_both(far: str) -> None:
    """Rubbish within TLS, from either end."""
    async with crossed(True, True) as there:
        there.client.resume()
        there.origin.resume()
        there.crossing.start()
        broken, other = (there.client, there.told_origin) if far == "client" else (there.origin, there.told_client)
        raw = broken.release()
        raw.send(b"\x17\x03\x03\x00\x05rubbishrubbish")
        await eventually(lambda: there.ends and other.over)
        assert len(there.ends) == 1 and isinstance(there.ends[0], OSError)
        assert other.ends == [False]  # a truncation is no goodbye
        assert there.inside.closed and there.outside.closed
        raw.close()


async def test_a_reset_ends_both() -> None:
    async with crossed() as there:
        there.origin.resume()
        there.crossing.start(b"", b"never read")
        there.client.close()  # over unread bytes
        await eventually(lambda: there.ends and there.told_origin.over)
        assert len(there.ends) == 1 and isinstance(there.ends[0], ConnectionError)
        assert there.inside.closed and there.outside.closed


async def _both_ended(there: There) -> None:
    """The client is done, and the origin has said all there is; none of it was read."""
    there.origin.resume()
    there.crossing.start()
    there.client.finish()
    there.origin.write(DOWN)
    there.origin.finish()
    await eventually(lambda: there.inside.eof and there.outside.eof)
    assert there.inside.unsent > 0


async def test_last_bytes_reach_a_slow_reader(monkeypatch: pytest.MonkeyPatch) -> None:
    """For as long as it takes any; longer in all than a reader may stand still."""
    monkeypatch.setattr(module, "MAX_STILL_S", 0.8)
    loop = asyncio.get_running_loop()
    async with crossed(room=Room(high_water_bytes=8 * MIB)) as there:
        await _both_ended(there)
        got, began = bytearray(), loop.time()
        while piece := await loop.sock_recv(there.client.sock, 65536):
            got += piece
            await asyncio.sleep(0.05)
        assert got == DOWN
        assert loop.time() - began > 0.8
        await eventually(lambda: there.ends)
        assert there.ends == [None]


async def test_a_reader_that_takes_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_STILL_S", 0.2)
    async with crossed(room=Room(high_water_bytes=8 * MIB)) as there:
        await _both_ended(there)
        await eventually(lambda: there.ends)
        assert there.ends == [None] and there.inside.closed


async def test_its_owner_may_end_it_at_any_time() -> None:
    async with crossed() as there:
        there.origin.resume()
        there.client.resume()
        there.crossing.start()
        there.crossing.close()
        there.crossing.close()
        await eventually(lambda: there.told_client.over and there.told_origin.over)
        assert there.ends == []
