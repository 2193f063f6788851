"""The certificate store's commands, as plans: constructed, not recorded on Windows."""

from pathlib import Path

import pytest

from steering.endpoint.install.actions import Command
from steering.endpoint.install.trust import windows
from tests.endpoint.install.ground import ground


@pytest.mark.parametrize(("everybody", "whose"), [(True, ()), (False, ("-user",))])
def test_plan(tmp_path: Path, everybody: bool, whose: tuple[str, ...]) -> None:
    machine = ground(tmp_path / "root", system="windows", everybody=everybody).machine
    (step,) = windows.steps(machine, Path("/ca.pem"), "ab12")
    assert step.actions == (
        Command(
            name="CA in the Root store",
            do=("certutil.exe", *whose, "-f", "-addstore", "Root", "/ca.pem"),
            holds=("certutil.exe", *whose, "-store", "Root", "ab12"),
            undo=("certutil.exe", *whose, "-delstore", "Root", "ab12"),
        ),
    )


def test_elsewhere_nothing(tmp_path: Path) -> None:
    assert windows.steps(ground(tmp_path / "root").machine, Path("/ca.pem"), "ab12") == ()
