"""The system trust store: Debian's for real, the other families as plans; RHEL, Arch and SUSE were not run."""

from pathlib import Path

import pytest

from steering.endpoint.install.actions import Command, Edit
from steering.endpoint.install.trust import anchors
from tests.endpoint.install.ground import Authority, bare_environment, ground, succeeds


@pytest.mark.needs("update-ca-certificates", "openssl", "curl")
def test_debian_for_real(tmp_path: Path, authority: Authority, port: int) -> None:
    here = ground(tmp_path / "root", has=("update-ca-certificates",))
    for folder in ("/usr/local/share/ca-certificates", "/etc/ssl/certs", "/etc/ca-certificates/update.d"):
        here.machine.at(folder).mkdir(parents=True)
    bundle = here.machine.at("/etc/ssl/certs/ca-certificates.crt")
    steps = anchors.steps(here.machine, authority.pem)
    gathering = steps[0].actions[1]
    assert isinstance(gathering, Command)
    assert here.run(gathering.do).code == 0  # the machine as it was before
    before = here.snapshot()

    def trusted() -> bool:
        curl = ("curl", "-sS", "--noproxy", "*", "--cacert", bundle, f"https://localhost:{port}/")
        return succeeds(curl, bare_environment(tmp_path))

    assert not trusted()
    assert here.install(steps) == []
    assert trusted()
    assert here.install(steps) == []
    assert "  in force already" in here.told
    assert here.uninstall() == []
    assert not trusted()
    assert here.snapshot() == before


FAMILIES = {
    "RHEL": (("update-ca-trust",), ("update-ca-trust", "extract"), "/etc/pki/ca-trust/source/anchors/steering-ca.pem"),
    "Arch": (
        ("update-ca-trust",),
        ("update-ca-trust", "extract"),
        "/etc/ca-certificates/trust-source/anchors/steering-ca.crt",
    ),
    "SUSE": (("update-ca-certificates",), ("update-ca-certificates",), "/etc/pki/trust/anchors/steering-ca.pem"),
    "Debian": (
        ("update-ca-certificates",),
        ("update-ca-certificates",),
        "/usr/local/share/ca-certificates/steering-ca.crt",
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_which_family(tmp_path: Path, authority: Authority, name: str) -> None:
    programs, gather, file = FAMILIES[name]
    here = ground(tmp_path / "root", has=programs)
    here.machine.at(anchors.FAMILIES[name].folder).mkdir(parents=True)
    edit, command = anchors.steps(here.machine, authority.pem)[0].actions
    assert isinstance(edit, Edit)
    assert isinstance(command, Command)
    assert (edit.path, command.do[: len(gather)]) == (str(here.machine.at(file)), gather)
    assert (command.undo, command.late) == (command.do + anchors.FAMILIES[name].anew, True)


def test_no_store_of_a_known_kind_and_no_rights(tmp_path: Path, authority: Authority) -> None:
    assert anchors.steps(ground(tmp_path / "a").machine, authority.pem) == ()
    user = ground(tmp_path / "b", everybody=False, has=("update-ca-certificates",))
    user.machine.at("/usr/local/share/ca-certificates").mkdir(parents=True)
    assert anchors.steps(user.machine, authority.pem) == ()


def test_the_telling_line_is_a_full_one_of_the_signature(authority: Authority) -> None:
    lines = authority.pem.splitlines()
    assert anchors.telling_line(authority.pem) == lines[-3]
    assert len(lines[-3]) == 64
