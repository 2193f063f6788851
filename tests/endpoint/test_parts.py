"""What a helper consists of: all of it, or an error and nothing left behind."""

import socket
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from steering.endpoint import parts as parts_module
from steering.endpoint.errors import EndpointError
from steering.endpoint.parts import begin
from steering.endpoint.settings import EndpointSettings
from tests.control.helpers import helpers_rig
from tests.kit import free_port

SETTINGS = EndpointSettings(listen="127.0.0.1:0", access="off")


async def test_the_policy_on_disk_is_in_force_before_anything_is_served(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
        async with AsyncExitStack() as stack:
            parts = await begin(tmp_path / "helper", SETTINGS, credential, stack)
            assert parts.live.bundle is None
            assert await parts.keeper.update()
            revision = parts.keeper.revision
    async with AsyncExitStack() as stack:  # nobody is there any more
        parts = await begin(tmp_path / "helper", SETTINGS, credential, stack)
        assert parts.live.bundle is not None and parts.live.bundle.revision == revision
        assert parts.capturing is None and parts.listening.captured == ()
        assert parts.identifier.trial.tested, "it was tested"


async def test_a_taken_port_leaves_nothing_behind(tmp_path: Path) -> None:
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = free_port()
        settings = EndpointSettings(
            listen=f"127.0.0.1:{port}", transparent_listen=f"127.0.0.1:{taken.getsockname()[1]}", capture=True
        )
        with pytest.raises(EndpointError, match="is taken by another program"):
            async with AsyncExitStack() as stack:
                await begin(tmp_path / "helper", settings, credential, stack)
        with socket.socket() as again:
            again.bind(("127.0.0.1", port))


@pytest.mark.parametrize("problem", ["", "nft refused"])
async def test_without_capture_none_is_left_of_an_older_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: str
) -> None:
    """That it cannot be let go is said, and keeps nobody from serving."""
    asked = []

    def let_go(folder: Path) -> bool:
        asked.append(folder)
        if problem:
            raise EndpointError(problem)
        return True

    monkeypatch.setattr(parts_module, "let_go", let_go)
    async with helpers_rig(tmp_path / "service") as rig:
        credential = await rig.enrolled(tmp_path / "helper")
    async with AsyncExitStack() as stack:
        await begin(tmp_path / "helper", SETTINGS, credential, stack)
    assert asked == [tmp_path / "helper"]
