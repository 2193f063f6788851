"""One helper at a time: refused while another process has the folder, free as soon as that one ends."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steering.endpoint.errors import EndpointError
from steering.endpoint.lock import NAME, locked
from tests.service import environment

HOLD = """
import sys
from pathlib import Path
from steering.endpoint.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_is_refused_until_the_first_is_killed(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)],
        env=environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdin is not None and holder.stdout is not None
    with holder, holder.stdin, holder.stdout:
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(EndpointError) as caught, locked(tmp_path):
            pass
        assert str(caught.value) == f"another helper (process {holder.pid}) runs on {tmp_path}: stop it first"
        holder.kill()
        holder.wait(10)
    with locked(tmp_path):
        assert (tmp_path / NAME).read_text() == f"{os.getpid()}\n"


def test_it_is_free_again_after_use(tmp_path: Path) -> None:
    for _ in range(2):
        with locked(tmp_path):
            assert (tmp_path / NAME).stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(EndpointError, match="cannot be used: No such file or directory"), locked(tmp_path / "none"):
        pass


@pytest.mark.needs("linux")
def test_a_link_in_its_place_is_not_followed(tmp_path: Path) -> None:
    target = tmp_path / "somebody's"
    target.write_text("theirs")
    (tmp_path / NAME).symlink_to(target)
    with pytest.raises(EndpointError, match="cannot be used"), locked(tmp_path):
        pass
    assert target.read_text() == "theirs"
