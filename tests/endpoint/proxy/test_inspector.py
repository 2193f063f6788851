"""Connections to the inspector: one use each, a few ready, none that is dead, and none to somebody else."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address

import pytest

from steering.endpoint.proxy.inspector import InspectorLinks, InspectorUnreachable, Ready, Towards, read_answer, way_out
from steering.policy import UNSEEN
from steering.policy.hosts import Address
from tests.endpoint.proxy.devices import DeviceCa, StandIn, device, stand_in
from tests.endpoint.proxy.rig import bound, limits
from tests.kit import eventually


@asynccontextmanager
async def links(context: object = None, **changed: object) -> AsyncIterator[tuple[InspectorLinks, StandIn]]:
    async def resolve(name: str) -> Sequence[Address]:
        return [ip_address("127.0.0.1")]

    async with stand_in() as inspector:
        found = InspectorLinks(
            context or device().context,  # type: ignore[arg-type]
            limits(**changed),
            resolve,
            asyncio.get_running_loop(),
        )
        taken = []
        take = found.take

        async def remembered(*, fresh: bool = False) -> Ready:
            taken.append(await take(fresh=fresh))
            return taken[-1]

        found.take = remembered  # type: ignore[method-assign]  # what a test takes is closed for it
        try:
            yield found, inspector
        finally:
            found.close()
            for ready in taken:
                ready.link.close()
            await asyncio.sleep(0)


def at(inspector: StandIn) -> tuple[str, ...]:
    return (f"127.0.0.1:{inspector.port}",)


async def test_a_few_are_ready_and_each_is_used_once() -> None:
    async with links(warm=2) as (found, inspector):
        found.use(at(inspector))
        await eventually(lambda: inspector.connections == 2)
        nonces = {(await found.take()).nonce for _ in range(3)}
        assert len(nonces) == 3
        assert found.source == ip_address("127.0.0.1")
        assert (found.revision, found.error) == ("r", "")


async def test_one_that_the_inspector_closed_is_not_given_out() -> None:
    async with links(warm=1) as (found, inspector):
        found.use(at(inspector))
        await eventually(lambda: inspector.writers and found.source is not UNSEEN)
        for writer in list(inspector.writers):
            writer.close()
        await eventually(lambda: not inspector.writers)
        ready = await found.take()
        assert not ready.link.closed


async def test_one_that_has_waited_too_long_is_not_given_out_nor_replaced() -> None:
    async with links(warm=1, warm_s=0.0) as (found, inspector):
        found.use(at(inspector))
        await eventually(lambda: found.source is not UNSEEN)
        found.check(asyncio.get_running_loop().time())
        await eventually(lambda: not inspector.writers)
        assert inspector.connections == 1


async def test_the_inspector_is_asked_now_and_then_how_it_sees_us() -> None:
    async with links(warm=0, source_s=300.0) as (found, inspector):
        found.use(at(inspector))
        await found.take()
        now = asyncio.get_running_loop().time()
        inspector.source = "192.0.2.5"
        found.check(now)
        assert found.source == ip_address("127.0.0.1")
        found.check(now + 301)
        await eventually(lambda: found.source == ip_address("192.0.2.5"))


async def test_after_a_move_to_another_network_the_source_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    async with links(warm=1) as (found, inspector):
        found.use(at(inspector))
        await eventually(lambda: found.source is not UNSEEN)
        monkeypatch.setattr("steering.endpoint.proxy.inspector.way_out", lambda towards: "192.0.2.77")
        found.check(asyncio.get_running_loop().time())
        assert found.source is UNSEEN
        await eventually(lambda: found.source is not UNSEEN)


@pytest.mark.parametrize(("towards", "ours"), [("127.0.0.1", "127.0.0.1"), ("::1", "::1")])
def test_our_address_on_the_way(towards: str, ours: str) -> None:
    assert way_out(Towards(towards, 9)) == ours


@pytest.mark.parametrize(
    ("greeting", "why"),
    [
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "answered 403"),
        (b"HTTP/1.1 200 OK\r\n\r\n", "answered 200"),
        (b"HTTP/1.1 200 OK\r\nSteering-Nonce: n\r\n\r\n", "does not appear to be an IPv4 or IPv6 address"),
        (b"HTTP/1.1 200 OK\r\nSteering-Nonce: n\r\nSteering-Source: 127.0.0.1\r\n\r\nmore", "more than a head"),
        (b"SSH-2.0\r\n\r\n", "HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\n" + b"a" * 20_000, "without end"),
    ],
)
async def test_what_is_no_inspector(greeting: bytes, why: str) -> None:
    async with links(warm=0) as (found, inspector):
        inspector.greeting = greeting
        found.use(at(inspector))
        with pytest.raises(InspectorUnreachable) as caught:
            await found.take()
        assert why in str(caught.value)
        assert found.error == str(caught.value)


async def test_one_of_another_service_is_not_trusted() -> None:
    async with links(DeviceCa("another").device().context, warm=0) as (found, inspector):
        found.use(at(inspector))
        with pytest.raises(InspectorUnreachable, match="certificate is not of this service"):
            await found.take()


async def test_one_under_another_name_is_not_trusted() -> None:
    async with links(warm=0) as (found, inspector):
        found.use((f"proxy.example:{inspector.port}",))
        with pytest.raises(InspectorUnreachable, match="certificate is not of this service"):
            await found.take()


async def test_the_next_is_taken_where_one_does_not_answer_and_that_one_rests() -> None:
    with bound() as silent:  # accepts, and says nothing
        async with links(warm=0, inspector_s=0.2, rest_s=60.0) as (found, inspector):
            found.use((f"127.0.0.1:{silent.getsockname()[1]}", *at(inspector)))
            await found.take()
            silent.setblocking(False)
            silent.accept()[0].close()
            await found.take()
            with pytest.raises(BlockingIOError):
                silent.accept()


async def test_while_all_rest_nobody_waits() -> None:
    with bound() as silent:
        async with links(warm=0, inspector_s=0.2, rest_s=60.0) as (found, _):
            found.use((f"127.0.0.1:{silent.getsockname()[1]}",))
            for _ in range(20):
                with pytest.raises(InspectorUnreachable, match="did not answer in time"):
                    await found.take()
            silent.setblocking(False)
            silent.accept()[0].close()
            with pytest.raises(BlockingIOError):
                silent.accept()


@pytest.mark.parametrize("named", [(), ("nonsense",), ("a..b:1",), ("127.0.0.1:x",)])
async def test_a_policy_that_names_none_that_can_be_asked(named: tuple[str, ...]) -> None:
    async with links(warm=1) as (found, _):
        found.use(named)
        with pytest.raises(InspectorUnreachable):
            await found.take()


async def test_a_new_certificate_makes_new_connections() -> None:
    async with links(warm=1) as (found, inspector):
        found.use(at(inspector))
        await eventually(lambda: found.source is not UNSEEN)
        found.replace_context(device().context)
        await eventually(lambda: inspector.connections == 2 and len(inspector.writers) == 1)


@pytest.mark.parametrize(
    ("head", "answer"),
    [
        (b"HTTP/1.1 200 OK\r\nA: b\r\nC:d: e \r\n\r\n", (200, {"a": "b", "c": "d: e"})),
        (b"HTTP/1.1 403\r\n\r\n", (403, {})),
    ],
)
def test_an_answer(head: bytes, answer: tuple[int, dict[str, str]]) -> None:
    assert read_answer(head) == answer


@pytest.mark.parametrize("head", [b"", b"HTTP/1.0 200 OK\r\n\r\n", b"HTTP/1.1 20\r\n\r\n", b"HTTP/1.1 2000\r\n\r\n"])
def test_no_answer(head: bytes) -> None:
    with pytest.raises(ValueError, match=r"HTTP/1\.1"):
        read_answer(head)
