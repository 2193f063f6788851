"""Workers are kept alive, all with the policy in force; what they had counted outlives them."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from steering.control import supervisor as module
from steering.control.supervisor import Supervisor
from steering.policy import Policy
from tests.control.rigs import enforced_of
from tests.control.test_worker import setup_of
from tests.kit import eventually
from tests.service import RULES


def workers() -> list[int]:
    """Workers that this process has started."""
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    return [
        pid for pid in map(int, children) if b"steering.control.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]


def policies() -> tuple[Policy, Policy]:
    return enforced_of(RULES).policy, enforced_of(RULES[:1]).policy


@asynccontextmanager
async def supervisor(number: int, policy: Policy) -> AsyncIterator[Supervisor]:
    made = Supervisor([setup_of(number=i) for i in range(number)])
    try:
        await made.start(policy, None)
        yield made
    finally:
        await made.stop(0.1)
        assert workers() == []


async def test_started_published_and_stopped() -> None:
    first, second = policies()
    async with supervisor(2, first) as made:
        assert (made.alive, made.restarts, len(workers())) == (2, 0, 2)
        await made.publish(second)
        assert made.alive == 2
        await made.publish(second)  # nothing to send
        assert made.alive == 2


async def test_a_worker_that_is_killed_comes_back_with_the_policy_in_force() -> None:
    first, second = policies()
    async with supervisor(2, first) as made:
        os.kill(workers()[0], signal.SIGKILL)
        await made.publish(second)  # while it is away, and without waiting for it where it is gone already
        await eventually(lambda: made.restarts == 1 and made.alive == 2, 30, "it is back")


async def test_a_worker_that_does_not_take_a_policy_is_ended() -> None:
    """It would go on enforcing what was withdrawn, and every later reload would wait for it."""
    first, second = policies()
    async with supervisor(2, first) as made:
        stuck = workers()[0]
        os.kill(stuck, signal.SIGSTOP)
        await made.publish(second, timeout_s=0.5)
        await eventually(lambda: made.alive == 2, 30, "another took its place")
        assert stuck not in workers()


async def test_whether_anything_is_served() -> None:
    first, second = policies()
    assert Supervisor([]).serving, "nothing needs a worker"
    assert not Supervisor([setup_of(number=0)]).serving
    async with supervisor(1, first) as made:
        assert made.serving
        os.kill(workers()[0], signal.SIGSTOP)
        publishing = asyncio.create_task(made.publish(second, 1.0))
        await eventually(lambda: made.alive == 0, what="the new policy is not in force yet")
        assert made.serving, "the policy before is"
        await publishing
        await eventually(lambda: not made.serving, what="the end of the worker that did not take it")
        await eventually(lambda: made.serving and made.alive == 1, 30, "the next one")


async def test_counters_are_summed_and_outlive_their_worker() -> None:
    first, _ = policies()
    async with supervisor(1, first) as made:
        await eventually(lambda: "dns:cache:entries" in made.counters(), 30, "the first report")
        before = made.counters()
        os.kill(workers()[0], signal.SIGKILL)
        await eventually(lambda: made.restarts == 1, 30, "its end is seen")
        kept = made.counters()
        assert "dns:cache:entries" not in kept and "inspector:connections" not in kept, "what was open is not"
        assert {name for name in before if name.endswith(("asked", "dropped"))} <= set(kept)


async def test_processes_that_cannot_be_started_are_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = policies()
    made = Supervisor([setup_of()])
    real = asyncio.create_subprocess_exec
    refusals = [OSError(11, "Resource temporarily unavailable")]

    async def refusing(*arguments: object, **options: object) -> asyncio.subprocess.Process:
        if refusals:
            raise refusals.pop()
        return await real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "BACK_OFF_S", (0.01, 0.01))
    monkeypatch.setattr(asyncio, "create_subprocess_exec", refusing)
    try:
        await made.start(first, None)
        assert made.alive == 1
    finally:
        await made.stop(0.1)
