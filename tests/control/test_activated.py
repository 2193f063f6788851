"""The service as systemd starts it: over sockets on low ports that it may not bind, telling how it is."""

import asyncio
import socket
import sys
from pathlib import Path

import pytest

from steering.control.listening import Role
from tests.activated import launcher
from tests.control.rigs import BYPASSED, INSPECTED, SETTINGS, points_do
from tests.deploy.ground import made
from tests.kit import eventually
from tests.service import Settings, over, world

POWERLESS = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs")
pytestmark = pytest.mark.needs("root", "linux", "setpriv")


def low_ports(number: int) -> list[int]:
    """Ports below 1024 that are free on loopback, for UDP too."""
    found: list[int] = []
    for port in range(1023, 0, -1):
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind(("127.0.0.1", port))
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == number:
            return found
    raise AssertionError("no low port is free")


async def test_every_point_on_low_ports_without_a_capability(tmp_path: Path) -> None:
    ports = low_ports(4)
    control, dns, tls, http = (f"127.0.0.1:{port}" for port in ports)
    listens: Settings = {
        "control": {"listen": control},
        "dns": {"listen": dns},
        "inspector": {"tls_listen": tls, "http_listen": http, "workers": 2},
    }
    async with world(tmp_path, settings=over(SETTINGS, listens), start=False) as at:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as heard:
            heard.bind(str(tmp_path / "notify"))
            heard.setblocking(False)
            words: list[str] = []

            def hear() -> list[str]:
                while True:
                    try:
                        words.append(heard.recv(1000).decode())
                    except BlockingIOError:
                        return words

            at.service.environment = {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "200000"}
            sockets = (f"tcp:{control}", f"tcp:{tls}", f"udp:{dns}", f"tcp:{http}", f"tcp:{dns}")
            at.service.launcher = (*launcher(*sockets), *POWERLESS)
            await asyncio.to_thread(at.service.start)
            for pid in (at.service.pid, *at.service.workers()):
                status = Path(f"/proc/{pid}/status").read_text()
                assert "CapEff:\t0000000000000000\n" in status
            assert [at.service.port(role) for role in (Role.CONTROL, Role.DNS_UDP, Role.TLS, Role.HTTP)] == ports
            assert at.service.port(Role.DNS_TCP) == ports[1]
            for _ in range(6):  # whichever worker takes it
                assert await points_do(at, "pinned.example") == BYPASSED
                assert await points_do(at, "www.example") == INSPECTED
            revision = at.service.ready()[1]["revision"]
            await eventually(lambda: hear().count("WATCHDOG=1") >= 2, what="signs of life")
            assert f"READY=1\nSTATUS=enforces policy {revision}" in hear()
            changed = await asyncio.to_thread(at.service.enforce, [])
            await eventually(lambda: f"STATUS=enforces policy {changed['revision']}" in hear(), what="the new policy")
            assert await points_do(at, "pinned.example") == INSPECTED
            await asyncio.to_thread(at.service.stop)
            told = [word for word in hear() if word != "WATCHDOG=1"]
            assert told[-1] == "STOPPING=1"


UNIT_MOUNTS = (
    "mount --make-rprivate /; mount --bind / /; mount -o remount,bind,ro /; mount --bind '{state}' '{state}'; "
    "mount -o remount,bind,rw '{state}'; mount -t proc -o subset=pid,hidepid=invisible proc /proc; exec \"$@\""
)


@pytest.mark.needs("systemd-analyze", "seccomp", "unshare")
async def test_every_point_within_what_the_unit_allows(tmp_path: Path) -> None:
    """Its filter of system calls, no memory written and executed, everything read-only but the state."""
    unit = tmp_path / "steering.service"
    allowed = "SystemCallFilter=setpriority\n"
    text = made("systemd", "steering.service")
    assert allowed in text
    unit.write_text(text.replace(allowed, ""))  # what asks for it does without, where a sandbox is stricter
    async with world(tmp_path, settings=SETTINGS, start=False) as at:
        mounts = UNIT_MOUNTS.format(state=tmp_path)
        at.service.launcher = (
            *("unshare", "--mount", "sh", "-euc", mounts, "sh"),
            *POWERLESS,
            *(sys.executable, "-m", "tests.confined", str(unit), "--"),
        )
        await asyncio.to_thread(at.service.start)
        for pid in (at.service.pid, *at.service.workers()):
            assert "Seccomp:\t2\n" in Path(f"/proc/{pid}/status").read_text()
        assert await points_do(at, "pinned.example") == BYPASSED
        assert await points_do(at, "www.example") == INSPECTED
        changed = await asyncio.to_thread(at.service.enforce, [])
        assert changed["state"] == "ok"
        assert await points_do(at, "pinned.example") == INSPECTED
        await asyncio.to_thread(at.service.stop)
