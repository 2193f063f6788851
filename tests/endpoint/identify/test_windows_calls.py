"""What is asked of Windows' functions and made of their answers, with functions that tests construct."""

import pytest

from steering.endpoint.identify.windows_calls import WindowsCalls, load_windows
from steering.endpoint.identify.windows_system import WindowsFolders, WindowsProcess
from tests.endpoint.identify.windows_library import ACCESS_DENIED, ConstructedLibrary


def calls(library: ConstructedLibrary) -> WindowsCalls:
    return WindowsCalls(library.functions())


@pytest.mark.parametrize(
    ("sizes", "rooms"),
    [
        ([0], [65536]),
        ([65536], [65536]),
        ([65537, 65537], [65536, 65537 + 65537 // 4]),
        ([100_000, 200_000, 200_000], [65536, 125_000, 250_000]),
    ],
)
def test_the_table_is_asked_for_with_more_room_until_it_fits(sizes: list[int], rooms: list[int]) -> None:
    library = ConstructedLibrary(table=b"table", sizes=sizes)
    assert calls(library).tcp_table(4) == b"table" + bytes(rooms[-1] - 5)
    assert library.calls == [f"table 2 {room}" for room in rooms]


def test_a_table_that_always_grows_is_given_up() -> None:
    library = ConstructedLibrary(sizes=[10**6 * 2**i for i in range(20)])
    with pytest.raises(OSError, match="grows faster"):
        calls(library).tcp_table(6)
    assert len(library.calls) == 8 and library.calls[0] == "table 23 65536"


def test_another_error_is_told() -> None:
    with pytest.raises(OSError, match="failed with error 5"):
        calls(ConstructedLibrary(table_error=ACCESS_DENIED)).tcp_table(4)


SEEN = WindowsProcess(created=77, image=r"C:\Program Files\Slack\slack.exe", sid=b"\x01\x05constructed")
PROCESSES: dict[str, tuple[ConstructedLibrary, WindowsProcess | None]] = {
    "ordinary": (ConstructedLibrary(), SEEN),
    "packaged": (
        ConstructedLibrary(family="Slack_8yrtsj140pw4g"),
        WindowsProcess(created=77, image=SEEN.image, sid=SEEN.sid, family="Slack_8yrtsj140pw4g"),
    ),
    "another user's": (ConstructedLibrary(token=False), WindowsProcess(created=77, image=SEEN.image)),
    "of WSL": (
        ConstructedLibrary(image="", native=r"\Device\lxss\curl"),
        WindowsProcess(created=77, image=r"\Device\lxss\curl", native=True, sid=SEEN.sid),
    ),
    "nameless": (ConstructedLibrary(image=""), WindowsProcess(created=77, image="", native=True, sid=SEEN.sid)),
    "gone": (ConstructedLibrary(process_opens=False), None),
}


@pytest.mark.parametrize("case", PROCESSES)
def test_a_process_is_seen_through_one_handle_that_is_closed(case: str) -> None:
    library, expected = PROCESSES[case]
    assert calls(library).process(7) == expected
    assert library.open == []


@pytest.mark.parametrize(
    ("account", "expected"), [(("CORP", "anna"), r"CORP\anna"), (("", "SYSTEM"), "SYSTEM"), (("CORP", ""), None)]
)
def test_an_account_has_its_domain_before_it(account: tuple[str, str], expected: str | None) -> None:
    assert calls(ConstructedLibrary(account=account)).account(b"\x01\x05constructed") == expected


def test_folders_are_the_systems_and_their_memory_is_given_back() -> None:
    folders = {"FOLDERID_ProgramFiles": r"C:\Program Files", "FOLDERID_Windows": r"C:\Windows"}
    library = ConstructedLibrary(folders=folders)
    assert calls(library).folders() == WindowsFolders(programs=(r"C:\Program Files",), windows=r"C:\Windows")
    assert library.open == []


def test_time_is_windows_own() -> None:
    assert calls(ConstructedLibrary()).now() == 133_000_000_000_000_000


def test_the_signer_is_asked_for() -> None:
    assert calls(ConstructedLibrary()).signer(SEEN.image) == "Slack Technologies, LLC"


@pytest.mark.needs("linux")
def test_here_is_no_windows() -> None:
    with pytest.raises(OSError, match="this is not Windows"):
        load_windows()
