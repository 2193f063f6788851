"""NSS databases, made and read by the real ``certutil``: Chrome's and a Firefox profile's."""

import subprocess
from pathlib import Path

import pytest

from steering.endpoint.install.trust import nss
from tests.endpoint.install.ground import Authority, Ground, ground

pytestmark = pytest.mark.needs("certutil")


def certificates(folder: Path) -> str:
    return subprocess.run(["certutil", "-L", "-d", f"sql:{folder}"], capture_output=True, text=True, check=True).stdout


def verifies(folder: Path, leaf: Path) -> bool:
    argv = ["certutil", "-V", "-u", "V", "-d", f"sql:{folder}", "-n", "leaf"]
    add = ["certutil", "-A", "-d", f"sql:{folder}", "-n", "leaf", "-t", ",,", "-i", str(leaf)]
    subprocess.run(add, check=True)
    try:
        return subprocess.run(argv, capture_output=True).returncode == 0
    finally:
        subprocess.run(["certutil", "-D", "-d", f"sql:{folder}", "-n", "leaf"], check=True)


@pytest.fixture
def here(tmp_path: Path) -> Ground:
    here = ground(tmp_path / "root", everybody=False, has=("certutil",))
    for folder in (".pki/nssdb", ".mozilla/firefox/x.default"):
        path = here.machine.home / folder
        path.mkdir(parents=True)
        subprocess.run(["certutil", "-N", "-d", f"sql:{path}", "--empty-password"], check=True)
    (here.machine.home / ".mozilla/firefox/empty").mkdir()
    return here


def test_for_real(here: Ground, authority: Authority, tmp_path: Path) -> None:
    leaf, ca = tmp_path / "leaf.pem", tmp_path / "ca.pem"
    leaf.write_bytes(authority.leaf)
    ca.write_text(authority.pem)
    folders = nss.databases(here.machine, here.machine.home)
    home = here.machine.home
    assert folders == [home / ".mozilla/firefox/x.default", home / ".pki/nssdb"]
    steps = nss.steps(here.machine, ca)
    before = list(map(certificates, folders))
    assert [verifies(folder, leaf) for folder in folders] == [False, False]
    assert here.install(steps) == []
    assert [verifies(folder, leaf) for folder in folders] == [True, True]
    assert here.carrier.verify(steps[0]) == ""
    assert here.install(steps) == []
    assert "  in force already" in here.told
    assert here.uninstall() == []
    assert [verifies(folder, leaf) for folder in folders] == [False, False]
    assert list(map(certificates, folders)) == before


def test_a_certificate_removed_by_hand_is_told_and_undo_does_not_mind(here: Ground, authority: Authority) -> None:
    ca = here.machine.root / "ca.pem"
    ca.write_text(authority.pem)
    steps = nss.steps(here.machine, ca)
    here.install(steps)
    folder = here.machine.home / ".pki/nssdb"
    subprocess.run(["certutil", "-D", "-d", f"sql:{folder}", "-n", nss.NICKNAME], check=True)
    assert here.carrier.verify(steps[0]) == f"CA in {folder} is not as it was set"
    assert here.uninstall() == []


def test_root_does_it_as_the_user(tmp_path: Path) -> None:
    here = ground(tmp_path / "root", has=("certutil",))
    database = here.machine.home / ".pki/nssdb/cert9.db"
    database.parent.mkdir(parents=True)
    database.touch()
    machine = here.machine
    assert machine.as_user("alice", ("certutil", "-L")) == ("runuser", "-u", "alice", "--", "certutil", "-L")
    assert machine.as_user("root", ("certutil", "-L")) == ("certutil", "-L")
    assert len(nss.steps(machine, tmp_path / "ca.pem")[0].actions) == 1


def test_nothing_without_certutil_or_databases(tmp_path: Path) -> None:
    assert nss.steps(ground(tmp_path / "a", has=()).machine, tmp_path) == ()
    assert nss.steps(ground(tmp_path / "b", has=("certutil",)).machine, tmp_path) == ()
