"""What tests everywhere share: the outside programs they need, free ports, and waiting without sleeping for luck."""

import asyncio
import contextlib
import ctypes.util
import importlib.util
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
CONTAINER_BASE = ROOT / ".deps/container/base.tar"  # a Debian with Python, made by tools/test-setup.sh
GNOME_PROXY = "/usr/share/glib-2.0/schemas/org.gnome.system.proxy.gschema.xml"
IN_CI = os.environ.get("CI", "").lower() in ("1", "true", "yes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Something outside this project that a test runs against.

    present: whether it is here.  how: what brings it.
    """

    present: Callable[[], bool]
    how: str


def _program(name: str, package: str = "") -> Need:
    return Need(present=lambda: shutil.which(name) is not None, how=f"apt-get install {package or name}")


def _module(name: str) -> Need:
    return Need(present=lambda: importlib.util.find_spec(name) is not None, how=f"pip install {name.replace('_', '-')}")


@cache
def _can_unshare() -> bool:
    """Root within a container may not."""
    if os.geteuid() != 0 or shutil.which("ip") is None or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "--mount", "--net", "true"], capture_output=True).returncode == 0


@cache
def _has_socket_map() -> bool:
    from steering.endpoint.identify.linux_bpf import open_map  # for Linux alone

    found, _ = open_map() if os.uname().sysname == "Linux" else (None, "")
    if found is not None:
        found.close()
    return found is not None


@cache
def _has_process_events() -> bool:
    from steering.endpoint.identify.linux_events import open_events

    found, _ = open_events() if os.uname().sysname == "Linux" else (None, "")
    if found is not None:
        found.close()
    return found is not None


@cache
def _cannot_contain() -> str:
    """Why this kernel lets root here run no container, "" where it does.

    Asked of the kernel itself: that podman, or our way of using it, fails on one that can is a failure of the tests.
    """
    asked = "mount -t proc proc /proc && ip link add here type veth peer name there"
    parts = ["unshare", "--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "sh", "-c", asked]
    made = subprocess.run(parts, capture_output=True, text=True)
    if made.returncode != 0:
        return f"it gives out no namespaces ({made.stderr.strip()})"
    groups = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if " cgroup" in line]
    for folder in map(Path, groups):
        with contextlib.suppress(OSError):
            (folder / "steering-probe").mkdir()
            (folder / "steering-probe").rmdir()
            return ""
    return "it lets nobody make a control group"


# What only a kernel can refuse, and nothing that could be installed would mend: name -> why it does, "" where it does
# not.  The one reason for which CI accepts that a test is left out (tests/conftest.py).
KERNEL: dict[str, Callable[[], str]] = {"containers": _cannot_contain}

_HOST = "run it as root on Linux itself, not in a container (or in one with the host's network and processes)"

NEEDS: Mapping[str, Need] = {
    "acorn": Need(present=lambda: acorn_folder().is_dir(), how="npm install --prefix .deps acorn@8 (make test does)"),
    "certutil": _program("certutil", "libnss3-tools"),
    "chromium": _program("chromium"),
    "curl": _program("curl"),
    "container-base": Need(present=lambda: CONTAINER_BASE.exists(), how="tools/test-setup.sh (as root on Debian)"),
    "dbus-run-session": _program("dbus-run-session", "dbus-daemon"),
    "dhcpd": _program("dhcpd", "isc-dhcp-server"),
    "dig": _program("dig", "bind9-dnsutils"),
    "dnsmasq": _program("dnsmasq", "dnsmasq-base"),
    "dukpy": _module("dukpy"),
    "duktape": _program("duk", "duktape"),
    "firefox": Need(
        present=lambda: bool(shutil.which("firefox-esr") or shutil.which("firefox")), how="apt-get install firefox-esr"
    ),
    # The C programs that load servers in bench/.
    "gcc": Need(
        present=lambda: bool(shutil.which("gcc")) and Path("/usr/include/openssl/ssl.h").exists(),
        how="apt-get install gcc libc6-dev libssl-dev",
    ),
    "git": _program("git"),
    "gsettings": Need(
        present=lambda: bool(shutil.which("gsettings")) and Path(GNOME_PROXY).exists(),
        how="apt-get install libglib2.0-bin gsettings-desktop-schemas dconf-gsettings-backend",
    ),
    "ip": _program("ip", "iproute2"),
    "jsc": _program("jsc", "libjavascriptcoregtk-4.0-bin"),
    "kdig": _program("kdig", "knot-dnsutils"),
    "kea-dhcp4": _program("kea-dhcp4", "kea-dhcp4-server"),
    "keytool": _program("keytool", "openjdk-17-jdk-headless"),
    "linux": Need(present=lambda: os.uname().sysname == "Linux", how="run it on Linux"),
    "mini-racer": _module("py_mini_racer"),
    "named-checkconf": _program("named-checkconf", "bind9-utils"),
    "nft": _program("nft", "nftables"),
    "nginx": Need(
        present=lambda: shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None,
        how="apt-get install nginx-light",
    ),
    "node": _program("node", "nodejs"),
    "openssl": _program("openssl"),
    "pacparser": Need(present=lambda: Path("/usr/lib/libpacparser.so.1").exists(), how="apt-get install libpacparser1"),
    "podman": _program("podman", "podman runc netavark aardvark-dns iptables"),
    "podman-compose": _module("podman_compose"),
    "process-events": Need(present=_has_process_events, how=_HOST),
    "pythonmonkey": _module("pythonmonkey"),
    "quickjs": _module("quickjs"),
    "root": Need(present=lambda: os.geteuid() == 0, how="run it as root"),
    "seccomp": Need(
        present=lambda: ctypes.util.find_library("seccomp") is not None,
        how="apt-get install libseccomp2 (systemd does)",
    ),
    "setpriv": _program("setpriv", "util-linux"),
    "socket-map": Need(present=_has_socket_map, how=f"{_HOST}; Linux 5.7 or newer, with eBPF and cgroup2"),
    "unbound-checkconf": _program("unbound-checkconf", "unbound"),
    # A mount namespace of one's own, so that a browser can be given another /etc/resolv.conf.
    "unshare": Need(
        present=_can_unshare,
        how="run it as root, with iproute2 and util-linux; a container needs CAP_SYS_ADMIN and CAP_NET_ADMIN",
    ),
    "systemd-analyze": _program("systemd-analyze", "systemd"),
    "udhcpc": _program("busybox"),
    "update-ca-certificates": _program("update-ca-certificates", "ca-certificates"),
    "ziglang": _module("ziglang"),
}


def acorn_folder() -> Path:
    """Where npm put acorn."""
    return ROOT / ".deps" / "node_modules" / "acorn"


def free_port(host: str = "127.0.0.1", kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody listens on at this moment.  Prefer binding port 0 where the program under test can."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind) as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port


def free_port_both(host: str = "127.0.0.1") -> int:
    """A port that is free for UDP and TCP alike."""
    while True:
        port = free_port(host, socket.SOCK_DGRAM)
        with socket.socket() as probe:
            try:
                probe.bind((host, port))
            except OSError:
                continue
            return port


async def eventually(
    condition: Callable[[], object] | Callable[[], Awaitable[object]], within_s: float = 10, what: str = "the condition"
) -> None:
    """Return as soon as ``condition()`` is true; fail when it is not within ``within_s``."""
    deadline = time.monotonic() + within_s
    while True:
        result = condition()
        if isinstance(result, Awaitable):
            result = await result
        if result:
            return
        assert time.monotonic() < deadline, f"{what} did not come true within {within_s} s"
        await asyncio.sleep(0.02)


def wait_until(condition: Callable[[], object], within_s: float = 10, what: str = "the condition") -> None:
    """``eventually`` for tests without an event loop."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not come true within {within_s} s"
        time.sleep(0.02)


def missing(needs: tuple[str, ...]) -> list[str]:
    """What of ``needs`` is not here, each with how to get it.  An unknown name is a mistake in the test."""
    unknown = [name for name in needs if name not in NEEDS]
    assert not unknown, f"needs({', '.join(unknown)}) is not in tests/kit.py NEEDS"
    return [f"{name} ({NEEDS[name].how})" for name in needs if not NEEDS[name].present()]


def children_of(pid: int, module: str) -> list[int]:
    """Process ids of the children of a process that run ``python -m module``."""
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has ended meanwhile
            for child in (task / "children").read_text("ascii").split():
                with contextlib.suppress(FileNotFoundError, ProcessLookupError):
                    if module.encode() in Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0"):
                        found.append(int(child))
    return sorted(found)
