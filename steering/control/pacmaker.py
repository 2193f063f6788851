"""The process that makes PACs: ``python -m steering.control.pacmaker FD``, started by ``pacmaking``.

Planning, packing and trying out the PACs of 100,000 names is seconds of work.  Here it holds up nobody, gives way to
everything that answers clients, and may fail in any manner: with a template that never ends, without memory, with an
engine that crashes.
"""

import asyncio
import contextlib
import gc
import os
import pickle
import signal
import socket
import sys
from dataclasses import dataclass

from steering.control.channel import Channel, Kind
from steering.pac.publish import PacSet, PacSettings
from steering.policy import CategoryTable, Policy, PolicyError, ReservedSettings, RulesModel, compile_policy, rule_set

DEADLINE_S = 300  # 64 kinds of requesters of 100,000 names take about two minutes
NICE = 5  # a third of the processor where others want it too


@dataclass(frozen=True, slots=True, kw_only=True)
class PacJob:
    """What PACs are made of.  rules: as JSON, which costs the sender milliseconds; compiled, it would be seconds."""

    rules: bytes
    categories: CategoryTable
    reserved: ReservedSettings
    revision: str
    at: float
    settings: PacSettings


def job_of(policy: Policy, at: float, settings: PacSettings) -> PacJob:
    """The PACs of ``policy`` at the instant ``at``."""
    return PacJob(
        rules=policy.rule_set.model.model_dump_json(by_alias=True).encode("utf-8", "surrogatepass"),
        categories=policy.rule_set.categories,
        reserved=policy.settings,
        revision=policy.revision,
        at=at,
        settings=settings,
    )


def perform(job: PacJob) -> PacSet:
    """Raises PacError for PACs that do not pass their gates, PolicyError for rules that are not what was sent."""
    model = RulesModel.model_validate_json(job.rules)
    policy = compile_policy(rule_set(model, job.categories), job.reserved)
    if policy.revision != job.revision:
        raise PolicyError("the rules did not survive the way to the process that makes PACs")
    return PacSet(policy, job.at, job.settings)


def answer(body: bytes) -> tuple[Kind, bytes]:
    """What is sent back for a job."""
    try:
        pacs = perform(pickle.loads(body))  # noqa: S301  # from our own parent (channel)
        return Kind.PACS, pickle.dumps(pacs, pickle.HIGHEST_PROTOCOL)
    except Exception as exc:  # whatever a template or an engine does
        why = str(exc) if isinstance(exc, ValueError) else f"{type(exc).__name__}: {exc}"
        return Kind.NO_PACS, why.encode("utf-8", "replace")


def warm_up() -> None:
    """Make a small set once: what is read, compiled and loaded at the first time is then no part of a job."""
    rules = RulesModel.model_validate({"rules": [{"name": "warm", "domains": ["warm.example.com"]}]})
    PacSet(compile_policy(rule_set(rules)), 0.0, PacSettings(inspectors=("warm.example:1",)))


async def _main(descriptor: int) -> None:
    channel = await Channel.over(socket.socket(fileno=descriptor))
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            _, body = await channel.receive()
            signal.alarm(DEADLINE_S + 5)  # ends the process where the parent, who waits less, is gone
            gc.disable()  # a job makes much and drops little: the collector would walk it in vain, a fifth of the time
            kind, found = answer(body)
            gc.enable()
            signal.alarm(0)
            await channel.send(kind, found)


def main() -> None:
    # A terminal's signals reach the whole group; the parent decides, by closing the channel.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.umask(0o077)
    with contextlib.suppress(OSError):  # a sandbox may refuse it; then it is made all the same
        os.nice(NICE)
    warm_up()
    gc.freeze()
    asyncio.run(_main(int(sys.argv[1])))


if __name__ == "__main__":
    main()
