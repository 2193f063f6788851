"""The Windows ladder on a constructed Windows (nothing recorded; not yet run on a real machine)."""

import asyncio
import hashlib
from dataclasses import replace
from ipaddress import ip_address
from pathlib import Path

import pytest

from steering.endpoint.identify.identity import Ends, Identity, Method
from steering.endpoint.identify.windows import (
    COARSE,
    ENDED,
    NAMELESS,
    NO_TABLE,
    NOT_FOUND,
    REUSED,
    SHARED,
    WindowsIdentifier,
    open_windows,
)
from steering.endpoint.identify.windows_system import WindowsProcess
from steering.policy import System
from tests.endpoint.identify.windows_worlds import ConstructedWindows, row4, row6

ENDS = Ends(ip_address("127.0.0.1"), 50123, ip_address("127.0.0.1"), 3129)
ENDS6 = Ends(ip_address("::1"), 50124, ip_address("::1"), 3129)
SLACK = WindowsProcess(created=1000, image=r"C:\Program Files\Slack\slack.exe")
KNOWN = Identity(
    system=System.WINDOWS,
    pid=7,
    names=("slack.exe",),
    path=r"C:\Program Files\Slack\slack.exe",
    root_owned=True,
    method=Method.TABLE,
)


def asked(system: ConstructedWindows, ends: Ends = ENDS) -> Identity | None:
    """By a ladder of its own, outside any loop."""
    identifier = WindowsIdentifier(system)
    found = identifier.fast(ends)
    identifier.close()
    return found


async def answered(identifier: WindowsIdentifier, ends: Ends = ENDS) -> Identity:
    return await identifier.full(ends)


@pytest.mark.parametrize(
    ("system", "ends"),
    [
        (ConstructedWindows(rows4=[row4(ENDS, 7)], processes={7: SLACK}), ENDS),
        (ConstructedWindows(rows6=[row6(ENDS, 7)], processes={7: SLACK}), ENDS),
        (ConstructedWindows(rows6=[row6(ENDS6, 7)], processes={7: SLACK}), ENDS6),
    ],
    ids=["IPv4", "IPv4-mapped", "IPv6"],
)
def test_the_owner_of_a_connection_is_named(system: ConstructedWindows, ends: Ends) -> None:
    assert asked(system, ends) == KNOWN


UNKNOWN: dict[str, tuple[ConstructedWindows, int]] = {
    NO_TABLE: (ConstructedWindows(broken=True), 0),
    NOT_FOUND: (ConstructedWindows(), 0),
    ENDED: (ConstructedWindows(rows4=[row4(ENDS, 7)]), 7),
    SHARED: (ConstructedWindows(rows4=[row4(ENDS, 7), row4(ENDS, 8)], processes={7: SLACK, 8: SLACK}), 7),
}


@pytest.mark.parametrize("why", UNKNOWN)
async def test_what_is_not_known_is_said_why(why: str) -> None:
    system, pid = UNKNOWN[why]
    unknown = Identity(system=System.WINDOWS, pid=pid, unknown=why)
    assert asked(system) == unknown
    identifier = WindowsIdentifier(system)
    assert await answered(identifier) == unknown
    identifier.close()


def test_a_process_without_a_name_is_unknown() -> None:
    nameless = ConstructedWindows(
        rows4=[row4(ENDS, 7)], processes={7: WindowsProcess(created=0, image="", native=True)}
    )
    found = asked(nameless)
    assert found and found.unknown == NAMELESS and found.names == ()


@pytest.mark.parametrize(("late", "why"), [(-1, ""), (0, ""), (1, REUSED)])
@pytest.mark.parametrize("connected", [0, 5_000_000])
def test_a_number_given_away_again_is_noticed(connected: int, late: int, why: str) -> None:
    """By the time of the connection; where the table does not say, by that of the table."""
    system = ConstructedWindows(rows4=[row4(ENDS, 7, connected=connected)], clock=9_000_000)
    system.processes = {7: replace(SLACK, created=(connected or 9_000_000) + COARSE + late)}
    found = asked(system)
    assert found and found.unknown == why


def test_the_kernel_is_called_system() -> None:
    expected = Identity(system=System.WINDOWS, pid=4, names=("System",), method=Method.TABLE)
    assert asked(ConstructedWindows(rows4=[row4(ENDS, 4)])) == expected


async def test_one_table_serves_a_tick() -> None:
    later = replace(ENDS, local_port=50999)
    system = ConstructedWindows(rows4=[row4(ENDS, 7)], processes={7: SLACK})
    identifier = WindowsIdentifier(system)
    assert identifier.fast(ENDS) and identifier.fast(ENDS) and system.reads == 1
    system.rows4 = [row4(ENDS, 7), row4(later, 7)]
    found = identifier.fast(later)  # not there yet when the table was read
    assert found and not found.unknown and system.reads == 2
    await asyncio.sleep(0)
    assert identifier.fast(ENDS) and system.reads == 3
    identifier.close()


def test_without_ticks_every_question_reads_the_table() -> None:
    system = ConstructedWindows(rows4=[row4(ENDS, 7)], processes={7: SLACK})
    identifier = WindowsIdentifier(system)
    assert identifier.fast(ENDS) and identifier.fast(ENDS) and system.reads == 2
    identifier.close()


async def test_an_account_is_looked_up_once_and_never_inline() -> None:
    system = ConstructedWindows(
        rows4=[row4(ENDS, 7)], processes={7: replace(SLACK, sid=b"S1")}, accounts={b"S1": r"CORP\anna"}
    )
    identifier = WindowsIdentifier(system)
    assert identifier.fast(ENDS) is None and system.asked == []
    expected = replace(KNOWN, user=r"CORP\anna")
    assert await answered(identifier) == await answered(identifier) == expected
    found = identifier.fast(ENDS)
    assert found == expected and system.asked == ["account S1"]
    identifier.close()


async def test_hash_and_signer_are_found_in_full_where_they_are_wanted(tmp_path: Path) -> None:
    path = tmp_path / "slack.exe"
    path.write_bytes(b"program")
    system = ConstructedWindows(
        rows4=[row4(ENDS, 7)],
        processes={7: WindowsProcess(created=1000, image=str(path))},
        signers={str(path): "Slack Technologies, LLC"},
    )
    identifier = WindowsIdentifier(system)
    plain = await answered(identifier)
    assert (plain.sha256, plain.signer, system.asked) == (None, None, [])
    identifier.wants = frozenset({"sha256", "signer"})
    inline = identifier.fast(ENDS)
    assert inline and (inline.sha256, inline.signer) == (None, None)
    found = await answered(identifier)
    assert (found.sha256, found.signer) == (hashlib.sha256(b"program").hexdigest(), "Slack Technologies, LLC")
    inline = identifier.fast(ENDS)
    assert inline == found
    assert system.asked == [f"signer {path}"]
    path.write_bytes(b"another program")
    inline = identifier.fast(ENDS)
    assert inline and (inline.sha256, inline.signer) == (None, None)
    identifier.close()


class Renaming(ConstructedWindows):
    """The executable gets another name after the first look at the process."""

    def process(self, pid: int) -> WindowsProcess | None:
        found = self.processes.get(pid)
        if found:
            self.processes = {pid: replace(found, image=r"C:\Users\a\evil.exe")}
        return found


async def test_a_file_put_in_the_place_of_a_running_one_vouches_for_nothing(tmp_path: Path) -> None:
    path = tmp_path / "slack.exe"
    path.write_bytes(b"program")
    process = WindowsProcess(created=1000, image=str(path))
    system = Renaming(rows4=[row4(ENDS, 7)], processes={7: process}, signers={str(path): "Slack"})
    identifier = WindowsIdentifier(system)
    identifier.wants = frozenset({"sha256", "signer"})
    found = await identifier.full(ENDS)
    assert (found.path, found.sha256, found.signer) == (str(path), None, None)
    identifier.close()


async def test_a_package_vouches_where_only_windows_can_have_put_it(tmp_path: Path) -> None:
    family = "Slack_8yrtsj140pw4g"
    path = tmp_path / "slack.exe"
    path.write_bytes(b"program")
    system = ConstructedWindows(
        rows4=[row4(ENDS, 7)],
        processes={7: WindowsProcess(created=1000, image=str(path), family=family)},
        signers={str(path): ""},
    )
    identifier = WindowsIdentifier(system)
    identifier.wants = frozenset({"signer"})
    found = await identifier.full(ENDS)
    assert (found.package, found.signer, found.root_owned) == (f"msix:{family}", "", None)
    identifier.close()


async def test_a_package_below_program_files_vouches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = r"C:\Program Files\WindowsApps\Slack_1.0_x64__8yrtsj140pw4g\slack.exe"  # here, a file of that long name
    monkeypatch.chdir(tmp_path)
    Path(path).write_bytes(b"program")
    system = ConstructedWindows(
        rows4=[row4(ENDS, 7)],
        processes={7: WindowsProcess(created=1000, image=path, family="Slack_8yrtsj140pw4g")},
        signers={path: ""},
    )
    identifier = WindowsIdentifier(system)
    identifier.wants = frozenset({"signer"})
    assert (await identifier.full(ENDS)).signer == "msix:Slack_8yrtsj140pw4g"
    identifier.close()


def test_the_kernels_name_of_a_file_is_a_name_and_no_place() -> None:
    native = WindowsProcess(created=1000, image=r"\Device\HarddiskVolume3\Program Files\slack.exe", native=True)
    found = asked(ConstructedWindows(rows4=[row4(ENDS, 7)], processes={7: native}))
    assert found == replace(KNOWN, path=native.image, root_owned=None)


def test_elsewhere_there_is_no_such_ladder() -> None:
    with pytest.raises(OSError, match="this is not Windows"):
        open_windows()
