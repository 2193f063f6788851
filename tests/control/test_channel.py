"""Messages between parent and worker over a socket pair."""

import asyncio
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.control.channel import Channel, Kind


async def pair() -> tuple[Channel, Channel]:
    ours, theirs = socket.socketpair()
    return await Channel.over(ours), await Channel.over(theirs)


@given(st.lists(st.tuples(st.sampled_from(Kind), st.binary(max_size=300_000)), max_size=5))
def test_messages_arrive_whole_and_in_order(messages: list[tuple[Kind, bytes]]) -> None:
    async def run() -> None:
        sender, receiver = await pair()

        async def send() -> None:
            for kind, body in messages:
                await sender.send(kind, body)
            sender.close()

        sending = asyncio.create_task(send())
        assert [await receiver.receive() for _ in messages] == messages
        with pytest.raises(EOFError):
            await receiver.receive()
        await sending
        receiver.close()

    asyncio.run(run())


async def test_a_report_is_json() -> None:
    sender, receiver = await pair()
    await sender.report(revision="r", counters={"dns": {"a": 1}})
    assert await receiver.receive() == (Kind.REPORT, b'{"revision": "r", "counters": {"dns": {"a": 1}}}')
    sender.close()
    receiver.close()


@pytest.mark.parametrize(("size", "taken"), [(10, True), (11, False)])
async def test_the_limit(size: int, taken: bool) -> None:
    sender, receiver = await pair()
    await sender.send(Kind.REPORT, bytes(size))
    if taken:
        assert await receiver.receive(10) == (Kind.REPORT, bytes(size))
    else:
        with pytest.raises(ValueError, match="11 bytes"):
            await receiver.receive(10)
    sender.close()
    receiver.close()


@pytest.mark.parametrize("sent", [b"", b"\x05", b"\x05\x00\x00\x00\x05half"])
async def test_the_other_end_dies_in_the_middle(sent: bytes) -> None:
    ours, theirs = socket.socketpair()
    receiver = await Channel.over(ours)
    theirs.send(sent)
    theirs.close()
    assert not receiver.ended
    with pytest.raises(EOFError):
        await receiver.receive()
    assert receiver.ended
    receiver.close()


async def test_an_unknown_kind() -> None:
    ours, theirs = socket.socketpair()
    receiver = await Channel.over(ours)
    theirs.send(b"\xff\x00\x00\x00\x00")
    with pytest.raises(ValueError, match="255"):
        await receiver.receive()
    theirs.close()
    receiver.close()
