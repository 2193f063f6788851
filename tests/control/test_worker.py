"""One worker process, spoken to as its parent does."""

import asyncio
import contextlib
import json
import os
import pickle
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from steering.control.channel import Channel, Kind
from steering.control.config import load_config
from steering.control.listening import Listener, Role, listen
from steering.control.points import dns_settings, inspector_settings
from steering.control.worker import Setup, dump_authority, load_authority
from steering.policy import Policy
from steering.policy.transfer import dump
from steering_inspector.authority import new_authority
from tests.control.rigs import enforced_of
from tests.service import RULES, environment


def setup_of(listener: Listener | None = None, number: int = 0) -> Setup:
    config = load_config(None, {"STEERING_DNS_UPSTREAMS": "udp://127.0.0.1:9"}).config
    return Setup(
        number=number,
        dns=dns_settings(config, {}, "word"),
        inspector=inspector_settings(config, frozenset(), frozenset(), "word"),
        trust=(),
        crl_url="",
        descriptors={listener.role: (listener.sockets[number].fileno(),)} if listener else {},
        log_format="json",
        access_log="off",
    )


@dataclass
class Running:
    process: asyncio.subprocess.Process
    channel: Channel

    async def give(self, policy: Policy) -> None:
        for piece in dump(policy):
            await self.channel.send(Kind.PIECE, piece)

    async def report(self, key: str) -> Any:
        """What it says of ``key`` next."""
        async with asyncio.timeout(30):
            while True:
                kind, body = await self.channel.receive()
                assert kind is Kind.REPORT
                content = json.loads(body)
                if key in content:
                    return content[key]

    async def end(self) -> int:
        async with asyncio.timeout(30):
            return await self.process.wait()


@asynccontextmanager
async def worker(
    listener: Listener | None = None, start: tuple[str, str] = ("-m", "steering.control.worker")
) -> AsyncIterator[Running]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    inherited = [sock.fileno() for sock in listener.sockets] if listener else []
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        *start,
        str(theirs.fileno()),
        pass_fds=[theirs.fileno(), *inherited],
        env=environment(),
        stdout=asyncio.subprocess.PIPE,
    )
    theirs.close()
    running = Running(process, await Channel.over(ours))
    await running.channel.send(Kind.SETUP, pickle.dumps(setup_of(listener)))
    await running.channel.send(Kind.AUTHORITY, b"")
    try:
        yield running
    finally:
        running.channel.close()
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def test_it_enforces_what_it_is_given_and_ends_when_told() -> None:
    listener = listen(Role.EXPLICIT, "127.0.0.1", 0, 1)
    async with worker(listener) as running:
        for rules in (RULES, RULES[:1], RULES):
            policy = enforced_of(rules).policy
            await running.give(policy)
            assert await running.report("revision") == policy.revision
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        writer.write(b"GET http://blocked.example/ HTTP/1.1\r\nHost: blocked.example\r\n\r\n")
        assert (await reader.readline()).startswith(b"HTTP/1.1 403 ")
        writer.transport.abort()
        assert "inspector" in await running.report("counters")
        await running.channel.send(Kind.DRAIN, b"1.0")
        assert await running.end() == 0
    listener.close()


async def test_every_policy_is_frozen_and_what_is_unused_is_not() -> None:
    """A walk over 100,000 rules takes longer than a question may; a cycle that is frozen stays for ever."""
    telling = (
        "import gc; freeze, collect = gc.freeze, gc.collect; "
        "gc.freeze = lambda: (print('frozen', flush=True), freeze()); "
        "gc.collect = lambda *which: (print('collected', *which, flush=True), collect(*which)); "
        "from steering.control.worker import main; main()"
    )
    async with worker(start=("-c", telling)) as running:
        for rules in (RULES, RULES[:1], RULES):
            policy = enforced_of(rules).policy
            await running.give(policy)
            assert await running.report("revision") == policy.revision
        await running.channel.send(Kind.DRAIN, b"1.0")
        assert await running.end() == 0
        assert running.process.stdout is not None
        assert await running.process.stdout.read() == b"collected 1\ncollected\nfrozen\n" + 2 * b"collected 1\nfrozen\n"


async def test_it_ends_when_its_parent_is_gone() -> None:
    async with worker() as running:
        policy = enforced_of().policy
        await running.give(policy)
        assert await running.report("revision") == policy.revision
        began = time.monotonic()
        running.channel.close()
        assert await running.end() == 0
        assert time.monotonic() - began < 20


async def test_what_is_no_message_ends_it() -> None:
    """It restarts with a clean head; nothing is guessed."""
    async with worker() as running:
        await running.channel.send(Kind.PIECE, b"not a pickle")
        assert await running.end() != 0


@pytest.mark.parametrize("number", ["TERM", "INT", "HUP"])
async def test_signals_for_the_parent_do_not_end_it(number: str) -> None:
    """A terminal and a service manager send them to the whole group."""
    async with worker() as running:
        first, second = enforced_of(RULES).policy, enforced_of(RULES[:1]).policy
        await running.give(first)
        assert await running.report("revision") == first.revision
        os.kill(running.process.pid, signal.Signals[f"SIG{number}"])
        await running.give(second)
        assert await running.report("revision") == second.revision


def test_an_authority_travels(tmp_path: Path) -> None:
    authority = new_authority(time.time(), name="test")
    found = load_authority(dump_authority(authority))
    assert found is not None
    assert found.certificate.public_bytes(Encoding.DER) == authority.certificate.public_bytes(Encoding.DER)
    assert found.key.private_numbers() == authority.key.private_numbers()
    assert load_authority(dump_authority(None)) is None
