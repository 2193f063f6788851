"""GNOME's setting by the real gsettings on a bus of its own, its system database and KDE's file as text."""

import os
import subprocess
from pathlib import Path

import pytest

from steering.endpoint.install import desktop_linux
from steering.endpoint.install.actions import Argv, Command
from steering.endpoint.install.carry import Ended
from tests.endpoint.install.ground import Ground, ground

PAC = "http://127.0.0.1:3129/proxy.pac"


def on_a_bus(home: Path, argv: Argv) -> Ended:
    folders = {"HOME": home, "XDG_CONFIG_HOME": home / ".config", "XDG_RUNTIME_DIR": home / "run"}
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C", "GSETTINGS_BACKEND": "dconf"}
    environment |= {name: str(folder) for name, folder in folders.items()}
    (home / "run").mkdir(mode=0o700, exist_ok=True)
    ended = subprocess.run(("dbus-run-session", "--", *argv), env=environment, capture_output=True, text=True)
    return Ended(code=ended.returncode, out=ended.stdout, err=ended.stderr)


@pytest.mark.needs("dbus-run-session", "gsettings")
@pytest.mark.parametrize("was", [None, "'manual'"], ids=["never set", "set otherwise"])
def test_gnome_for_real(tmp_path: Path, was: str | None) -> None:
    here = ground(tmp_path / "root", everybody=False, has=("gsettings",))
    here.run = lambda argv: on_a_bus(here.machine.home, argv)

    def settings() -> tuple[str, str]:
        mode, url = (
            here.run(("gsettings", "get", desktop_linux.SCHEMA, key)).out.strip() for key in ("mode", "autoconfig-url")
        )
        return mode, url

    if was is not None:
        assert here.run(("gsettings", "set", desktop_linux.SCHEMA, "mode", was)).code == 0
    before = settings()
    assert before == (was or "'none'", "''")
    steps = desktop_linux.steps(here.machine, PAC)
    assert here.install(steps) == []
    assert settings() == ("'auto'", f"'{PAC}'")
    assert here.carrier.verify(steps[0]) == ""
    here.run(("gsettings", "set", desktop_linux.SCHEMA, "autoconfig-url", "'http://elsewhere/'"))
    assert here.carrier.verify(steps[0]) == "org.gnome.system.proxy autoconfig-url is not as it was set"
    assert here.install(steps) == []
    assert here.uninstall() == []
    assert settings() == before


@pytest.fixture
def machine_wide(tmp_path: Path) -> Ground:
    return ground(tmp_path / "root", has=("dconf",), run=lambda _: Ended(code=0))


MARKED = "# begin steering endpoint, do not edit\nsystem-db:steering\n# end steering endpoint\n"
PROFILES = {
    "no profile": (None, f"user-db:user\n{MARKED}"),
    "a profile": (
        "user-db:user\nsystem-db:local\n",
        f"user-db:user\nsystem-db:local\n{MARKED}",
    ),
}


@pytest.mark.parametrize(("old", "new"), PROFILES.values(), ids=PROFILES.keys())
def test_gnome_for_everybody(machine_wide: Ground, old: str | None, new: str) -> None:
    if old is not None:
        machine_wide.file(desktop_linux.DCONF_PROFILE, old)
    before = machine_wide.snapshot()
    steps = desktop_linux.steps(machine_wide.machine, PAC)
    assert machine_wide.install(steps) == []
    database = machine_wide.machine.at(desktop_linux.DCONF_DATABASE).read_text()
    assert database == f"[system/proxy]\nmode='auto'\nautoconfig-url='{PAC}'\n"
    assert machine_wide.machine.at(desktop_linux.DCONF_PROFILE).read_text() == new
    again = desktop_linux.steps(machine_wide.machine, PAC)
    assert machine_wide.carrier.verify(again[0]) == ""
    assert machine_wide.uninstall() == []
    assert machine_wide.snapshot() == before
    last = steps[0].actions[-1]
    assert isinstance(last, Command)
    assert last.late


@pytest.mark.parametrize(
    ("everybody", "path"), [(True, "/etc/xdg/kioslaverc"), (False, "/home/alice/.config/kioslaverc")]
)
def test_kde(tmp_path: Path, everybody: bool, path: str) -> None:
    here = ground(tmp_path / "root", everybody=everybody, has=("kwriteconfig5",))
    here.file(path, "[Proxy Settings]\nProxyType=0\n")
    before = here.snapshot()
    assert here.install(desktop_linux.steps(here.machine, PAC)) == []
    text = here.machine.at(path).read_text()
    assert text == f"[Proxy Settings]\nProxyType=2\nProxy Config Script={PAC}\n"
    here.uninstall()
    assert here.snapshot() == before


def test_no_desktop(tmp_path: Path) -> None:
    assert desktop_linux.steps(ground(tmp_path / "root").machine, PAC) == ()
