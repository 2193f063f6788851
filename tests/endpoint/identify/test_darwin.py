"""The macOS ladder on a constructed macOS (nothing recorded; not yet run on a real machine)."""

import hashlib
import plistlib
import time
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from steering.endpoint.identify import darwin
from steering.endpoint.identify.darwin import (
    MAY_HAVE_CHANGED,
    NOT_FOUND,
    QUEUED_NS,
    SHARED,
    TOO_LONG,
    DarwinIdentifier,
    open_darwin,
)
from steering.endpoint.identify.darwin_layouts import INI_IPV6
from steering.endpoint.identify.identity import Ends, Identity, Method
from steering.policy import System
from tests.endpoint.identify.darwin_worlds import Constructed, ConstructedDarwin, socket_info

ENDS = Ends(ip_address("127.0.0.1"), 50123, ip_address("127.0.0.1"), 3129)
ENDS6 = Ends(ip_address("::1"), 50124, ip_address("::1"), 3129)
CURL = Constructed(path="/usr/bin/curl", sockets={5: socket_info(ENDS)})
KNOWN = Identity(system=System.MACOS, pid=70, names=("curl",), path="/usr/bin/curl", user="anna", method=Method.LIST)


@pytest.fixture
def system() -> ConstructedDarwin:
    return ConstructedDarwin(
        processes={1: Constructed(path="/sbin/launchd", parent=0, uid=0), 60: Constructed(path="/bin/zsh"), 70: CURL}
    )


@pytest.fixture
def identifier(system: ConstructedDarwin) -> Iterator[DarwinIdentifier]:
    identifier = DarwinIdentifier(system)
    yield identifier
    identifier.close()
    assert system.closed


async def full(identifier: DarwinIdentifier, ends: Ends = ENDS) -> Identity:
    return await identifier.full(ends)


def fast(identifier: DarwinIdentifier, ends: Ends = ENDS) -> Identity | None:
    return identifier.fast(ends)


def held(system: ConstructedDarwin, pid: int, *infos: bytes) -> None:
    sockets = dict(enumerate(infos, start=5))
    system.processes[pid] = replace(system.processes[pid], sockets=sockets)


@pytest.mark.parametrize(
    ("info", "ends"),
    [(socket_info(ENDS), ENDS), (socket_info(ENDS, flags=INI_IPV6), ENDS), (socket_info(ENDS6), ENDS6)],
    ids=["IPv4", "IPv4-mapped", "IPv6"],
)
async def test_who_holds_the_socket_is_found_and_then_remembered(
    system: ConstructedDarwin, identifier: DarwinIdentifier, info: bytes, ends: Ends
) -> None:
    held(system, 70, info)
    assert fast(identifier, ends) is None
    scans = system.scans
    assert await full(identifier, ends) == KNOWN
    assert fast(identifier, ends) == replace(KNOWN, method=Method.RECENT)
    assert await full(identifier, ends) == replace(KNOWN, method=Method.RECENT)
    assert system.scans == scans + 1 and system.asked == ["account 501"]


async def test_a_socket_that_nobody_shows_is_unknown(system: ConstructedDarwin, identifier: DarwinIdentifier) -> None:
    assert await full(identifier, ENDS6) == Identity(system=System.MACOS, unknown=NOT_FOUND)


async def test_a_search_that_takes_too_long_is_given_up(
    system: ConstructedDarwin, identifier: DarwinIdentifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(darwin, "DEADLINE_S", -1.0)
    assert await full(identifier) == Identity(system=System.MACOS, unknown=TOO_LONG)


async def test_a_process_that_ended_is_unknown(system: ConstructedDarwin, identifier: DarwinIdentifier) -> None:
    await full(identifier)
    system.ends(70)
    assert fast(identifier) is None
    assert (await full(identifier)).unknown == NOT_FOUND


# Programs that change, and sockets that are shared


class Clock:
    """Monotonic, in nanoseconds."""

    now = 5 * QUEUED_NS

    def __call__(self) -> int:
        return self.now


def watching(system: ConstructedDarwin, for_ns: int = QUEUED_NS) -> DarwinIdentifier:
    """A ladder that has watched every process for that long."""
    clock = Clock()
    identifier = DarwinIdentifier(system, clock_ns=clock)
    clock.now += for_ns
    return identifier


@pytest.mark.parametrize(("more_ns", "why"), [(-1, MAY_HAVE_CHANGED), (0, ""), (1, "")])
async def test_without_close_on_exec_the_process_must_have_been_watched(
    system: ConstructedDarwin, more_ns: int, why: str
) -> None:
    held(system, 70, socket_info(ENDS, cloexec=False))
    identifier = watching(system, QUEUED_NS + more_ns)
    assert (await full(identifier)).unknown == why
    identifier.close()


async def test_a_process_that_came_since_is_watched_from_when_it_was_seen(system: ConstructedDarwin) -> None:
    clock = Clock()
    identifier = DarwinIdentifier(system, clock_ns=clock)
    system.processes[71] = replace(CURL, sockets={5: socket_info(ENDS6, cloexec=False)})
    clock.now += 10 * QUEUED_NS
    await full(identifier)  # another connection
    assert (await full(identifier, ENDS6)).unknown == MAY_HAVE_CHANGED
    clock.now += QUEUED_NS
    found = fast(identifier, ENDS6)
    assert found and (found.pid, found.unknown) == (71, "")
    identifier.close()


async def test_a_program_that_became_another_is_unknown(system: ConstructedDarwin) -> None:
    held(system, 70, socket_info(ENDS, cloexec=False))
    identifier = watching(system)
    system.becomes(70, "/Applications/Slack.app/Contents/MacOS/Slack")
    assert (await full(identifier)).unknown == MAY_HAVE_CHANGED
    identifier.close()


async def test_a_program_that_changes_while_it_is_looked_at_is_unknown() -> None:
    class Changing(ConstructedDarwin):
        def path(self, pid: int) -> str:
            found = ConstructedDarwin.path(self, pid)
            self.becomes(pid, "/usr/bin/other")
            return found

    system = Changing(processes={70: replace(CURL, sockets={5: socket_info(ENDS, cloexec=False)})})
    identifier = watching(system)
    assert (await full(identifier)).unknown == MAY_HAVE_CHANGED
    identifier.close()


async def test_the_least_certain_descriptor_counts(system: ConstructedDarwin, identifier: DarwinIdentifier) -> None:
    held(system, 70, socket_info(ENDS, cloexec=False), socket_info(ENDS))
    assert (await full(identifier)).unknown == MAY_HAVE_CHANGED


@pytest.mark.parametrize(
    ("parent", "child", "why"),
    [
        ("/usr/bin/curl", "/usr/bin/curl", ""),
        ("/bin/zsh", "/usr/bin/curl", SHARED),
        ("/usr/bin/curl", "/bin/zsh", SHARED),
        ("/usr/bin/curl", "", SHARED),
    ],
)
async def test_different_programs_that_hold_a_socket_are_unknown(parent: str, child: str, why: str) -> None:
    sockets = {5: socket_info(ENDS, cloexec=False)}
    system = ConstructedDarwin(
        processes={
            60: Constructed(path=parent, sockets=sockets),
            80: replace(CURL, sockets=sockets, parent=60),
            70: Constructed(path=child, sockets=sockets, parent=80),
        }
    )
    identifier = watching(system)
    found = await full(identifier)
    assert (found.pid, found.unknown) == (80, why)
    identifier.close()


async def test_relatives_without_the_socket_do_not_matter() -> None:
    process = replace(CURL, sockets={5: socket_info(ENDS, cloexec=False)}, parent=60)
    system = ConstructedDarwin(processes={60: Constructed(path="/bin/zsh"), 70: process})
    identifier = watching(system)
    assert await full(identifier) == KNOWN
    identifier.close()


# What is known of a program


async def test_a_program_in_bundles_has_their_identifiers(
    system: ConstructedDarwin, identifier: DarwinIdentifier, tmp_path: Path
) -> None:
    contents = tmp_path / "Slack.app" / "Contents"
    contents.mkdir(parents=True)
    (contents / "Info.plist").write_bytes(plistlib.dumps({"CFBundleIdentifier": "com.tinyspeck.slackmacgap"}))
    system.processes[70] = replace(CURL, path=f"{contents}/MacOS/Slack")
    found = await full(identifier)
    assert (found.names, found.path) == (("com.tinyspeck.slackmacgap",), f"{contents}/MacOS/Slack")


async def test_hash_and_signer_are_found_in_full_where_they_are_wanted(
    system: ConstructedDarwin, identifier: DarwinIdentifier, tmp_path: Path
) -> None:
    program = tmp_path / "slack"
    program.write_bytes(b"program")
    system.processes[70] = replace(CURL, path=str(program), started=(int(time.time()) + 60, 0))
    system.signers = {70: "BQR82RBBHL"}
    plain = await full(identifier)
    assert (plain.sha256, plain.signer, plain.root_owned) == (None, None, None)
    identifier.wants = frozenset({"root_owned", "sha256", "signer"})
    inline = fast(identifier)
    assert inline and (inline.sha256, inline.signer) == (None, None)
    found = await full(identifier)
    expected = hashlib.sha256(b"program").hexdigest()
    assert (found.sha256, found.signer, found.root_owned) == (expected, "BQR82RBBHL", False)
    assert fast(identifier) == found and system.asked == ["account 501", "signer 70"]


async def test_a_file_that_is_younger_than_its_process_is_not_hashed_for_it(
    system: ConstructedDarwin, identifier: DarwinIdentifier, tmp_path: Path
) -> None:
    program = tmp_path / "slack"
    program.write_bytes(b"program")
    system.processes[70] = replace(CURL, path=str(program), started=(1, 0))
    identifier.wants = frozenset({"sha256"})
    assert (await full(identifier)).sha256 is None


def test_elsewhere_there_is_no_such_ladder() -> None:
    with pytest.raises(OSError, match="no kqueue"):
        open_darwin()
