"""The keychain's commands, as plans: constructed, not recorded on a Mac."""

from pathlib import Path

from steering.endpoint.install.actions import Command, Step
from steering.endpoint.install.trust import macos
from tests.endpoint.install.ground import ground

CA = Path("/ca.pem")


def only(steps: tuple[Step, ...]) -> Command:
    (step,) = steps
    (command,) = step.actions
    assert isinstance(command, Command)
    return command


def test_for_everybody(tmp_path: Path) -> None:
    command = only(macos.steps(ground(tmp_path / "root", system="macos").machine, CA))
    keychain = "/Library/Keychains/System.keychain"
    assert command.do == ("security", "add-trusted-cert", "-d", "-r", "trustRoot", "-k", keychain, "/ca.pem")
    assert command.holds == ("security", "verify-cert", "-c", "/ca.pem")
    assert command.undo == ("security", "remove-trusted-cert", "-d", "/ca.pem")


def test_for_one_user(tmp_path: Path) -> None:
    here = ground(tmp_path / "root", system="macos", everybody=False)
    command = only(macos.steps(here.machine, CA))
    keychain = str(here.machine.home / "Library/Keychains/login.keychain-db")
    assert command.do == ("security", "add-trusted-cert", "-r", "trustRoot", "-k", keychain, "/ca.pem")
    assert command.undo == ("security", "remove-trusted-cert", "/ca.pem")


def test_elsewhere_nothing(tmp_path: Path) -> None:
    assert macos.steps(ground(tmp_path / "root").machine, CA) == ()
