"""Capture for real: two networks joined by a wire, programs of several users, and every way to end.

On the one side programs and the helper, on the other an origin.  A connection is answered "captured" by the helper's
listener or "direct" by the origin.
"""

import asyncio
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import cast

import pytest

from steering.endpoint.capture import linux_nft
from steering.endpoint.capture.rules import OWN_MARK, CapturePlan
from steering.endpoint.errors import EndpointError
from tests.kit import ROOT, eventually, wait_until
from tests.wire.namespace import Namespace

pytestmark = pytest.mark.needs("linux", "nft", "unshare", "setpriv")

HELPER, ALICE, BOB = 61001, 61002, 61003
V4, V6 = "198.51.100.2", "2001:db8:51::2"
PORT = 15001
PLAN = CapturePlan(port=PORT, own_uid=HELPER)

# What one connection brings: who answered, or the error's name.
CLIENT = """
import socket, sys
family, address, port, mark = socket.AddressFamily(int(sys.argv[1])), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
with socket.socket(family) as sock:
    sock.settimeout(5)
    try:
        if mark:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
        sock.connect((address, port))
        print(sock.recv(99).decode(), end="")
    except OSError as exc:
        print(type(exc).__name__, end="")
"""
QUIC = """
import socket, sys
with socket.socket(socket.AddressFamily(int(sys.argv[1])), socket.SOCK_DGRAM) as sock:
    sock.settimeout(5)
    try:
        sock.connect((sys.argv[2], int(sys.argv[3])))
        sock.send(b"hello")
        print(sock.recv(99).decode(), end="")
    except OSError as exc:
        print(type(exc).__name__, end="")
"""
AF_INET, AF_INET6 = 2, 10
REFUSED = "PermissionError"  # what a sender gets at once when its own machine's packet filter refuses a datagram


class _Datagrams(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(b"direct", addr)


@dataclass(slots=True, kw_only=True)
class World:
    """inside: where programs and the helper are.  folder: the helper's."""

    inside: Namespace
    origin: Namespace
    folder: Path
    helper: list[asyncio.Server]

    def connect(self, port: int = 443, uid: int = ALICE, address: str = V4, family: int = 0, mark: int = 0) -> str:
        family = family or (AF_INET6 if ":" in address else AF_INET)
        return self._as(uid, CLIENT, str(family), address, str(port), str(mark))

    def send(self, port: int = 443, uid: int = ALICE, address: str = V4) -> str:
        return self._as(uid, QUIC, str(AF_INET6 if ":" in address else AF_INET), address, str(port))

    def _as(self, uid: int, script: str, *arguments: str) -> str:
        user = ("setpriv", "--reuid", str(uid), "--regid", str(uid), "--clear-groups") if uid else ()
        ended = self.inside.command(*user, "/usr/bin/python3", "-c", script, *arguments)
        assert ended.code == 0, ended.err
        return ended.out

    def nft(self, *arguments: str, given: str = "") -> str:
        ended = self.inside.command("nft", *arguments, given=given.encode())
        assert ended.code == 0, ended.err
        return ended.out

    def apply(self, plan: CapturePlan = PLAN) -> None:
        self._here(lambda: linux_nft.apply(plan, self.folder))

    def beat(self, plan: CapturePlan) -> None:
        self._here(lambda: linux_nft.beat(plan))

    def undo(self) -> None:
        self._here(lambda: linux_nft.undo(self.folder))

    def drift(self) -> str:
        found: list[str] = []
        self._here(lambda: found.append(linux_nft.drift(self.folder)))
        return found[0]

    def is_loaded(self) -> bool:
        found: list[bool] = []
        self._here(lambda: found.append(linux_nft.is_loaded()))
        return found[0]

    def _here(self, act: object) -> None:
        async def call() -> None:
            act()  # type: ignore[operator]

        self.inside.run(call())

    def stop_helper(self) -> None:
        self.inside.run(_close(*self.helper))


async def _native_id() -> int:
    return threading.get_native_id()


async def _serve(answer: bytes, addresses: list[str], *ports: int) -> list[asyncio.Server]:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            writer.write(answer)
            await writer.drain()
        writer.close()

    return [await asyncio.start_server(serve, addresses, port) for port in ports]


async def _close(*closing: asyncio.Server | asyncio.DatagramTransport) -> None:
    for item in closing:
        item.close()
    await asyncio.sleep(0)  # transports close in the loop's next turn


async def _echo() -> list[asyncio.DatagramTransport]:
    loop = asyncio.get_running_loop()
    ends = [(address, port) for address in (V4, V6) for port in (80, 443, 444)]
    return [(await loop.create_datagram_endpoint(_Datagrams, local_addr=end))[0] for end in ends]


@pytest.fixture(scope="module")
def joined() -> Iterator[tuple[Namespace, Namespace]]:
    with Namespace() as inside, Namespace() as origin:
        peer = origin.run(_native_id())
        sides = ((inside, "near", "198.51.100.1/24", "2001:db8:51::1/64"), (origin, "far", f"{V4}/24", f"{V6}/64"))
        made = inside.command("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", str(peer))
        assert made.code == 0, made.err
        for side, name, v4, v6 in sides:
            for command in (
                ("ip", "address", "add", v4, "dev", name),
                ("ip", "address", "add", v6, "dev", name, "nodad"),
                ("ip", "link", "set", name, "up"),
            ):
                assert side.command(*command).code == 0
        servers = origin.run(_serve(b"direct", [V4, V6], 79, 80, 81, 442, 443, 444))
        datagrams = origin.run(_echo())
        yield inside, origin
        origin.run(_close(*servers, *datagrams))


@pytest.fixture
def world(joined: tuple[Namespace, Namespace], tmp_path: Path) -> Iterator[World]:
    inside, origin = joined
    helper = inside.run(_serve(b"captured", ["127.0.0.1", "::1"], PORT))
    world = World(inside=inside, origin=origin, folder=tmp_path, helper=helper)
    yield world
    world.stop_helper()
    world.nft("flush", "ruleset")


def test_who_is_captured_and_what_is_not(world: World) -> None:
    world.apply()
    found = {
        "IPv4": world.connect(),
        "IPv6": world.connect(address=V6),
        "IPv4-mapped": world.connect(address=f"::ffff:{V4}", family=AF_INET6),
        "plain HTTP": world.connect(port=80),
        "another user": world.connect(uid=BOB),
        "root": world.connect(uid=0),
        "the helper": world.connect(uid=HELPER),
        "the helper, IPv6": world.connect(uid=HELPER, address=V6),
        "marked": world.connect(uid=0, mark=OWN_MARK),
        "marked otherwise": world.connect(uid=0, mark=OWN_MARK + 1),
        "marked without the right to": world.connect(mark=OWN_MARK),
        **{f"port {port}": world.connect(port=port) for port in (79, 81, 442, 444)},
    }
    assert found == {
        "IPv4": "captured",
        "IPv6": "captured",
        "IPv4-mapped": "captured",
        "plain HTTP": "captured",
        "another user": "captured",
        "root": "captured",
        "the helper": "direct",
        "the helper, IPv6": "direct",
        "marked": "direct",
        "marked otherwise": "captured",
        "marked without the right to": "PermissionError",
        **{f"port {port}": "direct" for port in (79, 81, 442, 444)},
    }


def test_only_the_named_users_and_networks(world: World) -> None:
    world.apply(CapturePlan(port=PORT, own_uid=HELPER, users=(BOB,), stays=(ip_network("2001:db8:51::/64"),)))
    assert world.connect(uid=BOB) == "captured"
    assert world.connect(uid=ALICE) == "direct"
    assert world.connect(uid=BOB, address=V6) == "direct"


def test_what_stays_on_this_machine_is_left_alone(world: World) -> None:
    world.apply()
    assert world.connect(port=443, address="127.0.0.1") == "ConnectionRefusedError"
    assert world.connect(port=443, address="198.51.100.1") == "ConnectionRefusedError", "its own address"


def test_quic_is_refused_at_once_and_only_to_those_captured(world: World) -> None:
    before = [world.send(), world.send(address=V6)]
    world.apply()
    found = [world.send(), world.send(address=V6), world.send(port=80), world.send(port=444), world.send(uid=HELPER)]
    assert (before, found) == (
        ["direct", "direct"],
        [REFUSED, REFUSED, REFUSED, "direct", "direct"],
    )


def test_closed_without_a_helper(world: World) -> None:
    world.apply()
    world.stop_helper()
    assert [world.connect(), world.connect(address=V6)] == ["ConnectionRefusedError"] * 2


def _left_s(world: World) -> float:
    """Until the held port 443 expires, in whole seconds; -1 where it has."""
    found = json.loads(world.nft("-j", "list", "set", "inet", "steering_endpoint", "held"))
    elements = next(item["set"] for item in found["nftables"] if "set" in item).get("elem", ())
    return float(next((e["elem"]["expires"] for e in elements if e["elem"]["val"] == 443), -1))


def test_open_lets_go_by_itself(world: World) -> None:
    world.apply(CapturePlan(port=PORT, own_uid=HELPER, dead="open", expires_s=2))
    assert world.connect() == "captured"
    world.stop_helper()
    assert world.connect() in ("ConnectionRefusedError", "direct")
    wait_until(lambda: _left_s(world) < 0, what="the end of what is held")
    assert [world.connect(), world.send()] == ["direct", "direct"]


def test_a_beat_renews_and_brings_back(world: World) -> None:
    plan = CapturePlan(port=PORT, own_uid=HELPER, dead="open", expires_s=30)
    world.apply(plan)
    wait_until(lambda: _left_s(world) < 29, what="some time")
    world.beat(plan)
    assert _left_s(world) >= 29
    world.nft("flush", "set", "inet", "steering_endpoint", "held")
    assert world.connect() == "direct"
    world.beat(plan)
    assert world.connect() == "captured"
    assert world.drift() == "", "what expires is no drift"


OTHERS = """
table inet others {
    chain c {
        type filter hook output priority 5; policy accept;
        tcp dport 9 drop
    }
}
"""


def test_undo_leaves_exactly_what_others_have(world: World) -> None:
    world.nft("-f", "-", given=OTHERS)
    before = world.nft("list", "ruleset")
    for plan in (PLAN, CapturePlan(port=PORT, own_uid=HELPER, dead="open")):
        world.apply(plan)
        assert world.is_loaded()
        world.undo()
        assert (world.nft("list", "ruleset"), world.is_loaded()) == (before, False)
    world.undo()  # where nothing is
    assert world.nft("list", "ruleset") == before
    assert list(world.folder.iterdir()) == []


KILLED = """
import os, signal, sys
from pathlib import Path
from steering.endpoint.capture import linux_nft
from steering.endpoint.capture.rules import CapturePlan
linux_nft.apply(CapturePlan(port=int(sys.argv[2]), own_uid=int(sys.argv[3])), Path(sys.argv[1]))
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_is_replaced_or_removed(world: World) -> None:
    def left() -> None:
        ended = world.inside.command(sys.executable, "-c", KILLED, world.folder, "15009", str(HELPER), folder=ROOT)
        assert ended.code == -9, ended.err

    left()
    assert world.connect() == "ConnectionRefusedError", "closed: it was redirected to who is gone"
    world.apply()
    assert (world.connect(), world.nft("list", "tables")) == ("captured", "table inet steering_endpoint\n")
    left()
    world.undo()
    assert (world.connect(), world.nft("list", "ruleset")) == ("direct", "")


CHANGES = {
    "a rule is removed": "flush chain inet steering_endpoint quic",
    "a rule is put before": "insert rule inet steering_endpoint steer accept",
    "all is flushed": "flush ruleset",
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
@pytest.mark.parametrize("dead", ["closed", "open"])
def test_what_others_change_is_told_and_put_back(world: World, change: str, dead: str) -> None:
    assert world.drift() == "capture was never put in force"
    plan = CapturePlan(port=PORT, own_uid=HELPER, dead="open" if dead == "open" else "closed", expires_s=1)
    world.apply(plan)
    assert world.drift() == ""
    listed = _stable(world)
    world.nft(*change.split())
    assert world.drift() != ""
    told: list[str] = []

    async def keep_until_told() -> None:
        keeping = asyncio.create_task(linux_nft.keep(plan, world.folder, told.append))
        await eventually(lambda: told and not linux_nft.drift(world.folder), what="the rules as they were")
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping

    world.inside.run(keep_until_told())
    assert told[0].startswith("capture is put in force again: ")
    assert _stable(world) == listed


def _stable(world: World) -> str:
    return re.sub(r"\n\s*elements = {[^}]*}(?=\n\t})", "", world.nft("-s", "list", "ruleset"))


AS_SERVICE = """
import sys
from pathlib import Path
from steering.endpoint.capture import linux_nft
from steering.endpoint.capture.rules import CapturePlan
from steering.endpoint.errors import EndpointError
plan = CapturePlan(port=15001, own_uid=int(sys.argv[2]), dead="open")
try:
    linux_nft.apply(plan, Path(sys.argv[1]))
    linux_nft.beat(plan)
    print(linux_nft.drift(Path(sys.argv[1])) or "in force")
except EndpointError as exc:
    print(exc)
"""


def test_the_service_user_needs_one_capability(world: World) -> None:
    user = ("setpriv", "--reuid", str(HELPER), "--regid", str(HELPER), "--clear-groups")
    capability = ("--inh-caps", "+net_admin", "--ambient-caps", "+net_admin")
    with TemporaryDirectory() as folder:  # not below pytest's own, where another user may not go
        shutil.chown(folder, HELPER)
        script = (sys.executable, "-c", AS_SERVICE, folder, str(HELPER))
        without = world.inside.command(*user, *script, folder=ROOT)
        assert "it takes CAP_NET_ADMIN" in without.out, without.err
        assert world.inside.command(*user, *capability, *script, folder=ROOT).out == "in force\n"
        assert world.connect() == "captured"


def test_a_plan_is_checked_without_being_loaded(world: World) -> None:
    async def check() -> None:
        linux_nft.check(PLAN)

    world.inside.run(check())
    assert world.nft("list", "ruleset") == ""


def test_without_nft_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def no_such(*_: object, **__: object) -> None:
        raise FileNotFoundError("nft")

    monkeypatch.setattr(subprocess, "run", no_such)
    with pytest.raises(EndpointError, match="install the package nftables"):
        linux_nft.apply(PLAN, tmp_path)
