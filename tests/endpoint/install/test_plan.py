"""The whole plan: order, and a whole installation of one user done, seen, and undone to the byte."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from steering.endpoint.errors import EndpointError
from steering.endpoint.install.actions import Argv
from steering.endpoint.install.carry import Ended
from steering.endpoint.install.plan import Wanted, ca_path, installed, plan
from tests.endpoint.install.ground import Authority, ground

ALL = ("update-ca-certificates", "certutil", "dconf", "gsettings", "kwriteconfig5", "chromium", "firefox")


def wanted(authority: Authority, *, service: bool = True, proxies: bool = True) -> Wanted:
    return Wanted(ca_pem=authority.pem, listen="127.0.0.1:3129", service=service, proxies=proxies)


def names(tmp_path: Path, wanted: Wanted, system: Literal["linux", "macos", "windows"], everybody: bool) -> list[str]:
    here = ground(tmp_path / "root", system=system, everybody=everybody, has=ALL)
    here.file("/etc/ssl/cert.pem", "x")
    here.machine.at("/usr/local/share/ca-certificates").mkdir(parents=True)
    listing = Ended(code=0, out="(*)\nWi-Fi\n")
    return [step.name for step in plan(here.machine, wanted, lambda _: listing)]


ORDER = {
    ("linux", True): [
        *("inspection CA", "system trust store", "CA bundle", "service user", "service", "GNOME proxy", "KDE proxy"),
        *("Chromium policy", "Firefox policy", "environment"),
    ],
    ("linux", False): ["inspection CA", "CA bundle", "service", "GNOME proxy", "KDE proxy", "environment"],
    ("macos", True): ["inspection CA", "keychain", "CA bundle", "service", "network services", "environment"],
    ("macos", False): ["inspection CA", "keychain", "CA bundle", "service", "network services", "environment"],
    ("windows", True): [
        *("inspection CA", "certificate store", "service", "Windows proxy", "WinHTTP proxy", "packaged apps"),
        "environment",
    ],
    ("windows", False): ["inspection CA", "certificate store", "service", "Windows proxy", "environment"],
}


@pytest.mark.parametrize(("system", "everybody"), ORDER)
def test_trust_then_service_then_settings(
    tmp_path: Path, authority: Authority, system: Literal["linux", "macos", "windows"], everybody: bool
) -> None:
    assert names(tmp_path, wanted(authority), system, everybody) == ORDER[system, everybody]


def test_parts_can_be_left_to_others(tmp_path: Path, authority: Authority) -> None:
    found = names(tmp_path, wanted(authority, service=False, proxies=False), "linux", False)
    assert found == ["inspection CA", "CA bundle", "environment"]


def test_a_whole_installation_of_one_user(tmp_path: Path, authority: Authority) -> None:
    running: set[str] = set()

    def run(argv: Argv) -> Ended:
        """A user's systemd that says what it was told."""
        match argv[2:]:
            case ("enable", "--now", unit):
                running.add(unit)
            case ("disable", "--now", unit):
                running.discard(unit)
            case ("is-active", "--quiet", unit):
                return Ended(code=0 if unit in running else 3)
        return Ended(code=0)

    here = ground(tmp_path / "root", everybody=False, has=("kwriteconfig5",), run=run)
    here.file("/etc/ssl/cert.pem", "-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n")
    here.file("/home/alice/.profile", "theirs\n")
    here.file("/home/alice/.gitconfig", "[user]\n\tname = Alice\n")
    before = here.snapshot()
    steps = plan(here.machine, wanted(authority), run)
    assert here.install(steps, dry_run=True) == []
    assert here.snapshot() == before
    assert here.install(steps) == []
    assert running == {"steering-endpoint.service"}
    assert [here.carrier.verify(step) for step in steps] == [""] * len(steps)
    assert ca_path(here.machine).read_text() == authority.pem
    installed = here.snapshot()
    assert here.install(plan(here.machine, wanted(authority), run)) == []
    assert here.snapshot() == installed
    assert here.uninstall() == []
    assert (here.snapshot(), running) == (before, set())


def test_what_was_chosen_is_known_later(tmp_path: Path, authority: Authority) -> None:
    here = ground(tmp_path / "root", everybody=False)
    here.file("/etc/ssl/cert.pem", "x\n")
    asked = wanted(authority)
    assert installed(here.machine, asked) is None
    chosen = replace(asked, service=False, proxies=False, internal_zones=("corp.example",))
    assert here.install(plan(here.machine, chosen)) == []
    assert installed(here.machine, asked) == chosen
    newer = replace(asked, listen="127.0.0.1:4000")
    assert installed(here.machine, newer) == replace(chosen, listen="127.0.0.1:4000"), "told by whoever asks"
    ca_path(here.machine).with_name("installed.json").write_text("{}")
    with pytest.raises(EndpointError, match="cannot be read"):
        installed(here.machine, asked)
