"""A link: bytes and TLS on a bare descriptor, at the pace of the slower side, to its clean or unclean end."""

import asyncio
import socket
import ssl

import pytest

from steering.streams.link import Link
from tests.inspector.origin import inspector_ca, origin_ca
from tests.kit import eventually
from tests.streams.links import Room, Told, pair, secured


async def test_bytes_pass_and_are_counted() -> None:
    async with pair() as (one, _, two, told):
        two.resume()
        one.write(b"hello ")
        one.write(b"")
        one.write(b"there")
        await eventually(lambda: told.got == b"hello there")
        assert (one.sent, two.received, one.unsent) == (11, 11, 0)


async def test_a_paused_link_reads_nothing() -> None:
    async with pair() as (one, _, two, told):
        two.resume()
        one.write(b"a")
        await eventually(lambda: told.got == b"a")
        two.pause()
        assert not two.reading
        one.write(b"b")
        one.finish()
        await asyncio.sleep(0)
        assert (told.got, told.ends) == (b"a", [])
        two.resume()
        await eventually(lambda: told.ends == [True])
        assert told.got == b"ab"


async def test_what_the_peer_does_not_take_is_kept_and_told() -> None:
    """Congested above the high-water mark, drained below a quarter of it; nothing is lost."""
    data = bytes(range(256)) * 8192  # 2 MiB
    async with pair(Room(high_water_bytes=100_000)) as (one, told_one, two, told):
        one.write(data)
        assert one.congested and one.unsent > 100_000
        one.finish()
        assert not one.finished
        two.resume()
        await eventually(lambda: told.ends == [True])
        assert (told.got == data, one.congested, one.finished, told_one.drained) == (True, False, True, 1)


@pytest.mark.parametrize(("over", "congested"), [(-1, False), (0, False), (1, True)])
async def test_the_high_water_mark(over: int, congested: bool) -> None:
    async with pair(Room(high_water_bytes=50_000)) as (one, _, _two, _told):
        block = bytes(4096)
        while not one.unsent:
            one.write(block)
        one.write(bytes(50_000 + over - one.unsent))
        assert (one.unsent, one.congested) == (50_000 + over, congested)


async def test_tls_carries_bytes_both_ways_and_half_closes() -> None:
    async with secured() as (client, told_client, server, told_server):
        assert client.tls is not None and client.tls.selected_alpn_protocol() == "http/1.1"
        client.write(b"question")
        client.finish()
        await eventually(lambda: told_server.ends == [True])
        assert told_server.got == b"question"
        server.write(b"answer" * 100_000)
        server.finish()
        await eventually(lambda: told_client.ends == [True])
        assert told_client.got == b"answer" * 100_000
        assert not (told_client.lost or told_server.lost)


async def test_tls_comes_one_byte_at_a_time() -> None:
    """A server whose client's first flight was read by somebody else, and dribbles in."""
    out, into = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = inspector_ca().trusting().wrap_bio(into, out, server_hostname="www.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    hello = out.read()
    async with pair() as (client, told_client, server, told_server):
        client.resume()
        server.secure(inspector_ca().context("www.example"), server_side=True, first=hello[:7])
        for byte in hello[7:]:
            client.write(bytes((byte,)))
        fed = 0
        while not told_server.secured:
            await eventually(lambda: len(told_client.got) > fed or told_server.secured)  # noqa: B023
            into.write(told_client.got[fed:])
            fed = len(told_client.got)
            try:
                tls.do_handshake()
                tls.write(b"hello")
            except ssl.SSLWantReadError:
                continue
            for byte in out.read():
                client.write(bytes((byte,)))
            await eventually(lambda: told_server.got == b"hello")


@pytest.mark.parametrize(
    ("trust", "alert"),
    [(origin_ca, "TLSV1_ALERT_UNKNOWN_CA"), (None, "SSLV3_ALERT_BAD_CERTIFICATE")],
)
async def test_the_clients_alert_is_seen(trust: object, alert: str) -> None:
    """This is the evidence for pinned certificates."""
    context = origin_ca().trusting() if trust else inspector_ca().trusting()
    async with pair() as (client, told_client, server, told_server):
        name = "www.example" if trust else "other.example"
        server.secure(inspector_ca().context("www.example"), server_side=True)
        client.secure(context, server_side=False, server_hostname=name)
        await eventually(lambda: told_server.over)
        (error,) = told_server.lost
        assert isinstance(error, ssl.SSLError) and error.reason == alert
        assert isinstance(told_client.lost[0], ssl.SSLCertVerificationError)
        assert client.closed and server.closed


async def test_an_end_without_close_notify_is_unclean() -> None:
    async with secured() as (client, _, _server, told_server):
        client.write(b"partial")
        client.close()
        await eventually(lambda: told_server.over)
        assert (told_server.got, told_server.ends) == (b"partial", [False])


async def test_rubbish_within_tls_breaks_the_link_once() -> None:
    async with secured() as (client, _, server, told_server):
        raw = client.release()
        raw.send(b"\x17\x03\x03\x00\x05rubbishrubbish")
        await eventually(lambda: told_server.over)
        assert len(told_server.lost) == 1 and server.closed
        raw.close()


async def test_a_plain_end_is_clean_and_a_reset_is_not() -> None:
    async with pair() as (one, _, two, told):
        two.resume()
        one.finish()
        await eventually(lambda: told.ends == [True])
        two.write(b"still heard")  # half-closed
        one.resume()
    loop, told = asyncio.get_running_loop(), Told()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.setblocking(False)
        link = Link(accepted, loop, Room(), told)
        link.resume()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        client.close()
        await eventually(lambda: told.over)
        assert isinstance(told.lost[0], ConnectionResetError) and link.closed


async def test_what_the_peer_said_before_it_stopped_taking_is_read() -> None:
    """413 and close: our next write fails, but the answer was already on its way."""
    loop, told = asyncio.get_running_loop(), Told()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        accepted, _ = listener.accept()
        accepted.setblocking(False)
        link = Link(accepted, loop, Room(), told)
        peer.sendall(b"HTTP/1.1 413 Too Large\r\n\r\n")
        peer.shutdown(socket.SHUT_RDWR)
        peer.close()
        while not link.closed and not told.got:
            link.write(bytes(65536))
            await asyncio.sleep(0)
        await eventually(lambda: told.over)
        assert told.got == b"HTTP/1.1 413 Too Large\r\n\r\n"
        link.close()


async def test_a_released_socket_lives_on() -> None:
    async with pair() as (one, _, two, told):
        two.resume()
        sock = one.release()
        assert one.closed
        one.write(b"not sent")
        sock.send(b"raw")
        await eventually(lambda: told.got == b"raw")
        sock.close()
