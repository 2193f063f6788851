"""Raw tables for tests."""

from pathlib import Path

import pytest

from steering.endpoint.errors import EndpointError
from steering.endpoint.install.actions import Argv
from steering.endpoint.install.carry import Ended
from steering.endpoint.recording import FILES, PROGRAMS, record


def run(argv: Argv) -> Ended:
    return Ended(code=3, out="out\n", err="err\n")


def broken() -> bytes:
    raise EndpointError("no such call")


def test_files_programs_and_tables(tmp_path: Path) -> None:
    paths = record(tmp_path / "new", {"tcp.bin": lambda: b"\0\1", "bad.bin": broken}, run=run, system="linux")
    found = {path.name: path.read_bytes() for path in paths}
    assert set(found) == {
        *("README.txt", "proc-net-tcp", "proc-net-tcp6", "proc-self-status", "proc-self-cgroup", "proc-self-mountinfo"),
        *("proc-version", "etc-os-release", "nft-0.txt", "gsettings-1.txt", "tcp.bin", "bad.bin"),
    }
    assert found["nft-0.txt"] == b"$ nft -s list tables\nout\nerr\n[3]\n"
    assert (found["tcp.bin"], found["bad.bin"]) == (b"\0\1", b"could not be read: no such call\n")
    assert b"look before you" in found["README.txt"]
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("system", ["darwin", "win32"])
def test_other_systems_have_their_own(tmp_path: Path, system: str) -> None:
    paths = record(tmp_path / "new", run=run, system=system)
    assert len(paths) == 1 + len(FILES.get(system, ())) + len(PROGRAMS[system])


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").touch()
    with pytest.raises(EndpointError, match="not empty"):
        record(tmp_path)


def test_a_link_that_somebody_puts_there_meanwhile_is_not_followed(tmp_path: Path) -> None:
    """Programs are asked before anything is written, which takes a while; the folder may be in /tmp, and we root."""
    folder, target = tmp_path / "new", tmp_path / "target"
    target.write_text("mine")

    def meanwhile() -> bytes:
        (folder / "README.txt").symlink_to(target)
        return b""

    with pytest.raises(FileExistsError):
        record(folder, {"t": meanwhile}, run=run, system="linux")
    assert target.read_text() == "mine"
