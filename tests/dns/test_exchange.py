"""One upstream by UDP, TCP, TLS and HTTPS: what is sent, what is taken for an answer, what is tried again."""

import asyncio
from pathlib import Path

import pytest

from steering_dns import Forwarder, exchange, parse_upstream
from steering_dns.exchange import MAX_FORGERIES, NO_EDNS, mixed_case, query_for, question_for
from steering_dns.forwarder import ForwardError
from tests.dns.secure import HttpsUpstream, https_upstream, tls_upstream
from tests.dns.upstream import UpstreamServer
from tests.dns.world import RECORDS, world

NAME = b"\6pinned\7example\0"


async def test_tls_is_verified(tmp_path: Path) -> None:
    async with tls_upstream(tmp_path) as (upstream, port, trust):
        for name, good in (("dns.test", True), ("other.test", False)):
            forwarder = Forwarder(trust)
            ask = forwarder.ask((parse_upstream(f"tls://127.0.0.1:{port}#{name}"),), NAME, 1, 0, within_s=3)
            if good:
                assert b"\xcb\0\x71\x0a" in await ask
            else:
                with pytest.raises(ForwardError, match="certificate"):
                    await ask
            forwarder.close()
        assert len(upstream.asked) == 1


async def test_questions_share_one_stream(tmp_path: Path) -> None:
    async with tls_upstream(tmp_path) as (_, port, trust):
        forwarder = Forwarder(trust)
        group = (parse_upstream(f"tls://127.0.0.1:{port}#dns.test"),)
        replies = await asyncio.gather(*(forwarder.ask(group, NAME, rtype, 0, within_s=3) for rtype in (1, 28, 65)))
        assert [int.from_bytes(reply[6:8], "big") for reply in replies] == [1, 1, 1]
        forwarder.close()


async def test_same_questions_are_asked_once() -> None:
    async with world() as w:
        w.upstream.chaos.delay_s = 0.2
        found = await asyncio.gather(*(w.answer("pinned.example") for _ in range(10)))
        assert found == [("NOERROR", ["A 203.0.113.10"])] * 10
        assert w.upstream.asked.count(("pinned.example.", "A")) == 1


def test_nothing_of_the_client_goes_upstream_but_the_question() -> None:
    question = question_for(NAME, 28)
    assert query_for(b"\1\2", question, 3) == (
        b"\1\2\1\x10\0\1\0\0\0\0\0\1" + question + b"\0\0\x29\x04\xd0\0\0\x80\0\0\0"
    )
    assert query_for(b"\1\2", question, NO_EDNS) == b"\1\2\1\0\0\1\0\0\0\0\0\0" + question
    assert mixed_case(NAME).lower() == NAME
    assert len({mixed_case(NAME) for _ in range(50)}) > 10


async def ask(forwarder: Forwarder, upstream: str, rtype: int = 1, *, within_s: float = 5) -> bytes:
    return await forwarder.ask((parse_upstream(upstream),), NAME, rtype, 0, within_s=within_s)


@pytest.mark.parametrize(
    ("forgeries", "ports"), [(1, 1), (MAX_FORGERIES - 1, 1), (MAX_FORGERIES, 2), (MAX_FORGERIES + 1, 2)]
)
async def test_forged_replies_do_not_win(monkeypatch: pytest.MonkeyPatch, forgeries: int, ports: int) -> None:
    """A socket that got too many of them is given up, and with it the port that was guessed."""
    monkeypatch.setattr(exchange, "SOCKETS", 1)
    async with UpstreamServer(dict(RECORDS)) as upstream:
        upstream.chaos.forgeries = forgeries
        forwarder = Forwarder()
        assert b"\xcb\0\x71\x0a" in await ask(forwarder, f"udp://127.0.0.1:{upstream.port}")
        upstream.chaos.forgeries = 0
        assert b"\xcb\0\x71\x0a" in await ask(forwarder, f"udp://127.0.0.1:{upstream.port}")
        assert len(set(upstream.clients)) == ports
        forwarder.close()


@pytest.mark.parametrize(("questions", "ports"), [(3, 1), (4, 2), (6, 2), (7, 3)])
async def test_ports_are_changed_after_some_questions(
    monkeypatch: pytest.MonkeyPatch, questions: int, ports: int
) -> None:
    monkeypatch.setattr(exchange, "SOCKETS", 1)
    monkeypatch.setattr(exchange, "QUESTIONS_PER_SOCKET", 3)
    async with UpstreamServer(dict(RECORDS)) as upstream:
        forwarder = Forwarder()
        for _ in range(questions):
            await ask(forwarder, f"udp://127.0.0.1:{upstream.port}")
        assert len(set(upstream.clients)) == ports
        forwarder.close()


async def test_a_reply_that_is_cut_even_by_tcp_is_none() -> None:
    async with UpstreamServer(dict(RECORDS)) as first, UpstreamServer(dict(RECORDS)) as second:
        first.chaos.cut = -1
        forwarder = Forwarder()
        group = tuple(parse_upstream(f"udp://127.0.0.1:{s.port}") for s in (first, second))
        assert (await forwarder.ask(group, NAME, 1, 0, within_s=5))[2] & 2 == 0
        assert (first.by_tcp, len(second.asked)) == (1, 1)
        with pytest.raises(ForwardError, match="cut"):
            await forwarder.ask(group[:1], NAME, 1, 0, within_s=5)
        forwarder.close()


async def test_an_upstream_without_edns_is_asked_without_and_remembered() -> None:
    async with UpstreamServer(dict(RECORDS)) as upstream:
        upstream.chaos.no_edns = -1
        forwarder = Forwarder()
        for _ in range(2):
            assert (await ask(forwarder, f"udp://127.0.0.1:{upstream.port}"))[3] & 15 == 0
        assert len(upstream.asked) == 3
        forwarder.close()


async def test_a_name_that_is_slow_to_resolve_is_waited_for() -> None:
    async with UpstreamServer(dict(RECORDS)) as upstream:
        upstream.chaos.delay_s = 1.3
        forwarder = Forwarder()
        assert b"\xcb\0\x71\x0a" in await ask(forwarder, f"udp://127.0.0.1:{upstream.port}")
        forwarder.close()


async def test_a_connection_that_went_without_a_word_is_replaced() -> None:
    async with UpstreamServer(dict(RECORDS)) as upstream:
        upstream.chaos.mute = 1
        forwarder = Forwarder()
        for _ in range(2):
            assert b"\xcb\0\x71\x0a" in await ask(forwarder, f"tcp://127.0.0.1:{upstream.port}")
        assert upstream.connections == 2
        forwarder.close()


async def test_https_posts_and_keeps_its_connection(tmp_path: Path) -> None:
    async with https_upstream(tmp_path) as (upstream, trust):
        forwarder = Forwarder(trust)
        for _ in range(3):
            assert b"\xcb\0\x71\x0a" in await ask(forwarder, upstream.url)
        assert (
            upstream.seen
            == [("POST", "/dns-query", f"dns.test:{upstream.port}", "application/dns-message", b"\0\0")] * 3
        )
        assert len(upstream.peers) == 1
        forwarder.close()


async def test_https_connections_that_ended_while_idle_are_opened_anew(tmp_path: Path) -> None:
    async with https_upstream(tmp_path) as (upstream, trust):
        forwarder = Forwarder(trust)
        for _ in range(3):
            assert b"\xcb\0\x71\x0a" in await ask(forwarder, upstream.url)
            upstream.hang_up()
        assert len(upstream.peers) == 3
        forwarder.close()


def _misbehave(upstream: HttpsUpstream, **how: object) -> None:
    for switch, value in how.items():
        setattr(upstream, switch, value)


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"status": 500}, "answered 500"),
        ({"status": 302}, "answered 302"),
        ({"media": "text/html"}, "text/html"),
        ({"body": b""}, "another question"),
        ({"body": b"\0" * 65535}, "another question"),
        ({"body": b"\0" * 65536}, "too long"),
        ({"certificate_for": "other.test"}, "certificate"),
    ],
)
async def test_what_is_no_answer_over_https(tmp_path: Path, how: dict[str, object], why: str) -> None:
    name = str(how.pop("certificate_for", "dns.test"))
    async with https_upstream(tmp_path, name) as (upstream, trust):
        _misbehave(upstream, **how)
        forwarder = Forwarder(trust)
        with pytest.raises(ForwardError, match=why):
            await ask(forwarder, upstream.url)
        forwarder.close()


async def test_an_untrusted_https_upstream_is_passed_over(tmp_path: Path) -> None:
    async with https_upstream(tmp_path) as (upstream, _), UpstreamServer(dict(RECORDS)) as other:
        forwarder = Forwarder()
        group = (parse_upstream(upstream.url), parse_upstream(f"udp://127.0.0.1:{other.port}"))
        assert b"\xcb\0\x71\x0a" in await forwarder.ask(group, NAME, 1, 0, within_s=5)
        assert (upstream.seen, len(other.asked)) == ([], 1)
        forwarder.close()


async def test_the_resolver_forwards_over_https(tmp_path: Path) -> None:
    async with (
        https_upstream(tmp_path) as (upstream, trust),
        world(upstreams=(parse_upstream(upstream.url),), trust=trust) as w,
    ):
        assert await w.answer("pinned.example") == ("NOERROR", ["A 203.0.113.10"])
        assert len((await w.ask("huge.pinned.example", "TXT", tcp=True)).answer[0]) == 20
        assert w.upstream.asked == []
