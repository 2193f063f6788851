"""Java's store, by the real ``keytool``: the bytes come back where nobody has changed it, else the entry goes."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from steering.endpoint.install.trust import java
from tests.endpoint.install.ground import Authority, Ground, ground


def aliases(store: Path) -> set[str]:
    argv = ["keytool", "-list", "-keystore", str(store), "-storepass", java.PASSWORD]
    out = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    return {line.split(",")[0] for line in out.splitlines() if "trustedCertEntry" in line}


def import_other(store: Path, certificate: Path) -> None:
    argv = ["keytool", "-importcert", "-noprompt", "-keystore", str(store), "-storepass", java.PASSWORD]
    subprocess.run([*argv, "-alias", "other", "-file", str(certificate)], check=True, capture_output=True)


@pytest.fixture
def here(tmp_path: Path, authority: Authority) -> Ground:
    here = ground(tmp_path / "root")
    (tmp_path / "ca.pem").write_text(authority.pem)
    (tmp_path / "other.pem").write_bytes(authority.leaf.partition(b"-----BEGIN PRIVATE")[0])
    return here


def make_jdk(here: Ground, other: Path) -> Path:
    store = here.machine.at("/usr/lib/jvm/jdk-21/lib/security/cacerts")
    store.parent.mkdir(parents=True)
    import_other(store, other)
    return store


@pytest.mark.needs("keytool")
def test_for_real(here: Ground, tmp_path: Path) -> None:
    make_jdk(here, tmp_path / "other.pem")
    store = here.machine.at("/usr/lib/jvm/jdk-21/lib/security/cacerts")
    before = here.snapshot()
    steps = java.steps(here.machine, tmp_path / "ca.pem")
    assert aliases(store) == {"other"}
    assert here.install(steps) == []
    assert aliases(store) == {"other", java.ALIAS}
    assert here.install(steps) == []
    assert "  in force already" in here.told
    assert here.uninstall() == []
    assert here.snapshot() == before


@pytest.mark.needs("keytool")
def test_what_others_have_put_in_since_stays(here: Ground, tmp_path: Path) -> None:
    store = make_jdk(here, tmp_path / "other.pem")
    shutil.copy(store, tmp_path / "fresh")
    store.unlink()
    import_other(store, tmp_path / "ca.pem")
    subprocess.run(
        ["keytool", "-changealias", "-keystore", store, "-storepass", "changeit", "-alias", "other", "-destalias", "a"],
        check=True,
        capture_output=True,
    )
    here.install(java.steps(here.machine, tmp_path / "ca.pem"))
    import_other(store, tmp_path / "other.pem")
    assert here.uninstall() == []
    assert aliases(store) == {"a", "other"}


@pytest.mark.needs("root")
@pytest.mark.parametrize("theirs", ["bin/keytool", "bin", "lib/security/cacerts"])
def test_root_runs_no_keytool_that_others_may_change(here: Ground, theirs: str) -> None:
    store = here.file("/opt/jdk-21/lib/security/cacerts", "x")
    here.file("/opt/jdk-21/bin/keytool", "x")
    home = store.parent.parent.parent
    assert java.homes(here.machine) == [home]
    os.chown(home / theirs, 65534, 65534)
    assert java.homes(here.machine) == []


def test_links_to_the_system_s_are_left_alone(here: Ground, tmp_path: Path) -> None:
    store = here.machine.at("/usr/lib/jvm/debian/lib/security/cacerts")
    store.parent.mkdir(parents=True)
    store.symlink_to(here.file("/etc/ssl/certs/java/cacerts", "x"))
    assert java.steps(here.machine, tmp_path / "ca.pem") == ()


def test_jdk_8_and_a_link_to_a_jdk(here: Ground) -> None:
    store = here.file("/usr/lib/jvm/java-8/jre/lib/security/cacerts", "x")
    here.machine.at("/usr/lib/jvm/default").symlink_to(here.machine.at("/usr/lib/jvm/java-8"))
    assert java.homes(here.machine) == [store.parents[3]]
