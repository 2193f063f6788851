"""A machine-wide installation on this very machine, within a mount namespace: /etc and more are copies there.

All but systemctl is real: the service's user, the owner of its folder, the system's trust store, certutil as a user,
the journal.  It runs as root and leaves nothing outside.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.endpoint.install.ground import Authority
from tests.kit import ROOT

pytestmark = pytest.mark.needs("linux", "unshare", "update-ca-certificates", "certutil", "curl")

SYSTEMCTL = """#!/bin/sh
case "$*" in
"enable --now steering-endpoint.service") touch "$RUNNING" ;;
"disable --now steering-endpoint.service") rm "$RUNNING" ;;
"is-active --quiet steering-endpoint.service") test -e "$RUNNING" ;;
daemon-reload) ;;
*) exit 9 ;;
esac
"""

# Within the namespace; prints what it has seen, one word a line.
INSIDE = """
import hashlib, os, pwd, subprocess, sys
from pathlib import Path
from steering.endpoint.install.carry import Carrier, install, uninstall, verify
from steering.endpoint.install.journal import Journal
from steering.endpoint.install.machine import detect
from steering.endpoint.install.plan import Wanted, plan
from dataclasses import replace

def listing():
    found = {}
    for top in ("/etc", "/usr/local/share/ca-certificates", "/var/lib"):
        for path in sorted(Path(top).rglob("*")):
            # backups of user databases, and what Java's package makes of the trust store: new bytes each time
            if path.name.endswith("-") or path.name in ("cacerts", ".pwd.lock") or "ca-certificates-java" in path.parts:
                continue
            if path.is_symlink():
                found[str(path)] = os.readlink(path)
            elif path.is_file():
                found[str(path)] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[str(path)] = "folder"
    return found

def user():
    try:
        return pwd.getpwnam("steering-endpoint").pw_dir
    except KeyError:
        return ""

def trusted():
    bundle = Path("/etc/ssl/certs/ca-certificates.crt").read_text()
    return ca in bundle

ca = Path(sys.argv[1]).read_text()
subprocess.run(["update-ca-certificates", "--fresh"], check=True, capture_output=True)
command, homes = ("/usr/bin/python3", "-m", "steering"), (("root", Path(sys.argv[2])),)
machine = replace(detect(everybody=True), homes=homes, command=command)
wanted = Wanted(ca_pem=ca, listen="127.0.0.1:3129")
machine.state.mkdir()
(machine.state / "device.key").touch()
before = listing()
told = []
carrier = lambda: Carrier(journal=Journal(machine.journal))
problems = [o for o in install(plan(machine, wanted), carrier(), told.append) if o.problem]
print("installed", problems)
[print(line, file=sys.stderr) for line in told]
print("user", user(), (machine.state / "device.key").owner(), trusted(), os.path.exists(os.environ["RUNNING"]))
print("verified", [v for s in plan(machine, wanted) if (v := verify(s))])
print("again", [o for o in install(plan(machine, wanted), carrier(), told.append) if o.problem or o.changed])
problems = [o for o in uninstall(carrier(), told.append) if o.problem]
after = listing()
print("uninstalled", problems)
print("user", repr(user()), (machine.state / "device.key").owner(), trusted(), os.path.exists(os.environ["RUNNING"]))
print("differs", sorted(set(before.items()) ^ set(after.items())))
"""


def test_done_verified_repeated_undone(tmp_path: Path, authority: Authority) -> None:
    (tmp_path / "ca.pem").write_text(authority.pem)
    (tmp_path / "bin").mkdir()
    systemctl = tmp_path / "bin/systemctl"
    systemctl.write_text(SYSTEMCTL)
    systemctl.chmod(0o755)
    database = tmp_path / "home/.pki/nssdb"
    database.mkdir(parents=True)
    subprocess.run(["certutil", "-N", "-d", f"sql:{database}", "--empty-password"], check=True)
    mounts = []
    for name in ("/etc", "/usr/local/share/ca-certificates"):
        copy = tmp_path / name.strip("/").replace("/", "-")
        subprocess.run(["cp", "-a", name, str(copy)], check=True) if Path(name).exists() else copy.mkdir()
        mounts.append(f"mount --bind {copy} {name}")
    (tmp_path / "lib").mkdir()
    mounts.append(f"mount --bind {tmp_path / 'lib'} /var/lib")
    script = " && ".join((*mounts, 'exec "$@"'))
    inside = (sys.executable, "-c", INSIDE, tmp_path / "ca.pem", tmp_path / "home")
    ended = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *map(str, inside)],
        cwd=ROOT,
        env={
            "PATH": f"{tmp_path / 'bin'}:/usr/sbin:/usr/bin:/sbin:/bin",
            "RUNNING": str(tmp_path / "running"),
            "PYTHONPATH": str(ROOT),
        },
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.splitlines() == [
        "installed []",
        "user /var/lib/steering-endpoint steering-endpoint True True",
        "verified []",
        "again []",
        "uninstalled []",
        "user '' root False False",
        "differs []",
    ]
    shutil.rmtree(tmp_path / "etc")
