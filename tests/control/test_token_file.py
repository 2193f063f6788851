"""A fresh enrolment token lies in a file that its owner alone can read, and works."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from steering.control import token_file
from steering.control.token_file import keep_token
from steering.endpoint.enrol import enrol
from tests.control.helpers import helpers_rig
from tests.kit import eventually


async def test_a_token_that_is_kept_fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_file, "AGAIN_S", 0.05)
    file = tmp_path / "join" / "token"
    async with helpers_rig(tmp_path / "control") as rig:
        monkeypatch.setattr(token_file, "RETRY_S", 0.05)
        task = asyncio.create_task(keep_token(file, rig.endpoints))
        try:
            await eventually(lambda: rig.endpoints.listed()["tokens"] != [], what="it tries, without a folder")
            file.parent.mkdir()
            await eventually(file.exists)
            first = file.read_text("ascii")
            await eventually(lambda: file.read_text("ascii") != first, what="another one")
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        assert file.stat().st_mode & 0o777 == 0o600
        await enrol(file.read_text("ascii"), tmp_path / "device")
