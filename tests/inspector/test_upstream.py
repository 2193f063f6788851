"""The pool of origin connections: what is dialled, what is kept, what is never used again."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

import pytest

from steering.policy.hosts import Address
from steering_inspector import upstream
from steering_inspector.settings import Limits
from steering_inspector.upstream import DialError, Origin, OriginLink, Upstreams
from tests.inspector.origin import DAY, inspector_ca, origin_ca, running_origin
from tests.inspector.origin import Origin as Server
from tests.kit import eventually, free_port

V4, V4_2 = ip_address("127.0.0.1"), ip_address("127.0.0.2")


class Asks:
    """Who waits for a response."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = False

    def on_origin_bytes(self, data: bytes) -> None:
        self.got += data

    def on_origin_eof(self, clean: bool) -> None:
        self.ended = True

    def on_origin_lost(self, error: Exception) -> None:
        self.ended = True

    def on_origin_drained(self) -> None: ...


@dataclass
class Pool:
    """A pool before one server.  names: what it resolves to; refused: what the guard refuses."""

    upstreams: Upstreams
    server: Server
    names: dict[str, Sequence[Address] | Exception] = field(default_factory=dict)
    refused: dict[Address, str] = field(default_factory=dict)
    asked: list[tuple[Address, int, bool]] = field(default_factory=list)

    def origin(self, host: str = "www.example", *, tls: bool = True) -> Origin:
        return Origin(tls, host, self.server.port)

    async def dial(self, origin: Origin) -> OriginLink:
        done: asyncio.Future[OriginLink] = asyncio.get_running_loop().create_future()
        self.upstreams.dial(origin, done.set_result, done.set_exception)
        return await done

    async def connect(self, host: str, port: int) -> tuple[socket.socket, Address]:
        done: asyncio.Future[tuple[socket.socket, Address]] = asyncio.get_running_loop().create_future()
        origin = Origin(False, host, port)
        self.upstreams.connect(origin, lambda *made: done.set_result(made), done.set_exception)
        return await done

    async def used(self, origin: Origin) -> OriginLink:
        """Dial and ask once, so that there is something to keep."""
        link = await self.dial(origin)
        await self.ask(link)
        return link

    async def ask(self, link: OriginLink) -> None:
        asks = Asks()
        link.asker = asks
        link.link.write(b"GET /hello HTTP/1.1\r\nHost: www.example\r\n\r\n")
        await eventually(lambda: asks.got.endswith(b"hello\n"))


@asynccontextmanager
async def pool(
    limits: Limits | None = None, server: ssl.SSLContext | None = None, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Pool]:
    async with running_origin(server or origin_ca().context("www.example", "127.0.0.1")) as origin:
        loop = asyncio.get_running_loop()

        async def resolve(name: str) -> Sequence[Address]:
            found = there.names.get(name, [V4])
            if isinstance(found, Exception):
                raise found
            return found

        def guard(address: Address, port: int, guarded: bool) -> str | None:
            there.asked.append((address, port, guarded))
            return there.refused.get(address)

        context = trust or origin_ca().trusting()
        context.hostname_checks_common_name = False
        upstreams = Upstreams(
            limits=limits or Limits(),
            context=context,
            resolve=resolve,
            guard=guard,
            loop=loop,
        )
        there = Pool(upstreams, origin)
        try:
            yield there
        finally:
            upstreams.close()


async def test_a_connection_is_kept_and_taken_again() -> None:
    async with pool() as there:
        link = await there.used(there.origin())
        there.upstreams.give_back(link)
        assert there.upstreams.counts == {"origin_connections": 1, "origin_idle": 1}
        assert there.upstreams.take(there.origin("other.example"), repeatable=True) is None
        again = there.upstreams.take(there.origin(), repeatable=True)
        assert again is link and link.reused
        assert there.upstreams.counts == {"origin_connections": 1, "origin_idle": 0}
        assert there.upstreams.take(there.origin(), repeatable=True) is None


async def test_a_reserved_name_that_is_opened_up_has_connections_of_its_own() -> None:
    async with pool() as there:
        there.upstreams.give_back(await there.used(there.origin()))
        assert there.upstreams.take(there.origin()._replace(guarded=True), repeatable=True) is None
        await there.used(there.origin()._replace(guarded=True))
        assert [guarded for _, _, guarded in there.asked] == [False, True]


@pytest.mark.parametrize("kept", [0, 1, 2, 3])
async def test_as_many_are_kept_for_an_origin_as_the_limit_says(kept: int) -> None:
    async with pool(Limits(max_pool_idle_per_origin=2)) as there:
        links = [await there.used(there.origin()) for _ in range(kept)]
        for link in links:
            there.upstreams.give_back(link)
        assert there.upstreams.counts["origin_idle"] == min(kept, 2)


@pytest.mark.parametrize("kept", [2, 3, 4])
async def test_as_many_are_kept_in_all_as_the_limit_says(kept: int) -> None:
    async with pool(Limits(max_pool_idle=3), server=origin_ca().context("*.w.example")) as there:
        for number in range(kept):
            there.upstreams.give_back(await there.used(there.origin(f"{number}.w.example")))
        assert there.upstreams.counts["origin_idle"] == min(kept, 3)
        assert (there.upstreams.take(there.origin("0.w.example"), repeatable=True) is None) == (kept > 3)


async def test_bytes_that_answer_nothing_close_a_connection() -> None:
    async with pool() as there:
        link = await there.used(there.origin())
        there.upstreams.give_back(link)
        (writer,) = there.server.writers
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        await eventually(lambda: link.link.closed)
        assert there.upstreams.counts == {"origin_connections": 0, "origin_idle": 0}


async def test_what_the_origin_closes_is_forgotten() -> None:
    async with pool() as there:
        there.upstreams.give_back(await there.used(there.origin()))
        (writer,) = there.server.writers
        writer.close()
        await eventually(lambda: there.upstreams.counts["origin_idle"] == 0)
        assert there.upstreams.take(there.origin(), repeatable=True) is None


async def test_what_is_idle_for_too_long_is_closed() -> None:
    async with pool(Limits(pool_idle_s=30)) as there:
        link = await there.used(there.origin())
        there.upstreams.give_back(link)
        there.upstreams.check(link.idle_since + 30)
        assert there.upstreams.counts["origin_idle"] == 1
        there.upstreams.check(link.idle_since + 30.1)
        assert there.upstreams.counts["origin_idle"] == 0 and link.link.closed


@pytest.mark.parametrize(
    ("age_s", "repeatable", "taken"),
    [(1, False, True), (5, False, False), (5, True, True), (31, True, False)],
)
async def test_what_may_not_be_repeated_gets_what_was_just_used(age_s: float, repeatable: bool, taken: bool) -> None:
    async with pool() as there:
        link = await there.used(there.origin())
        there.upstreams.give_back(link)
        link.idle_since -= age_s
        assert (there.upstreams.take(there.origin(), repeatable=repeatable) is link) is taken


def resumed(*links: OriginLink) -> list[bool]:
    return [link.link.tls.session_reused for link in links if link.link.tls]


async def test_sessions_are_resumed() -> None:
    async with pool() as there:
        first = await there.used(there.origin())
        there.upstreams.give_back(first)
        assert there.upstreams.take(there.origin(), repeatable=True) is first
        second = await there.used(there.origin())
        other = await there.used(there.origin("127.0.0.1"))
        first.close()
        third = await there.used(there.origin())
        assert resumed(first, second, other, third) == [False, True, False, True]


async def test_the_session_of_an_origin_that_was_met_once_is_not_taken() -> None:
    """Taking it costs a fifth of a millisecond."""
    async with pool() as there:
        links = []
        for _ in range(3):
            links.append(await there.used(there.origin()))
            there.upstreams.give_back(links[-1])
            links[-1].close()
        links.append(await there.used(there.origin()))
        assert resumed(*links) == [False, False, True, True]


async def test_a_session_lives_for_an_hour_from_its_verification(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pool() as there:
        first = await there.used(there.origin())
        there.upstreams.give_back(first)
        monkeypatch.setattr(upstream, "SESSION_LIFE_S", there.upstreams.loop.time() - first.verified_at + 60)
        assert there.upstreams.session(there.origin()) is not None
        monkeypatch.setattr(upstream, "SESSION_LIFE_S", 0.0)
        assert there.upstreams.session(there.origin()) is None


async def test_another_trust_resumes_no_session_and_uses_no_connection_of_the_old_one() -> None:
    """A resumed handshake verifies nothing: what is no longer trusted would go on being believed."""
    async with pool() as there:
        kept, busy = await there.used(there.origin()), await there.used(there.origin())
        there.upstreams.give_back(kept)
        there.upstreams.replace_trust(inspector_ca().trusting())
        assert there.upstreams.counts["origin_idle"] == 0 and kept.link.closed
        there.upstreams.give_back(busy)
        assert there.upstreams.counts == {"origin_connections": 0, "origin_idle": 0} and busy.link.closed
        with pytest.raises(DialError) as refused:
            await there.dial(there.origin())
        assert refused.value.reason == "origin-unknown-issuer"
        there.upstreams.replace_trust(origin_ca().trusting())
        again = await there.used(there.origin())
        assert again.link.tls is not None and not again.link.tls.session_reused


async def test_the_very_address_that_was_checked_is_dialled() -> None:
    async with pool() as there:
        there.names["www.example"] = [V4_2, V4]
        there.refused[V4_2] = "loopback"
        link = await there.dial(there.origin())
        assert link.link.sock.getpeername()[0] == "127.0.0.1"
        assert there.asked == [(V4_2, there.server.port, False), (V4, there.server.port, False)]


async def test_each_dial_is_checked_anew() -> None:
    """DNS rebinding: the name leads elsewhere the second time."""
    async with pool() as there:
        await there.dial(there.origin())
        there.refused[V4] = "loopback"
        with pytest.raises(DialError) as refused:
            await there.dial(there.origin())
        assert (refused.value.reason, refused.value.why) == ("destination", "loopback")


async def test_the_next_address_is_tried() -> None:
    async with pool() as there:
        there.names["www.example"] = [ip_address("127.0.0.3"), V4]  # nobody listens on the first
        assert (await there.dial(there.origin())).link.sock.getpeername()[0] == "127.0.0.1"


async def test_an_address_that_does_not_answer_costs_a_moment() -> None:
    """A listener whose queue is full drops what comes; the next address is tried beside it."""
    with socket.socket() as full:
        full.bind(("127.0.0.4", 0))
        full.listen(0)
        port = full.getsockname()[1]
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.4", port))
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
        async with server, pool(Limits(connect_s=30, dial_s=20)) as there:
            there.names["www.example"] = [ip_address("127.0.0.4"), V4]
            sock, address = await there.connect("www.example", port)
            assert (address, sock.getpeername()[0]) == (V4, "127.0.0.1")
            sock.close()
        for filler in fillers:
            filler.close()


async def test_a_name_that_is_known_is_not_waited_for() -> None:
    async with pool() as there:
        there.upstreams.resolve = lambda name: [V4]
        assert (await there.dial(there.origin())).link.secured


async def test_what_is_still_dialled_at_the_end_is_dropped() -> None:
    over, ends = asyncio.Event(), list[object]()

    async def never(name: str) -> Sequence[Address]:
        await over.wait()
        return []

    async with pool() as there:
        there.upstreams.resolve = never
        there.upstreams.dial(there.origin(), ends.append, ends.append)
        await asyncio.sleep(0)
        assert len(there.upstreams.dialling) == 1
        there.upstreams.close()
        over.set()
        await asyncio.sleep(0)
        assert (ends, len(there.upstreams.dialling)) == ([], 0)


@pytest.mark.parametrize(("listed", "reason"), [(7, None), (8, "origin-unreachable")])
async def test_so_many_addresses_are_tried_and_no_more(listed: int, reason: str | None) -> None:
    async with pool() as there:
        there.names["www.example"] = [ip_address("127.0.0.3")] * listed + [V4]
        if reason is None:
            assert await there.dial(there.origin())
            return
        with pytest.raises(DialError) as failed:
            await there.dial(there.origin())
        assert failed.value.reason == reason


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ([], "name-unknown"),
        (RuntimeError("SERVFAIL"), "name-failed"),
        (TimeoutError(), "origin-timeout"),
        ([ip_address("127.0.0.3")], "origin-unreachable"),
    ],
)
async def test_a_name_that_leads_nowhere(found: Sequence[Address] | Exception, reason: str) -> None:
    async with pool() as there:
        there.names["www.example"] = found
        with pytest.raises(DialError) as failed:
            await there.dial(there.origin())
        assert failed.value.reason == reason


@pytest.mark.parametrize(
    ("server", "reason"),
    [
        (origin_ca().context("other.example"), "origin-wrong-name"),
        (origin_ca().context("www.example", san=False), "origin-wrong-name"),
        (origin_ca().context("www.example", back=5 * DAY, ahead=-DAY), "origin-expired"),
        (inspector_ca().context("www.example"), "origin-unknown-issuer"),
    ],
)
async def test_an_origin_that_is_not_believed_is_not_kept(server: ssl.SSLContext, reason: str) -> None:
    async with pool(server=server) as there:
        with pytest.raises(DialError) as refused:
            await there.dial(there.origin())
        assert (refused.value.reason, refused.value.address) == (reason, V4)
        assert there.upstreams.counts == {"origin_connections": 0, "origin_idle": 0}


async def test_an_origin_that_speaks_no_tls() -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    async with server, pool() as there:
        with pytest.raises(DialError) as refused:
            await there.dial(Origin(True, "www.example", server.sockets[0].getsockname()[1]))
        assert refused.value.reason == "origin-not-tls"


async def test_an_origin_that_says_nothing_in_its_handshake() -> None:
    over = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    async with server, pool(Limits(handshake_s=0.2)) as there:
        with pytest.raises(DialError) as refused:
            await there.dial(Origin(True, "www.example", server.sockets[0].getsockname()[1]))
        assert refused.value.reason == "origin-timeout"
        assert there.upstreams.counts["origin_connections"] == 0
        over.set()


async def test_nobody_listens() -> None:
    async with pool() as there:
        with pytest.raises(DialError) as failed:
            await there.dial(Origin(True, "www.example", free_port()))
        assert (failed.value.reason, failed.value.why) == ("origin-unreachable", "it refuses connections")
