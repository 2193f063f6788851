"""Access lines: whole, one a decision, unforgeable; lost rather than in the way."""

import json
import os
import re
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy.access import Access
from steering.policy.points import Point
from steering.process.accesslog import MAX_LINE_BYTES, MAX_QUEUED, AccessLog, as_json, as_text
from tests.kit import wait_until

LINE = Access(
    at=1_700_000_000.25,
    point=Point.INSPECTOR,
    client="192.0.2.7",
    host="pinned.example",
    effect="tunnel",
    rule="pinned",
    why="rule 'pinned': pinned.example",
    pending=("user",),
    detail="GET /",
    status=200,
    sent=10,
    received=20,
    duration_ms=1.23456,
)


def test_a_json_line_has_every_field() -> None:
    assert json.loads(as_json(LINE)) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "point": "inspector",
        "client": "192.0.2.7",
        "user": "",
        "program": "",
        "host": "pinned.example",
        "action": "tunnel",
        "rule": "pinned",
        "why": "rule 'pinned': pinned.example",
        "pending": ["user"],
        "reason": "",
        "detail": "GET /",
        "status": 200,
        "sent": 10,
        "received": 20,
        "duration_ms": 1.235,
        "id": "",
    }


def test_a_text_line_is_for_people() -> None:
    assert as_text(LINE) == (
        "22:13:20 inspector 192.0.2.7 tunnel  pinned.example \"GET /\" (rule 'pinned': pinned.example) "
        "200 10B out, 20B in 1 ms"
    )
    helped = LINE._replace(point=Point.ENDPOINT, client="127.0.0.1", effect="direct", detail="", status=0)
    assert as_text(helped._replace(user="alice", program="slack")) == (
        "22:13:20 endpoint  127.0.0.1 direct  pinned.example (rule 'pinned': pinned.example) by slack for alice "
        "10B out, 20B in 1 ms"
    )
    refused = LINE._replace(host="", effect="refuse", why="", detail="", reason="no-sni", status=0, sent=0, received=0)
    assert as_text(refused) == "22:13:20 inspector 192.0.2.7 refuse  - [no-sni] 1 ms"


def slow_text(line: Access) -> str:
    """As ``as_text``, slow and obvious."""

    def quoted(text: str) -> str:
        return '"' + text[:200].replace("\\", "\\\\").replace('"', '\\"') + '"'

    def word(text: str) -> str:
        return text if re.fullmatch(r"[\w.@+\\:-]{1,200}", text) else quoted(text)

    parts = [
        datetime.fromtimestamp(int(line.at), UTC).strftime("%H:%M:%S"),
        f"{line.point.value:9}",
        line.client,
        f"{line.effect:7}",
        line.host or "-",
        quoted(line.detail) if line.detail else "",
        f"[{line.reason}]" if line.reason else "",
        f"({line.why})" if line.why else "",
        f"by {word(line.program)}" if line.program else "",
        f"for {word(line.user)}" if line.user else "",
        str(line.status) if line.status else "",
        f"#{line.id}" if line.id and line.reason else "",
        f"{line.sent}B out, {line.received}B in" if line.sent or line.received else "",
        f"{line.duration_ms:.0f} ms",
    ]
    text = " ".join(part for part in parts if part)
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


TEXTS = st.one_of(st.just(""), st.text(max_size=8), st.sampled_from(["a.example", 'x"y', "a\\b", "a\nb", "é", "x y"]))
SIZES = st.sampled_from([0, 1, 200, 10**12])


@given(
    st.builds(
        Access,
        at=st.floats(0, 4e9),
        point=st.sampled_from(Point),
        client=st.sampled_from(["192.0.2.7", "2001:db8::1"]),
        host=TEXTS,
        effect=st.sampled_from(["open", "tunnel", "inspector"]),
        rule=st.none(),
        why=TEXTS,
        reason=TEXTS,
        detail=TEXTS,
        status=SIZES,
        sent=SIZES,
        received=SIZES,
        duration_ms=st.floats(0, 1e6),
        user=TEXTS,
        program=TEXTS,
        id=TEXTS,
    )
)
def test_a_text_line_is_what_its_slow_twin_makes(line: Access) -> None:
    assert as_text(line) == slow_text(line)


BARE = LINE._replace(host="", why="", detail="", status=0, sent=0, received=0)


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        (BARE._replace(program="slack"), "by slack"),
        (BARE._replace(program="com.apple.Safari"), "by com.apple.Safari"),
        (BARE._replace(program="g++-12"), "by g++-12"),
        (BARE._replace(user="CORP\\alice"), "for CORP\\alice"),
        (BARE._replace(user="jürgen"), "for jürgen"),
        # A name that would pass for more of the line.
        (BARE._replace(program="x for root 200"), 'by "x for root 200"'),
        (BARE._replace(program='x" for root "'), 'by "x\\" for root \\""'),
        (BARE._replace(program='\\" for root'), 'by "\\\\\\" for root"'),
        (BARE._replace(user="Alice Liddell"), 'for "Alice Liddell"'),
        (BARE._replace(detail='GET /" [blocked]'), '"GET /\\" [blocked]"'),
    ],
)
def test_a_name_that_a_peer_chose_passes_for_nothing_else(line: Access, shown: str) -> None:
    assert as_text(line) == f"22:13:20 inspector 192.0.2.7 tunnel  - {shown} 1 ms"


@given(st.text(max_size=3000), st.text(max_size=3000))
def test_what_peers_chose_forges_no_line_and_drives_no_terminal(host: str, detail: str) -> None:
    line = LINE._replace(host=host, detail=detail, rule=host, why=detail, user=host, program=detail)
    text = as_json(line)
    assert text.isascii() and text.isprintable() and len(text) <= MAX_LINE_BYTES
    found = json.loads(text)
    assert host.startswith(found["host"]) and detail.startswith(found["detail"])
    assert as_text(line).isprintable()


def lines_of(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


def host(number: int) -> Access:
    return LINE._replace(host=f"n{number}.example")


def test_lines_are_written_in_order_and_close_waits_for_them(tmp_path: Path) -> None:
    log = AccessLog(str(tmp_path / "access.log"), as_json)
    for number in range(1000):
        log(host(number))
    log.close(10)
    assert [json.loads(line)["host"] for line in lines_of(tmp_path / "access.log")] == [
        f"n{number}.example" for number in range(1000)
    ]
    assert log.dropped == 0
    assert (tmp_path / "access.log").stat().st_mode & 0o007 == 0, "not for everybody"


def test_a_rotated_file_is_opened_anew(tmp_path: Path) -> None:
    path, old = tmp_path / "access.log", tmp_path / "access.log.1"
    log = AccessLog(str(path), as_json)
    log(host(1))
    wait_until(lambda: lines_of(path))
    path.rename(old)
    log(host(2))
    wait_until(lambda: lines_of(path))
    path.unlink()
    log(host(3))
    wait_until(lambda: lines_of(path))
    log.close()
    assert [json.loads(line)["host"] for line in [*lines_of(old), *lines_of(path)]] == ["n1.example", "n3.example"]


def test_a_full_disk_costs_lines_which_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    link = tmp_path / "access.log"
    link.symlink_to("/dev/full")
    log = AccessLog(str(link), as_json)
    for number in range(50):
        log(host(number))
    wait_until(lambda: log.dropped == 50)
    link.unlink()
    log(host(50))
    wait_until(lambda: lines_of(link))
    log.close()
    assert len(lines_of(link)) == 1 and log.dropped == 50


def test_a_line_that_was_torn_does_not_swallow_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills takes half a line."""
    path = tmp_path / "access.log"
    left = [30]
    real = os.write

    def short(descriptor: int, data: bytes) -> int:
        if left:
            return real(descriptor, data[: left.pop()])
        return real(descriptor, data)

    monkeypatch.setattr(os, "write", short)
    log = AccessLog(str(path), as_json)
    log(host(1))
    wait_until(lambda: log.dropped == 1)
    log(host(2))
    log.close(10)
    torn, whole = lines_of(path)
    assert len(torn) == 30 and json.loads(whole)["host"] == "n2.example"


def test_the_queue_ends_at_its_bound_without_waiting() -> None:
    """Nobody reads the pipe that the lines go to: the caller is not stopped."""
    gate, taken = threading.Event(), threading.Event()

    def slow(line: Access) -> str:
        taken.set()
        gate.wait(60)
        return as_json(line)

    log = AccessLog("/dev/null", slow)
    log(LINE)
    assert taken.wait(10)
    for _ in range(MAX_QUEUED):
        log(LINE)
    assert log.dropped == 0
    log(LINE)
    assert log.dropped == 1
    gate.set()
    log.close(60)
    assert log.dropped == 1


def test_a_line_that_cannot_be_written_ends_nothing(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    log = AccessLog(str(path), as_json)
    log(LINE._replace(at=1e30))  # no such date
    log(host(2))
    log.close(10)
    assert [json.loads(line)["host"] for line in lines_of(path)] == ["n2.example"]
    assert log.dropped == 1


def test_off_is_off(tmp_path: Path) -> None:
    log = AccessLog("off", as_json)
    log(LINE)
    log.close()
    assert log.dropped == 0
