r"""Which places on Windows are the administrators'."""

import pytest

from steering.endpoint.identify.windows_paths import OPEN_TO_USERS, file_name, only_administrators_write, plain
from tests.endpoint.identify.windows_worlds import FOLDERS

PLACES: dict[str, bool | None] = {
    r"C:\Program Files\Slack\slack.exe": True,
    r"c:\PROGRAM FILES\Slack\slack.exe": True,
    r"C:/Program Files (x86)/Slack/slack.exe": True,
    r"\\?\C:\Program Files\Slack\slack.exe": True,
    r"C:\Program Files\WindowsApps\a_1.0_x64__8wekyb3d8bbwe\a.exe": True,
    r"C:\Windows\System32\svchost.exe": True,
    r"C:\Windows\explorer.exe": True,
    r"C:\Windows\Temp\x.exe": False,
    r"C:\Windows\Temperature\x.exe": True,
    r"C:\Windows\System32\spool\drivers\color\x.exe": False,
    r"C:\Windows\System32\spool\drivers\x64\x.exe": True,
    r"C:\Users\a\AppData\Local\slack\slack.exe": False,
    r"C:\Program Files": False,
    r"C:\Program Files Too\x.exe": False,
    r"D:\Program Files\x.exe": False,
    r"C:\Program Files\..\Users\x.exe": False,
    r"C:\PROGRA~1\Slack\slack.exe": None,
    r"C:\Program Files\Slack\a.txt:x.exe": None,
    r"C:\Program Files.\x.exe": None,
    r"\\server\share\Program Files\x.exe": None,
    r"\Device\HarddiskVolume3\Program Files\x.exe": None,
    r"slack.exe": None,
    r"": None,
}


@pytest.mark.parametrize("path", PLACES)
def test_where_only_administrators_write(path: str) -> None:
    assert only_administrators_write(path, FOLDERS.programs, FOLDERS.windows) is PLACES[path]


@pytest.mark.parametrize("folder", OPEN_TO_USERS)
def test_folders_of_windows_that_users_may_write(folder: str) -> None:
    path = rf"C:\Windows\{folder.upper()}\x.exe"
    assert only_administrators_write(path, FOLDERS.programs, FOLDERS.windows) is False
    assert plain(folder) is None and folder == folder.casefold()


@pytest.mark.parametrize("root", ["", "C:\\", "C:", "\\\\"])
def test_a_root_that_could_not_be_read_protects_nothing(root: str) -> None:
    assert only_administrators_write(r"C:\x\y.exe", (root,), root) is False


@pytest.mark.parametrize(
    ("path", "name"), [(r"C:\a\Slack.exe", "Slack.exe"), ("C:/a/b.exe", "b.exe"), ("x", "x"), ("C:\\", ""), ("", "")]
)
def test_the_name_is_the_last_part(path: str, name: str) -> None:
    assert file_name(path) == name
