"""Links within links: TLS inside TLS, at the pace of the slower side, with the alerts and the ends of both."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from steering.streams.carried import Carried
from steering.streams.link import Link
from tests.inspector.origin import inspector_ca, origin_ca
from tests.kit import eventually
from tests.streams.links import Room, Told, secured

DATA = bytes(range(256)) * 8192  # 2 MiB


@dataclass(frozen=True, slots=True)
class Nested:
    """Carried links on both ends of a TLS connection; the client is the one that is its client."""

    client: Carried
    told_client: Told
    server: Carried
    told_server: Told

    async def secure(self, trust: ssl.SSLContext | None = None) -> None:
        self.server.secure(inspector_ca().context("www.example"), server_side=True)
        trust = trust or inspector_ca().trusting()
        self.client.secure(trust, server_side=False, server_hostname="www.example")
        both = (self.told_client, self.told_server)
        await eventually(lambda: all(told.secured for told in both) or all(told.over for told in both))


@asynccontextmanager
async def nested(room: Room = Room()) -> AsyncIterator[Nested]:  # noqa: B008
    loop = asyncio.get_running_loop()
    async with secured(room=room) as (one, _, two, _told):
        told_one, told_two = Told(), Told()
        yield Nested(Carried(one, loop, told_one), told_one, Carried(two, loop, told_two), told_two)


@pytest.mark.parametrize("tls", [False, True])
async def test_bytes_pass_both_ways_and_ends_are_passed_on(tls: bool) -> None:
    async with nested() as there:
        client, server = there.client, there.server
        if tls:
            await there.secure()
        server.resume()
        client.resume()
        client.write(DATA)
        client.finish()
        await eventually(lambda: there.told_server.ends)
        assert (there.told_server.got == DATA, there.told_server.ends) == (True, [True])
        server.write(DATA)
        server.finish()
        await eventually(lambda: there.told_client.ends)
        assert (there.told_client.got == DATA, there.told_client.ends) == (True, [True])
        assert (client.finished, server.finished, client.unsent, server.unsent) == (True, True, 0, 0)
        assert not (there.told_client.lost or there.told_server.lost)
        assert client.sent == server.received >= len(DATA)


async def test_the_first_bytes_may_have_been_read_before() -> None:
    out, into = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = inspector_ca().trusting().wrap_bio(into, out, server_hostname="www.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    async with nested() as there:
        there.client.resume()
        there.server.secure(inspector_ca().context("www.example"), server_side=True, first=out.read())
        await eventually(lambda: there.told_client.got)
        into.write(there.told_client.got)
        tls.do_handshake()
        tls.write(b"hello")
        there.client.write(out.read())
        await eventually(lambda: there.told_server.got == b"hello")
        assert there.told_server.secured == 1


async def test_the_alert_of_the_inner_client_is_seen() -> None:
    """The evidence for pinned certificates, through the helper as well."""
    async with nested() as there:
        await there.secure(origin_ca().trusting())
        (error,) = there.told_server.lost
        assert isinstance(error, ssl.SSLError) and error.reason == "TLSV1_ALERT_UNKNOWN_CA"
        assert there.server.closed and there.server.carrier.closed


async def test_a_paused_link_reads_nothing() -> None:
    async with nested() as there:
        there.server.resume()
        there.client.write(b"a")
        await eventually(lambda: there.told_server.got == b"a")
        there.server.pause()
        assert not (there.server.reading or there.server.carrier.reading)
        there.client.write(b"b")
        await asyncio.sleep(0)
        assert there.told_server.got == b"a"
        there.server.resume()
        await eventually(lambda: there.told_server.got == b"ab")


@pytest.mark.parametrize("tls", [False, True])
async def test_what_the_peer_does_not_take_is_kept_and_told(tls: bool) -> None:
    async with nested(Room(high_water_bytes=100_000)) as there:
        if tls:
            await there.secure()
        there.server.pause()
        there.client.write(DATA)
        assert there.client.congested and there.client.unsent > 100_000
        there.client.finish()
        assert not there.client.finished
        there.server.resume()
        await eventually(lambda: there.told_server.ends == [True])
        assert there.told_server.got == DATA
        assert (there.client.congested, there.client.finished, there.told_client.drained) == (False, True, 1)


async def test_an_end_of_the_carrier_without_its_goodbye_is_unclean() -> None:
    async with nested() as there:
        there.server.resume()
        there.client.write(b"partial")
        there.client.close()
        assert there.client.carrier.closed
        await eventually(lambda: there.told_server.over)
        assert (there.told_server.got, there.told_server.ends) == (b"partial", [False])
        there.client.write(b"never sent")
        there.client.resume()
        assert (there.client.sent, there.client.reading) == (7, False)


async def test_the_carriers_loss_is_told_once() -> None:
    async with nested() as there:
        there.server.resume()
        raw = Link.release(there.client.carrier)
        raw.send(b"\x17\x03\x03\x00\x05rubbishrubbish")
        await eventually(lambda: there.told_server.over)
        assert len(there.told_server.lost) == 1 and there.server.closed
        raw.close()


async def test_a_carried_link_gives_no_socket_away() -> None:
    async with nested() as there:
        with pytest.raises(TypeError, match="no socket"):
            there.client.release()
        assert not there.client.closed
