"""Bundles around executables: real folders and real property lists, XML and binary, whole and broken."""

import os
import plistlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.endpoint.identify import bundle_ids
from steering.endpoint.identify.bundle_ids import MAX_BYTES, BundleIds, bundles_around, read_identifier

SLACK, HELPER = "com.tinyspeck.slackmacgap", "com.tinyspeck.slackmacgap.helper"


def bundle(folder: Path, identifier: object, place: str = "Contents/Info.plist", binary: bool = False) -> Path:
    """A bundle with an Info.plist of its own."""
    path = folder / place
    path.parent.mkdir(parents=True, exist_ok=True)
    kind = plistlib.FMT_BINARY if binary else plistlib.FMT_XML
    path.write_bytes(plistlib.dumps({"CFBundleIdentifier": identifier, "CFBundleName": "x"}, fmt=kind))
    return folder


@pytest.mark.parametrize("binary", [False, True])
def test_a_helper_has_the_identifiers_of_all_bundles_around_it(tmp_path: Path, binary: bool) -> None:
    app = bundle(tmp_path / "Slack.app", SLACK, binary=binary)
    framework = bundle(
        app / "Contents/Frameworks/Electron Framework.framework/Versions/A",
        "ignored: no bundle's name",
        "Resources/Info.plist",
    )
    helper = bundle(framework / "Helpers/Slack Helper.app", HELPER, binary=binary)
    assert BundleIds().of(f"{helper}/Contents/MacOS/Slack Helper") == (HELPER, SLACK)
    assert BundleIds().of(f"{app}/Contents/MacOS/Slack") == (SLACK,)


def test_each_shape_of_a_bundle_is_known(tmp_path: Path) -> None:
    framework = bundle(tmp_path / "X.framework", "com.example.framework", "Resources/Info.plist")
    phone = bundle(framework / "Wrapper/Y.app", "com.example.phone", "Info.plist")
    service = bundle(phone / "XPCServices/Z.XPC", "com.example.service")
    found = BundleIds().of(f"{service}/Contents/MacOS/z")
    assert found == ("com.example.service", "com.example.phone", "com.example.framework")


def test_each_identifier_stands_once(tmp_path: Path) -> None:
    outer = bundle(tmp_path / "A.app", SLACK)
    inner = bundle(outer / "B.app", SLACK)
    assert BundleIds().of(f"{inner}/x") == (SLACK,)


@pytest.mark.parametrize(
    "broken", [b"", b"<plist>", b"bplist00", b"bplist00" + b"\xff" * 40, b"<plist><dict/></plist>"]
)
def test_a_broken_bundle_is_passed_over(tmp_path: Path, broken: bytes) -> None:
    outer = bundle(tmp_path / "A.app", SLACK)
    inner = bundle(outer / "B.app", HELPER)
    (inner / "Contents/Info.plist").write_bytes(broken)
    assert BundleIds().of(f"{inner}/x") == (SLACK,)


@pytest.mark.parametrize("identifier", ["", "a b", "a/b", "a\n", "ä", "x" * 256, 7, ["a"], {"a": "b"}])
def test_what_is_no_identifier_is_passed_over(tmp_path: Path, identifier: object) -> None:
    assert BundleIds().of(f"{bundle(tmp_path / 'A.app', identifier)}/x") == ()


@pytest.mark.parametrize("length", [1, 254, 255])
def test_identifiers_may_be_long(tmp_path: Path, length: int) -> None:
    assert BundleIds().of(f"{bundle(tmp_path / 'A.app', 'x' * length)}/x") == ("x" * length,)


@pytest.mark.parametrize(("more", "found"), [(-1, (SLACK,)), (0, (SLACK,)), (1, ())])
def test_a_huge_list_is_not_read(tmp_path: Path, more: int, found: tuple[str, ...]) -> None:
    path = bundle(tmp_path / "A.app", SLACK) / "Contents/Info.plist"
    text = path.read_bytes()
    path.write_bytes(text + b" " * (MAX_BYTES + more - len(text)))
    assert BundleIds().of(f"{tmp_path}/A.app/x") == found


def test_a_changed_list_is_read_anew_and_an_unchanged_one_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[bytes] = []

    def read(plist: bytes) -> str:
        reads.append(plist)
        return read_identifier(plist)

    monkeypatch.setattr(bundle_ids, "read_identifier", read)
    ids, app = BundleIds(), bundle(tmp_path / "A.app", SLACK)
    assert ids.of(f"{app}/x") == ids.of(f"{app}/x") == (SLACK,) and len(reads) == 1
    bundle(app, HELPER)
    os.utime(app / "Contents/Info.plist", ns=(1, 1))
    assert ids.of(f"{app}/x") == (HELPER,) and len(reads) == 2
    (app / "Contents/Info.plist").unlink()
    assert ids.of(f"{app}/x") == ()


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/usr/bin/curl", []),
        ("/A.app/B.xpc/x", ["/A.app/B.xpc", "/A.app"]),
        ("/A.APP/x", ["/A.APP"]),
        ("/A.application/x", []),
        ("/A.app", []),
        ("", []),
    ],
)
def test_bundles_are_told_by_their_names(path: str, found: list[str]) -> None:
    assert bundles_around(path) == found


@pytest.mark.parametrize("depth", [31, 32, 33])
def test_there_is_an_end_to_bundles_within_bundles(depth: int) -> None:
    assert len(bundles_around("/A.app" * depth + "/x")) == min(depth, 32)


@pytest.mark.parametrize("path", ["a\0b.app/x", "/nowhere.app/x"])
def test_what_cannot_be_read_has_none(path: str) -> None:
    assert BundleIds().of(path) == ()


@given(st.binary(max_size=400))
def test_any_bytes_are_read(noise: bytes) -> None:
    for plist in (noise, b"bplist00" + noise, b"<?xml version='1.0'?><plist>" + noise):
        read_identifier(plist)


@given(st.data())
def test_a_damaged_list_is_read(data: st.DataObject) -> None:
    whole = bytearray(plistlib.dumps({"CFBundleIdentifier": SLACK, "a": [1, {"b": 2.5}]}, fmt=plistlib.FMT_BINARY))
    for _ in range(3):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read_identifier(bytes(whole))


def test_entities_are_not_expanded() -> None:
    bomb = b'<?xml version="1.0"?><!DOCTYPE plist [<!ENTITY a "com.example.a">]><plist><dict>'
    bomb += b"<key>CFBundleIdentifier</key><string>&a;</string></dict></plist>"
    assert read_identifier(bomb) == ""
