"""What rules call each system."""

import platform

import pytest

from steering.endpoint.this_system import own_system
from steering.policy import System


@pytest.mark.parametrize(
    ("name", "system"), [("Linux", System.LINUX), ("Darwin", System.MACOS), ("Windows", System.WINDOWS)]
)
def test_own_system(name: str, system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: name)
    assert own_system() is system
