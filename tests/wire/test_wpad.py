"""A laptop comes into an office, and finds its PAC by DHCP and by the name wpad, as 'steering deploy' set both up.

Two networks and a cable: on one end a real ``steering serve`` on port 80 and real DHCP and DNS servers on the files
that it printed; on the other busybox's DHCP client, and curl by the name alone.
"""

import json
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.kit import wait_until
from tests.service import STEERING, LiveService, Settings, environment, service_in
from tests.wire.namespace import Namespace

OFFICE, LAPTOP = "10.77.0.1", "10.77.0.50"
ZONE = "office.example"
RULES = [{"name": "Pinned app", "domains": ["pin.example"], "reason": "pinned"}]

pytestmark = pytest.mark.needs("unshare", "curl", "udhcpc", "dnsmasq")

# What udhcpc tells, as the words of a shell: the address is put on, the rest written down.
LEASE_SCRIPT = """#!/bin/sh
[ "$1" = bound ] || exit 0
ip address add "$ip/24" dev "$interface"
printf 'search %s\\nnameserver %s\\n' "$domain" "$dns" >/etc/resolv.conf
printf '%s' "$wpad" >"{folder}/wpad"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """files: what 'steering deploy --write' wrote."""

    folder: Path
    space: Namespace
    service: LiveService
    files: Path

    @contextmanager
    def running(self, *arguments: str | Path) -> Iterator[None]:
        """A server of the office, in the foreground, for the block."""
        log = self.folder / f"{Path(arguments[0]).name}.log"
        variables = environment(KEA_LOCKFILE_DIR="none", KEA_PIDFILE_DIR=str(self.folder))

        def start() -> "subprocess.Popen[bytes]":
            with log.open("ab") as out:
                line = [str(argument) for argument in arguments]
                return subprocess.Popen(line, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=variables)

        process = self.space.call(start)
        try:
            yield
            assert process.poll() is None, log.read_text()
        finally:
            process.terminate()
            process.wait(20)


def dnsmasq(office: Office, *names: str, dhcp: bool) -> tuple[str | Path, ...]:
    """names: targets whose files it is given.  dhcp: whether it gives addresses too."""
    own = office.folder / "dnsmasq.conf"
    leases = f"dhcp-range={LAPTOP},{LAPTOP},255.255.255.0,10m\ndhcp-leasefile={office.folder}/leases\n"
    own.write_text(
        f"interface=cable\nbind-interfaces\nno-resolv\nno-hosts\nuser=root\npid-file=\ndomain={ZONE}\n"
        + (leases if dhcp else "")
    )
    files = (file for name in names for file in (office.files / name).iterdir())
    return ("dnsmasq", "--keep-in-foreground", "--log-facility=-", *(f"--conf-file={file}" for file in (own, *files)))


def dhcpd(office: Office) -> tuple[str | Path, ...]:
    conf = office.folder / "dhcpd.conf"
    (office.folder / "dhcpd.leases").touch()
    conf.write_text(
        f'include "{office.files}/dhcp-isc/dhcpd-wpad.conf";\n'
        f'include "{office.files}/resolver-isc/dhcpd-resolver.conf";\n'
        f'option domain-name "{ZONE}";\nauthoritative;\n'
        f"subnet 10.77.0.0 netmask 255.255.255.0 {{ range {LAPTOP} {LAPTOP}; }}\n"
    )
    rest = ("-lf", office.folder / "dhcpd.leases", "-pf", office.folder / "dhcpd.pid", "--no-pid", "cable")
    return ("dhcpd", "-4", "-f", "-d", "-cf", conf, *rest)


def kea(office: Office) -> tuple[str | Path, ...]:
    wpad, resolver = (
        json.loads((office.files / file).read_text())
        for file in ("dhcp-kea/kea-wpad.json", "resolver-kea/kea-resolver.json")
    )
    domain = {"name": "domain-name", "data": ZONE}
    config = {
        "interfaces-config": {"interfaces": ["cable"], "dhcp-socket-type": "raw"},
        "lease-database": {"type": "memfile", "persist": False},
        "option-def": wpad["option-def"],
        "option-data": [*wpad["option-data"], *resolver["option-data"], domain],
        "subnet4": [{"subnet": "10.77.0.0/24", "pools": [{"pool": f"{LAPTOP}-{LAPTOP}"}]}],
    }
    conf = office.folder / "kea.conf"
    conf.write_text(json.dumps({"Dhcp4": config}))
    return ("kea-dhcp4", "-c", conf)


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    folder = tmp_path_factory.mktemp("office")
    settings: Settings = {
        "policy": {"internal_zones": [ZONE]},
        "control": {"listen": f"{OFFICE}:80", "public_url": f"http://{OFFICE}"},
        "inspector": {"listen": f"{OFFICE}:3128"},
    }
    with Namespace() as space:
        for command in (
            "ip link add cable type veth peer name laptop",
            f"ip address add {OFFICE}/24 dev cable",
            "ip link set cable up",
        ):
            assert space.command(*command.split()).code == 0
        service = service_in(folder, RULES, settings)
        try:
            space.call(service.launch)
            ready = ("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", f"http://{OFFICE}/readyz")
            wait_until(lambda: space.command(*ready).out == "200", 60, "readiness")
            files = folder / "files"
            ended = space.command(
                *STEERING, "deploy", "--resolver", OFFICE, "--write", files, folder=folder, environment=environment()
            )
            # No unit of systemd may look into a temporary folder; all the others are written.
            left_out = [line.split(":")[0] for line in ended.err.splitlines() if line.startswith("left out ")]
            assert (ended.code, left_out, "note:" in ended.err) == (0, ["left out systemd"], False), ended.err
            yield Office(folder=folder, space=space, service=service, files=files)
        finally:
            assert space.call(service.stop) == 0


@contextmanager
def laptop(office: Office, folder: Path) -> Iterator[Namespace]:
    """With a cable to the office and no address yet."""
    (folder / "resolv.conf").touch()
    (folder / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
    (folder / "hosts").write_text("127.0.0.1 localhost\n")
    files = {Path("/etc") / name: folder / name for name in ("resolv.conf", "nsswitch.conf", "hosts")}
    with Namespace((), files) as space:
        moved = office.space.command("ip", "link", "set", "laptop", "netns", space.network)
        assert moved.code == 0, moved.err
        assert space.command("ip", "link", "set", "laptop", "up").code == 0
        try:
            yield space
        finally:
            back = space.command("ip", "link", "set", "laptop", "netns", office.space.network)
            assert back.code == 0, back.err


def lease(space: Namespace, folder: Path) -> str:
    """Ask for an address; what option 252 says."""
    script = folder / "lease.sh"
    script.write_text(LEASE_SCRIPT.format(folder=folder))
    script.chmod(0o755)
    asked = ("busybox", "udhcpc", "-i", "laptop", "-f", "-q", "-n", "-t", "20", "-T", "1", "-O", "wpad", "-s", script)
    ended = space.command(*asked)
    assert ended.code == 0, ended.err
    return (folder / "wpad").read_text()


def pac_for_the_laptop(office: Office) -> str:
    ended = office.space.command(*STEERING, "pac", "--source", LAPTOP, folder=office.folder, environment=environment())
    assert ended.code == 0, ended.err
    return ended.out


SERVERS: dict[str, Callable[[Office], tuple[str | Path, ...]]] = {"dhcpd": dhcpd, "kea-dhcp4": kea}


def look_for_the_pac(office: Office, space: Namespace, folder: Path) -> None:
    assert lease(space, folder) == f"http://{OFFICE}/proxy.pac"
    assert (folder / "resolv.conf").read_text() == f"search {ZONE}\nnameserver {OFFICE}\n"
    expected = pac_for_the_laptop(office)
    assert "pin.example" in expected
    assert f"PROXY {OFFICE}:3128" in expected
    # By DHCP; by DNS as a browser does, by name alone and on port 80; and with Windows' byte too many.
    for url in (f"http://{OFFICE}/proxy.pac", "http://wpad/wpad.dat", f"http://wpad.{ZONE}/wpad.dat%00"):
        told = space.command("curl", "-sS", "-w", "\n%{http_code} %{content_type}", "--max-time", "20", url)
        body, _, head = told.out.rpartition("\n")
        assert (body, head) == (expected, "200 application/x-ns-proxy-autoconfig"), (url, told.err)


def test_dnsmasq_gives_addresses_and_names(office: Office, tmp_path: Path) -> None:
    server = dnsmasq(office, "dhcp-dnsmasq", "wpad-dnsmasq", "resolver-dnsmasq", dhcp=True)
    with laptop(office, tmp_path) as space, office.running(*server):
        look_for_the_pac(office, space, tmp_path)


@pytest.mark.parametrize("server", [pytest.param(name, marks=pytest.mark.needs(name)) for name in SERVERS])
def test_another_server_gives_the_addresses(server: str, office: Office, tmp_path: Path) -> None:
    names, addresses = dnsmasq(office, "wpad-dnsmasq", dhcp=False), SERVERS[server](office)
    # The laptop first: Kea listens on no interface whose cable hangs in the air.
    with laptop(office, tmp_path) as space, office.running(*names), office.running(*addresses):
        look_for_the_pac(office, space, tmp_path)


def test_without_the_files_there_is_nothing_to_find(office: Office, tmp_path: Path) -> None:
    """What finds the PAC in the other tests is what was deployed."""
    with laptop(office, tmp_path) as space, office.running(*dnsmasq(office, dhcp=True)):
        assert lease(space, tmp_path) == ""
        ended = space.command("curl", "-sS", "--max-time", "20", "http://wpad/wpad.dat")
        assert (ended.code, ended.out) == (6, "")  # curl: could not resolve
