"""The registry of devices: on disk whole, revoked at once, bounded."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from steering.control import devices as module
from steering.control.devices import FORGET_AFTER_S, MAX_TEXT, Device, Devices, Report
from steering.control.errors import StateError

NOW = 1_800_000_000.0
ENDS = NOW + 90 * 86400.0
FIRST = Device(device_id="a1", group="sales", name="laptop-1", system="Linux", enrolled_at=NOW, ends_at=ENDS)
SECOND = Device(device_id="b2", group="sales", name="laptop-2", system="Darwin", enrolled_at=NOW + 1, ends_at=ENDS)
THIRD = Device(device_id="c3", group="", name="laptop-1", system="Windows", enrolled_at=NOW + 2, ends_at=ENDS)
REPORT = Report(
    revision="r1", version="0.1", error="", self_test=True, drift={"proxy": "ok"}, counters={"direct": 3}, address="::1"
)


def devices(path: Path) -> Devices:
    made = Devices(path)
    for device in (FIRST, SECOND, THIRD):
        made.add(device)
    return made


async def test_what_is_kept_is_loaded(tmp_path: Path) -> None:
    path = tmp_path / "devices.json"
    made = devices(path)
    made.heard("a1", REPORT, NOW + 9)
    made.renewed("b2", ENDS + 5)
    assert made.revoke("c3", NOW + 3) == {"c3"}
    await made.keep()
    again = Devices.load(path)
    assert [again.get(key) for key in ("a1", "b2", "c3")] == [
        replace(FIRST, seen_at=NOW + 9),
        replace(SECOND, ends_at=ENDS + 5),
        replace(THIRD, revoked_at=NOW + 3),
    ]
    assert again.revoked == {"c3"} and len(again) == 3
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().splitlines()) == 5, "one line a device"


@pytest.mark.parametrize(
    ("which", "revoked"),
    [("a1", {"a1"}), ("laptop-1", {"a1", "c3"}), ("sales", {"a1", "b2"}), ("laptop", set()), ("", set())],
)
def test_revoking_by_id_name_or_group(tmp_path: Path, which: str, revoked: set[str]) -> None:
    made = devices(tmp_path / "d")
    assert made.revoke(which, NOW) == revoked == made.revoked
    assert made.revoke(which, NOW + 1) == set(), "once"


def test_an_id_that_a_restored_backup_has_lost_can_be_revoked_all_the_same(tmp_path: Path) -> None:
    made, lost = devices(tmp_path / "d"), "0123456789abcdef" * 2
    assert made.revoke(lost, NOW) == {lost} == made.revoked
    assert made.revoke(lost, NOW + 1) == set(), "once"
    made.prune(ENDS + FORGET_AFTER_S - 1)
    assert lost in made.revoked, "for as long as its certificate could be good"
    made.prune(ENDS + FORGET_AFTER_S)
    assert lost not in made.revoked
    for no_id in (lost[:-1], lost.upper(), "g" * 32):
        assert made.revoke(no_id, NOW) == set()


def test_the_list_has_who_was_heard_last_first(tmp_path: Path) -> None:
    made = devices(tmp_path / "d")
    made.heard("c3", REPORT, NOW + 5)
    made.heard("b2", REPORT, NOW + 6)
    listed = made.listed()
    assert [row["device_id"] for row in listed] == ["b2", "c3", "a1"]
    assert listed[0]["report"]["drift"] == {"proxy": "ok"} and listed[2]["report"] is None
    json.dumps(listed)
    assert [made.heard_since(NOW + moment) for moment in (5, 6, 7)] == [2, 1, 0]


def test_nobody_is_made_by_a_heartbeat_or_a_renewal(tmp_path: Path) -> None:
    made = Devices(tmp_path / "d")
    made.heard("x", REPORT, NOW)
    made.renewed("x", NOW)
    assert len(made) == 0 and made.get("x") is None


def test_names_are_clipped(tmp_path: Path) -> None:
    made = Devices(tmp_path / "d")
    made.add(replace(FIRST, name="n" * (MAX_TEXT + 1), system="s" * MAX_TEXT))
    found = made.get("a1")
    assert found is not None and (len(found.name), len(found.system)) == (MAX_TEXT, MAX_TEXT)


def test_the_number_ends_somewhere_and_those_that_ended_make_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_DEVICES", 3)
    made = devices(tmp_path / "d")
    made.revoke("a1", NOW)
    late = replace(FIRST, device_id="d4")
    with pytest.raises(StateError, match="there are 3 devices already"):
        made.add(replace(late, enrolled_at=ENDS + FORGET_AFTER_S - 1))
    made.add(replace(late, enrolled_at=ENDS + FORGET_AFTER_S))
    assert len(made) == 1 and made.revoked == set(), "its certificate ended long ago"


@pytest.mark.parametrize("text", ["", "[]", "{", '{"devices": [{}]}', '{"devices": 3}', '{"devices": [3]}'])
def test_a_broken_file_is_no_empty_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "d").write_text(text)
    with pytest.raises(StateError, match="cannot be read"):
        Devices.load(tmp_path / "d")
    assert len(Devices.load(tmp_path / "none")) == 0
