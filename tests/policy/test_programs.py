"""The grammar of ``programs``: which running programs an entry stands for, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy.errors import ProgramError
from steering.policy.facts import Program, System, Ternary
from steering.policy.programs import ProgramEntry, parse_program, split_system

PARSED = [
    ("zoom.exe", ProgramEntry(name="zoom.exe")),
    (" us.zoom.xos ", ProgramEntry(name="us.zoom.xos")),
    ("Google Chrome Helper", ProgramEntry(name="Google Chrome Helper")),
    ("windows:Zoom.exe", ProgramEntry(name="Zoom.exe", system=System.WINDOWS)),
    ("MacOS: us.zoom.xos", ProgramEntry(name="us.zoom.xos", system=System.MACOS)),
    ("linux:zoom", ProgramEntry(name="zoom", system=System.LINUX)),
    ("com.docker.*", ProgramEntry(name="com.docker", family=True)),
    ("macos:com.docker.*", ProgramEntry(name="com.docker", family=True, system=System.MACOS)),
    # No guessing of the system by the form: each of these is a real name elsewhere.
    ("notion.id", ProgramEntry(name="notion.id")),
    ("Cisco-Systems.Spark", ProgramEntry(name="Cisco-Systems.Spark")),
    ("python3.12", ProgramEntry(name="python3.12")),
]


@pytest.mark.parametrize(("text", "entry"), PARSED)
def test_parsed(text: str, entry: ProgramEntry) -> None:
    assert parse_program(text) == entry


PATH = 'is a path; write {"path": ...} to compare the whole path, or the file name alone'
EXACT = "names are compared exactly; only a trailing '.*' is allowed (com.example.app.*)"
REFUSED = [
    ("", "'' names no program"),
    (" ", "' ' names no program"),
    (".*", "'.*' names no program"),
    ("linux:", "'linux:' names no program"),
    ("macos:.*", "'macos:.*' names no program"),
    ("android:zoom", "'android:zoom': before ':' stands one of windows, macos, linux"),
    (":zoom", "':zoom': before ':' stands one of windows, macos, linux"),
    ("/usr/bin/zoom", f"'/usr/bin/zoom' {PATH}"),
    ("windows:C\\zoom.exe", f"'windows:C\\\\zoom.exe' {PATH}"),
    ("*", f"'*': {EXACT}"),
    ("zoom*", f"'zoom*': {EXACT}"),
    ("com.*.zoom", f"'com.*.zoom': {EXACT}"),
    ("*.exe", f"'*.exe': {EXACT}"),
    ("zo?m.exe", f"'zo?m.exe': {EXACT}"),
    ("zo\x07om", "'zo\\x07om' holds a control character"),
]


@pytest.mark.parametrize(("text", "reason"), REFUSED)
def test_refused(text: str, reason: str) -> None:
    with pytest.raises(ProgramError) as caught:
        parse_program(text)
    assert str(caught.value) == reason


WINDOWS, MACOS, LINUX = System.WINDOWS, System.MACOS, System.LINUX


def running(system: System | None, *names: str, **facts: object) -> Program:
    return Program(system=system, names=names, **facts)  # type: ignore[arg-type]


NAMES = [
    ("zoom.exe", running(WINDOWS, "Zoom.EXE"), True),
    ("zoom", running(WINDOWS, "zoom.exe"), False),
    ("zoom.exe", running(WINDOWS, "notzoom.exe"), False),
    ("us.zoom.xos", running(MACOS, "US.Zoom.xos"), True),
    ("us.zoom.xos", running(MACOS, "us.zoom.helper", "us.zoom.xos"), True),  # the bundle around it
    ("com.tinyspeck.slackmacgap", running(MACOS, "com.tinyspeck.slackmacgap.helper"), False),  # nothing is inherited
    ("wrapped", running(MACOS, "Wrapped"), True),  # no bundle: the executable's file name
    ("zoom", running(LINUX, "zoom"), True),
    ("zoom", running(LINUX, "Zoom"), False),  # Linux tells them apart
    ("linux:zoom", running(LINUX, "zoom"), True),
    ("linux:zoom", running(MACOS, "zoom"), False),
    ("windows:zoom.exe", running(LINUX, "zoom.exe"), False),
    ("windows:zoom.exe", running(WINDOWS, "ZOOM.exe"), True),
    ("macos:us.zoom.xos", running(WINDOWS, "us.zoom.xos"), False),
    # A system that was not said: as each system would have it.
    ("zoom", running(None, "ZOOM"), True),
    ("linux:zoom", running(None, "ZOOM"), False),
    ("linux:zoom", running(None, "zoom"), True),
    ("windows:zoom.exe", running(None, "ZOOM.exe"), True),
    ("com.docker.*", running(MACOS, "com.docker.backend"), True),
    ("com.docker.*", running(MACOS, "Com.Docker.vpnkit.x"), True),
    ("com.docker.*", running(MACOS, "com.docker"), False),
    ("com.docker.*", running(MACOS, "com.dockerx.backend"), False),
    ("com.docker.*", running(LINUX, "com.docker.backend"), True),
    ("com.docker.*", running(LINUX, "Com.docker.backend"), False),
    ("zoom", running(LINUX), False),
]


@pytest.mark.parametrize(("entry", "program", "matched"), NAMES)
def test_names(entry: str, program: Program, matched: bool) -> None:
    assert parse_program(entry).matches(program) is matched


HASH, OTHER_HASH = "a" * 64, "b" * 64
CONDITIONS: list[tuple[ProgramEntry, Program, Ternary]] = [
    (ProgramEntry(name="zoom", sha256=HASH), running(LINUX, "zoom", sha256=HASH), True),
    (ProgramEntry(name="zoom", sha256=HASH), running(LINUX, "zoom", sha256=OTHER_HASH), False),
    (ProgramEntry(name="zoom", sha256=HASH), running(LINUX, "zoom"), None),  # not established is not "no"
    (ProgramEntry(name="zoom", sha256=HASH), running(LINUX, "curl"), False),  # but the name decides already
    (ProgramEntry(signer="Zoom"), running(MACOS, "x", signer="Zoom"), True),
    (ProgramEntry(signer="Zoom"), running(MACOS, "x", signer=""), False),  # unsigned
    (ProgramEntry(signer="Zoom"), running(MACOS, "x"), None),
    (ProgramEntry(root_owned=True), running(LINUX, "x", root_owned=True), True),
    (ProgramEntry(root_owned=True), running(LINUX, "x", root_owned=False), False),
    (ProgramEntry(root_owned=False), running(LINUX, "x", root_owned=False), True),
    (ProgramEntry(root_owned=True), running(LINUX, "x"), None),
    (ProgramEntry(system=LINUX, signer="z"), running(WINDOWS, "x"), False),
    (ProgramEntry(path="/opt/*/zoom"), running(LINUX, "zoom", path="/opt/z/zoom"), True),
    (ProgramEntry(path="/opt/*/zoom"), running(LINUX, "zoom"), None),
]


@pytest.mark.parametrize(("entry", "program", "matched"), CONDITIONS)
def test_conditions(entry: ProgramEntry, program: Program, matched: Ternary) -> None:
    assert entry.matches(program) is matched


PATHS = [
    (LINUX, "/usr/bin/zoom", "/usr/bin/zoom", True),
    (LINUX, "/usr/bin/zoom", "/usr/bin/Zoom", False),
    (LINUX, "/usr/bin/*", "/usr/bin/zoom", True),
    (LINUX, "/usr/bin/*", "/usr/bin/z/zoom", False),
    (LINUX, "/usr/*", "/usr", False),
    (LINUX, "/usr/**", "/usr/bin/z/zoom", True),
    (LINUX, "/usr/**", "/usr", True),
    (LINUX, "**/zoom", "/usr/bin/zoom", True),
    (LINUX, "/opt/**/bin/zoom", "/opt/bin/zoom", True),
    (LINUX, "/opt/**/bin/zoom", "/opt/a/b/bin/zoom", True),
    (LINUX, "/opt/**/bin/zoom", "/opt/a/bin/b/zoom", False),
    (LINUX, "/usr/bin/zoom", "/tmp/usr/bin/zoom", False),
    (LINUX, "/usr/bin/zo?m", "/usr/bin/zoom", True),
    (WINDOWS, "C:\\Program Files\\Zoom\\**", "c:\\program files\\zoom\\bin\\Zoom.exe", True),
    (WINDOWS, "C:/Program Files/Zoom/*", "C:\\Program Files\\Zoom\\Zoom.exe", True),
    (WINDOWS, "C:\\Program Files\\Zoom\\*", "C:\\Users\\ann\\Zoom\\Zoom.exe", False),
    (MACOS, "/Applications/zoom.us.app/**", "/Applications/Zoom.us.app/Contents/MacOS/zoom.us", True),
    (None, "/usr/bin/zoom", "/usr/bin/ZOOM", True),
]


@pytest.mark.parametrize(("system", "glob", "path", "matched"), PATHS)
def test_paths(system: System | None, glob: str, path: str, matched: bool) -> None:
    assert ProgramEntry(path=glob).matches(running(system, "x", path=path)) is matched


def test_a_hostile_path_is_judged_in_the_product_of_both_lengths() -> None:
    entry = ProgramEntry(path="**/a/" * 200 + "b")
    assert entry.matches(running(LINUX, "x", path="/a" * 2000)) is False  # going back would never end


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        (ProgramEntry(name="zoom"), "zoom"),
        (ProgramEntry(name="com.docker", family=True, system=MACOS), "macos:com.docker.*"),
        (ProgramEntry(path="/opt/**"), "(any name), at /opt/**"),
        (ProgramEntry(name="zoom", sha256="ab", signer="Z"), "zoom, sha256 ab, signed by Z"),
        (ProgramEntry(name="zoom", root_owned=True), "zoom, in a place only the administrator can write"),
        (ProgramEntry(name="zoom", root_owned=False), "zoom, in a writable place"),
    ],
)
def test_in_words(entry: ProgramEntry, text: str) -> None:
    assert str(entry) == text


@pytest.mark.parametrize(
    ("text", "split"),
    [
        ("zoom", (None, "zoom")),
        ("Linux:zoom", (LINUX, "zoom")),
        ("windows:C:\\zoom.exe", (WINDOWS, "C:\\zoom.exe")),
        ("C:\\zoom.exe", (None, "C:\\zoom.exe")),
        ("", (None, "")),
    ],
)
def test_split_system(text: str, split: tuple[System | None, str]) -> None:
    assert split_system(text) == split


@given(st.text(max_size=30))
def test_whatever_is_written_is_parsed_or_refused(text: str) -> None:
    try:
        entry = parse_program(text)
    except ProgramError as exc:
        assert str(exc)
        return
    assert parse_program(str(entry)) == entry
    if entry.name and not entry.family:
        assert entry.matches(running(entry.system, entry.name)) is True
