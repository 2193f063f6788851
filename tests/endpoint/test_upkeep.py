"""What keeps a helper up to date: put together around parts that serve, and loaded only then."""

import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from steering.endpoint.device import Credential
from steering.endpoint.parts import Parts, begin
from steering.endpoint.settings import EndpointSettings
from steering.endpoint.upkeep import Upkeep, begin_upkeep
from tests.control.helpers import helpers_rig
from tests.service import environment

SETTINGS = EndpointSettings(listen="127.0.0.1:0", access="off")


async def begun(folder: Path, credential: Credential, stack: AsyncExitStack) -> tuple[Parts, Upkeep]:
    parts = await begin(folder, SETTINGS, credential, stack)
    return parts, begin_upkeep(folder, SETTINGS, credential, parts, stack)


async def test_what_is_told_is_that_of_the_parts(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        async with AsyncExitStack() as stack:
            parts, upkeep = await begun(tmp_path / "helper", credential, stack)
            assert await parts.keeper.update()
            parts.links.error = "no inspector"
            await upkeep.heartbeat.beat()
        (row,) = rig.endpoints.listed()["devices"]
        assert row["report"]["revision"] == parts.keeper.revision != ""
        assert row["report"]["error"] == "no inspector"
        assert row["report"]["counters"] == {"connections": 0, "log:dropped": 0}


async def test_what_goes_on_is_all_of_it(tmp_path: Path) -> None:
    """That a renewed certificate is shown: tests/endpoint/test_run.py."""
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
    async with AsyncExitStack() as stack:
        _, upkeep = await begun(tmp_path / "helper", credential, stack)
        works = upkeep.works()
        assert [getattr(work, "__qualname__", "") for work in works] == [
            "BundleWatch.serve",
            "Heartbeat.serve",
            "Reporting.keep_looking",
            "keep_renewed",
        ]
        for work in works:
            work.close()


def test_nothing_that_serves_waits_for_an_http_client() -> None:
    script = (
        "import sys, steering.endpoint.run; print('aiohttp' in sys.modules, 'steering.endpoint.doctor' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], env=environment(), capture_output=True, text=True, timeout=60)
    assert done.stdout == "False False\n", done.stderr
