"""What makes a name more than a name: place, hash, package."""

import hashlib
import os
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from steering.endpoint.identify import linux_attributes
from steering.endpoint.identify.linux_attributes import Attributes, LinuxAttributes, package_of_path
from tests.endpoint.identify.programs import Programs, said

pytestmark = pytest.mark.needs("linux")
WAIT = "say('here'); wait()"


@pytest.mark.parametrize(
    ("path", "package"),
    [
        ("/snap/slack/123/usr/lib/slack/slack", "snap:slack"),
        ("/var/lib/snapd/snap/slack/x1/slack", "snap:slack"),
        ("/snap/slack/slack", ""),
        ("/snap/../slack/1/slack", ""),
        ("/home/eve/snap/slack/123/slack", ""),
        ("/tmp/.mount_ObsidiAbC123/obsidian", "appimage:Obsidi"),
        ("/tmp/.mount_/obsidian", ""),
        ("/home/eve/tmp/.mount_ObsidiAbC123/obsidian", ""),
        ("/usr/bin/slack", ""),
    ],
)
def test_package_of_path(path: str, package: str) -> None:
    assert package_of_path(path) == package


@pytest.mark.parametrize(
    ("attributes", "signer"),
    [
        (Attributes(True, "snap:slack", True), "snap:slack"),
        (Attributes(False, "snap:slack", True), ""),  # some folder called /snap
        (Attributes(True, "flatpak:com.slack.Slack", True), ""),
        (Attributes(True, "", True), ""),
    ],
)
def test_only_a_snap_of_roots_is_vouched_for(attributes: Attributes, signer: str) -> None:
    assert attributes.signer == signer


# Places


@pytest.fixture
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that only root can write, from / on: the tests' own folders lie below /tmp."""
    if os.geteuid() != 0:
        pytest.skip("needs root")
    folder = Path("/usr/local/lib") / f"steering-test-{os.getpid()}-{time.monotonic_ns()}"
    folder.mkdir(mode=0o755)
    return folder


def in_place(programs: Programs, folder: Path) -> Path:
    path = folder / "slack"
    shutil.copyfile(programs.path("slack"), path)
    path.chmod(0o755)
    return path


@pytest.mark.needs("root")
@pytest.mark.parametrize(
    ("spoil", "owned"),
    [
        ("", True),
        ("file:owner", False),
        ("file:0775", False),
        ("file:0757", False),
        ("folder:owner", False),
        ("folder:0775", False),
        ("folder:1777", False),
        ("deleted", False),
        ("replaced", False),
    ],
)
def test_a_place_that_only_root_can_change(programs: Programs, place: Path, spoil: str, owned: bool) -> None:
    path = in_place(programs, place)
    try:
        with programs.running(path, WAIT) as running:
            said(running)
            what, _, how = spoil.partition(":")
            target = {"file": path, "folder": place}.get(what, path)
            if how == "owner":
                os.chown(target, 4242, 0)
            elif how:
                target.chmod(int(how, 8))
            elif what:
                path.unlink()
            if what == "replaced":
                in_place(programs, place)
            assert LinuxAttributes().look(running.pid, str(path)) == Attributes(
                owned, "", what not in ("deleted", "replaced")
            )
    finally:
        shutil.rmtree(place)


def test_the_users_own_copy_is_not_roots(programs: Programs) -> None:
    with programs.running("slack", WAIT) as running:
        said(running)
        found = LinuxAttributes().look(running.pid, str(programs.path("slack")))
        assert found == Attributes(False, "", True)


@pytest.mark.needs("unshare")
def test_a_file_mounted_over_roots_in_a_sandbox_is_not_roots(programs: Programs) -> None:
    """In its own mount namespace anybody can have any file at any path."""
    path = "/usr/bin/env"
    code = 'mount --bind "$0" /usr/bin/env && exec /usr/bin/env "$@"'
    command = ["unshare", "--mount", "--propagation=private", "sh", "-c", code]
    with programs.running("lat", WAIT, before=command) as running:
        said(running)
        assert str(Path(f"/proc/{running.pid}/exe").readlink()) == path
        assert LinuxAttributes().look(running.pid, path) == Attributes(False, "", False)


def test_what_was_found_is_kept_until_the_file_changes(programs: Programs, tmp_path: Path) -> None:
    attributes = LinuxAttributes()
    path = in_place(programs, tmp_path)
    assert attributes.known(path.stat(), str(path)) is None
    with programs.running(path, WAIT) as running:
        said(running)
        assert attributes.look(running.pid, str(path)) == attributes.known(path.stat(), str(path))
        assert attributes.known(path.stat(), str(path) + "x") is None
        path.chmod(0o700)
        assert attributes.known(path.stat(), str(path)) is None


def test_of_an_ended_process_there_is_nothing(programs: Programs) -> None:
    with programs.running("slack", "pass") as running:
        running.wait()
        attributes = LinuxAttributes()
        assert attributes.look(running.pid, str(programs.path("slack"))) is None
        assert attributes.sha256(running.pid) is None


# Packages


@pytest.mark.needs("unshare")
@pytest.mark.parametrize(
    ("info", "package"),
    [
        ("[Application]\nname=com.slack.Slack\nruntime=x\n", "flatpak:com.slack.Slack"),
        ("[Application]\nruntime=x\n", ""),
        ("[Instance]\nname=x\n", ""),
        ("no ini file", ""),
        (None, ""),
        ("fifo", ""),
    ],
)
def test_a_flatpak_is_known_by_the_file_in_its_root(
    programs: Programs, tmp_path: Path, info: str | None, package: str
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    if info == "fifo":
        os.mkfifo(root / ".flatpak-info")  # whoever opened it would wait for ever
    elif info is not None:
        (root / ".flatpak-info").write_text(info)
    code = f"import os; os.chroot({str(root)!r}); os.chdir('/'); {WAIT}"
    with programs.running("slack", code) as running:
        said(running)
        assert LinuxAttributes().look(running.pid, str(programs.path("slack"))) == Attributes(False, package, True)


# Hashes


def aged(path: Path) -> Path:
    """Nobody has changed it lately: what is hashed is kept only then."""
    while time.time_ns() - path.stat().st_ctime_ns <= linux_attributes.SETTLED_NS:
        time.sleep(0.02)
    return path


def test_the_hash_is_of_the_file_that_runs(programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux_attributes, "SETTLED_NS", 50_000_000)
    path = in_place(programs, tmp_path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert subprocess.run(["sha256sum", path], capture_output=True, text=True, check=True).stdout.startswith(digest)
    attributes = LinuxAttributes()
    with programs.running(aged(path), WAIT) as running:
        said(running)
        file = Path(f"/proc/{running.pid}/exe").stat()
        assert attributes.known_sha256(file) is None
        assert attributes.sha256(running.pid) == digest
        assert attributes.known_sha256(file) == digest
        (tmp_path / "other").write_bytes(b"update")
        (tmp_path / "other").rename(path)
        assert attributes.sha256(running.pid) == digest  # of what runs, not of what stands there now


def test_a_file_that_has_just_changed_is_hashed_each_time(
    programs: Programs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linux_attributes, "SETTLED_NS", 3_600_000_000_000)
    attributes = LinuxAttributes()
    path = in_place(programs, tmp_path)
    with programs.running(path, WAIT) as running:
        said(running)
        assert attributes.sha256(running.pid) == hashlib.sha256(path.read_bytes()).hexdigest()
        assert attributes.known_sha256(path.stat()) is None


@pytest.mark.parametrize(("more", "hashed"), [(-1, False), (0, True), (1, True)])
def test_nobody_waits_for_the_hash_of_an_enormous_file(
    programs: Programs, monkeypatch: pytest.MonkeyPatch, more: int, hashed: bool
) -> None:
    path = programs.path("slack")
    monkeypatch.setattr(linux_attributes, "MAX_HASHED_BYTES", path.stat().st_size + more)
    with programs.running(path, WAIT) as running:
        said(running)
        assert (LinuxAttributes().sha256(running.pid) is not None) is hashed


def test_only_so_many_are_kept(programs: Programs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux_attributes, "_KEPT", 2)
    attributes = LinuxAttributes()
    with programs.running("slack", WAIT) as running:
        said(running)
        file = Path(f"/proc/{running.pid}/exe").stat()
        for path in ("/a", "/b", "/c"):
            attributes.look(running.pid, path)
        assert [attributes.known(file, path) is not None for path in ("/a", "/b", "/c")] == [False, True, True]
