"""docs/deploy/container.md, followed line by line as far as podman goes; compose.yaml has tests of its own."""

from pathlib import Path

import pytest

from tests.container.engine import IMAGE, Engine
from tests.kit import ROOT
from tools.doc_walks import Command, items

pytestmark = [
    pytest.mark.kernel("containers"),
    pytest.mark.needs("podman", "container-base", "curl", "root", "ip", "unshare"),
]

PAGE = (ROOT / "docs/deploy/container.md").read_text("utf-8")
# Not walked: compose; the build, of which all tests here use the outcome; what is not whole.
WALKED = [
    item.text
    for item in items(PAGE)
    if isinstance(item, Command) and not item.text.startswith(("docker", "podman build")) and "..." not in item.text
]


def test_the_guide_can_be_followed(engine: Engine, tmp_path: Path) -> None:
    """After ``podman run`` a reader looks whether it is there; nobody types that fast."""
    engine.podman("tag", IMAGE, "localhost/steering:local")
    assert any(command.startswith("podman run -d") for command in WALKED) and len(WALKED) > 6
    for command in WALKED:
        done = engine.command("sh", "-c", command, folder=tmp_path)
        assert done.code == 0, (command, done)
        if command.startswith("podman run -d"):
            engine.wait_until_ready("steering-1")
        if "issuer" in command:
            assert "Steering inspection CA" in done.out
        if "explain" in command:
            assert done.out.startswith("zoom.us: bypass")
    assert "PRIVATE KEY" in engine.podman(
        "run", "--rm", "--entrypoint=cat", "--volume=restored-state:/state", IMAGE, "/state/ca/ca.key"
    )
