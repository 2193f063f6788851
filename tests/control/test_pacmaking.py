"""PACs come from a process of their own, and whatever happens to it, the next policy's are made all the same."""

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from steering.control.pacmaking import LARGE_BYTES, PacMaking
from steering.pac.errors import PacError
from steering.pac.publish import PacSettings
from steering.policy import Policy
from tests.kit import children_of, eventually
from tests.pac.policies import NOW, policy_of

SETTINGS = PacSettings(inspectors=("a.example:1",))
ENDLESS = "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}"


def makers() -> list[int]:
    return children_of(os.getpid(), "steering.control.pacmaker")


@contextlib.asynccontextmanager
async def making(settings: PacSettings = SETTINGS, deadline_s: float = 60) -> AsyncIterator[PacMaking]:
    made = PacMaking(settings, deadline_s)
    try:
        yield made
    finally:
        await made.close()
        assert makers() == []


def zoom() -> Policy:
    return policy_of({"domains": ["zoom.us"]})


async def test_one_process_makes_the_pacs_of_one_policy_after_the_other() -> None:
    async with making() as pacs:
        assert makers() == []
        await pacs.warm()
        [maker] = makers()
        policies = [zoom(), policy_of({"domains": ["one.example"]}), policy_of()]
        found = await asyncio.gather(*(pacs.make(policy, NOW) for policy in policies))
        assert [each.revision for each in found] == [policy.revision for policy in policies]
        assert makers() == [maker]


async def test_it_gives_way_to_what_answers_clients() -> None:
    async with making() as pacs:
        await pacs.make(zoom(), NOW)
        [maker] = makers()
        assert os.getpriority(os.PRIO_PROCESS, maker) > os.getpriority(os.PRIO_PROCESS, 0)


async def test_a_failed_gate_is_told_and_the_process_stays(tmp_path: Path) -> None:
    (tmp_path / "decide.js.j2").write_text("{{ nothing_like_it }}")
    async with making(replace(SETTINGS, templates=tmp_path)) as pacs:
        with pytest.raises(PacError, match="a PAC template printed"):
            await pacs.make(zoom(), NOW)
        [maker] = makers()
        (tmp_path / "decide.js.j2").unlink()
        assert (await pacs.make(zoom(), NOW)).variants == 1
        assert makers() == [maker]


async def test_a_template_that_never_ends(tmp_path: Path) -> None:
    (tmp_path / "decide.js.j2").write_text(ENDLESS)
    async with making(replace(SETTINGS, templates=tmp_path), deadline_s=2) as pacs:
        await pacs.warm()
        [maker] = makers()
        with pytest.raises(PacError, match="not made within 2 s"):
            await pacs.make(zoom(), NOW)
        assert makers() == [], maker


async def test_a_crash_in_the_middle_is_told_when_it_comes_again(tmp_path: Path) -> None:
    template = tmp_path / "decide.js.j2"
    template.write_text(ENDLESS)
    async with making(replace(SETTINGS, templates=tmp_path)) as pacs:
        asked = asyncio.create_task(pacs.make(zoom(), NOW))
        await eventually(makers, what="the process")
        [first] = makers()
        os.kill(first, signal.SIGKILL)
        await eventually(lambda: makers() not in ([], [first]), what="another try")
        os.kill(makers()[0], signal.SIGKILL)
        with pytest.raises(PacError, match="ended before they were made"):
            await asked
        template.unlink()
        assert (await pacs.make(zoom(), NOW)).variants == 1


async def test_a_crash_in_the_middle_is_made_good(tmp_path: Path) -> None:
    template = tmp_path / "decide.js.j2"
    template.write_text(ENDLESS)
    async with making(replace(SETTINGS, templates=tmp_path)) as pacs:
        asked = asyncio.create_task(pacs.make(zoom(), NOW))
        await eventually(makers, what="the process")
        template.unlink()
        os.kill(makers()[0], signal.SIGKILL)
        assert (await asked).variants == 1


async def test_a_crash_while_nothing_is_made() -> None:
    async with making() as pacs:
        await pacs.make(zoom(), NOW)
        [maker] = makers()
        os.kill(maker, signal.SIGKILL)
        await eventually(lambda: makers() == [], what="its end")
        assert (await pacs.make(zoom(), NOW)).variants == 1


async def test_an_answer_that_nobody_waits_for_is_not_the_next_ones() -> None:
    async with making() as pacs:
        await pacs.warm()
        one, other = zoom(), policy_of({"domains": ["one.example"]})
        gone = asyncio.create_task(pacs.make(one, NOW))
        await asyncio.sleep(0)
        gone.cancel()
        assert (await pacs.make(other, NOW)).revision == other.revision
        assert gone.cancelled()


async def test_who_waits_for_his_turn_may_go() -> None:
    async with making() as pacs:
        first, second = (asyncio.create_task(pacs.make(zoom(), NOW)) for _ in range(2))
        await asyncio.sleep(0)
        second.cancel()
        await first
        assert (await pacs.make(zoom(), NOW)).variants == 1


async def test_what_a_large_job_took_goes_back_with_its_process() -> None:
    async with making() as pacs:
        await pacs.warm()
        before = makers()
        await pacs.make(policy_of({"domains": [f"name-{i}.example" for i in range(LARGE_BYTES // 16)]}), NOW)
        await eventually(makers, what="another process")
        after = makers()
        assert len(before) == len(after) == 1 and before != after
        await pacs.make(zoom(), NOW)
        assert makers() == after


async def test_the_end_of_the_service_ends_it_at_work(tmp_path: Path) -> None:
    (tmp_path / "decide.js.j2").write_text(ENDLESS)
    async with making(replace(SETTINGS, templates=tmp_path)) as pacs:
        asked = asyncio.create_task(pacs.make(zoom(), NOW))
        await eventually(makers, what="the process")
    with pytest.raises(asyncio.CancelledError):
        await asked
