"""Root is given up for good, in a process of its own."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.service import environment

SCRIPT = """
import json, os, subprocess, sys
sys.executable = "/bin/sh"  # this interpreter may lie where only root may go
from pathlib import Path
from steering.control.errors import ControlError
from steering.control.privileges import drop
user, folder, *first = sys.argv[1:]
if first: os.setuid(int(first[0]))
try:
    said = drop(user, [Path(folder), *Path(folder).glob("lock")])
except ControlError as exc:
    print(json.dumps({"error": str(exc)})); raise SystemExit
status = dict(line.split(":\\t") for line in Path("/proc/self/status").read_text().splitlines() if ":\\t" in line)
def can(act):
    try: act(); return True
    except OSError: return False
print(json.dumps({
    "said": said, "uid": os.getresuid(), "gid": os.getresgid(), "groups": os.getgroups(),
    "capabilities": {k: int(status[k], 16) for k in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")},
    "no_new_privs": status.get("NoNewPrivs"),
    "root again": can(lambda: os.setuid(0)) and os.geteuid() == 0 and bool(int(status["CapEff"], 16)),
    "reads": can(lambda: Path(folder, "other").read_bytes()),
    "child": int(subprocess.check_output(["grep", "CapEff", "/proc/self/status"]).split()[1], 16),
}))
"""


def run(folder: Path, user: str, *first: str, executable: str = "/bin/sh") -> dict[str, Any]:
    line = [sys.executable, "-c", SCRIPT.replace("/bin/sh", executable), user, str(folder), *first]
    done = subprocess.run(line, env=environment(), capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def with_a_file_of_daemon(folder: Path) -> Path:
    other = folder / "other"
    other.write_text("")
    other.chmod(0o600)
    os.chown(other, 1, 1)
    return folder


@pytest.mark.needs("root", "linux")
def test_to_a_user(open_folder: Path) -> None:
    import pwd

    nobody = pwd.getpwnam("nobody")
    (open_folder / "lock").write_text("")
    found = run(open_folder, "nobody")
    assert found["said"] == "running as nobody"
    assert found["uid"] == [nobody.pw_uid] * 3 and found["gid"] == [nobody.pw_gid] * 3 and found["groups"] == []
    assert found["capabilities"]["CapEff"] == found["capabilities"]["CapPrm"] == found["child"] == 0
    assert not found["root again"]
    assert {path.stat().st_uid for path in (open_folder, open_folder / "lock")} == {nobody.pw_uid}


@pytest.mark.needs("root", "linux")
def test_to_a_user_who_may_not_run_us(open_folder: Path) -> None:
    """Workers are started by that user: better said here than by each of them."""
    private = open_folder / "private"
    private.write_text("")
    private.chmod(0o700)
    found = run(open_folder, "nobody", executable=str(private))
    assert found == {"error": f"run.user: nobody may not run {private}: install Steering where it may"}


@pytest.mark.needs("root", "linux")
def test_without_a_user_every_capability_goes(open_folder: Path) -> None:
    found = run(with_a_file_of_daemon(open_folder), "")
    assert found["said"].startswith("running as root without any capability")
    assert found["uid"] == [0, 0, 0]
    given_up = {name: found["capabilities"][name] for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")}
    assert set(given_up.values()) == {0} and found["child"] == 0
    assert found["no_new_privs"] == "1"
    assert not found["reads"], "what others own is not root's any more"


@pytest.mark.needs("root", "linux")
def test_a_user_that_is_not_there(open_folder: Path) -> None:
    assert run(open_folder, "nosuchuser") == {"error": "run.user: there is no user 'nosuchuser'"}


@pytest.mark.needs("root", "linux")
def test_an_ordinary_user_has_nothing_to_give_up(open_folder: Path) -> None:
    assert run(open_folder, "root", "65534")["said"] == ""
