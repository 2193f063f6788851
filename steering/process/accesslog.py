"""Access lines, one per decision, written beside the traffic and never in its way.

A bounded queue and a thread: a full disk, a slow terminal or a closed pipe costs lines, which are counted, and
stops nothing.  What peers chose is escaped, so that no line can be forged and no terminal driven.
"""

import json
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from steering.policy.access import Access
from steering.process.logs import logger

MAX_QUEUED = 20_000
MAX_LINE_BYTES = 4000
_MAX_WRITE_BYTES = 4096  # PIPE_BUF: what several processes write to one pipe does not mix
_FLUSH_S = 0.05

# Names of programs and accounts, most of them: "slack", "com.apple.Safari", "CORP\\alice".
_WORD = re.compile(r"[\w.@+\\:-]{1,200}")

_encode = json.JSONEncoder(separators=(",", ":")).encode

Format = Callable[[Access], str]


def as_json(line: Access) -> str:
    """One JSON object; ASCII, so that nothing in it can drive a terminal."""
    return _encode(
        {
            "time": datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds"),
            "point": line.point.value,
            "client": line.client,
            "user": _cut(line.user, 200),
            "program": _cut(line.program, 200),
            "host": _cut(line.host, 600),
            "action": line.effect,
            "rule": None if line.rule is None else _cut(line.rule, 300),
            "why": _cut(line.why, 800),
            "pending": list(line.pending),
            "reason": line.reason,
            "detail": _cut(line.detail, 1200),
            "status": line.status,
            "sent": line.sent,
            "received": line.received,
            "duration_ms": round(line.duration_ms, 3),
            "id": line.id,
        }
    )


def _cut(text: str, bytes_left: int) -> str:
    """The beginning of ``text`` that takes no more than so many bytes once it is escaped."""
    if len(text) * 12 <= bytes_left:  # the worst: a pair of surrogates for one character
        return text
    for place, character in enumerate(text):
        bytes_left -= len(json.dumps(character)) - 2
        if bytes_left < 0:
            return text[:place]
    return text


def as_text(line: Access) -> str:
    """For people: time, point, client, what was done with which host, why, for whom, how much, how long.

    HOT PATH, once a request: 4 us; joining the parts of a list and looking at every character took 26.
    """
    text = f"{_clock(int(line.at))} {line.point.value:9} {line.client} {line.effect:7} {line.host or '-'}"
    if line.detail:
        text += f" {_quoted(line.detail)}"
    if line.reason:
        text += f" [{line.reason}]"
    if line.why:
        text += f" ({line.why})"
    if line.program:
        text += f" by {_word(line.program)}"
    if line.user:
        text += f" for {_word(line.user)}"
    if line.status:
        text += f" {line.status}"
    if line.id and line.reason:
        text += f" #{line.id}"
    if line.sent or line.received:
        text += f" {line.sent}B out, {line.received}B in"
    return _plain(f"{text} {line.duration_ms:.0f} ms")


@lru_cache(maxsize=16)
def _clock(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S")


def _word(text: str) -> str:
    """A name as it is where it can be nothing else, in quotes where it could pass for more of the line."""
    return text if _WORD.fullmatch(text) else _quoted(text)


def _quoted(text: str) -> str:
    text = text[:200]
    if "\\" in text or '"' in text:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def _plain(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


class AccessLog:
    """Call it with a line; it never blocks and never raises.

    file: "-" standard output, "off", or a path, opened anew when it was moved away (log rotation).
    """

    def __init__(self, file: str, form: Format) -> None:
        self.dropped = 0
        self._form = form
        self._file = file
        self._queue: deque[Access] = deque()
        self._stop = threading.Event()
        self._some = threading.Event()  # lines are there, after none were
        self._waiting = False
        self._thread = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._descriptor = -1
        self._torn = False  # the last line was not written to its end
        self._losing = False
        self._carried = b""  # a line that had no room in the last write
        if file != "off":
            self._thread.start()

    def __call__(self, line: Access) -> None:
        if self._file == "off":
            return
        if len(self._queue) >= MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.append(line)
        if self._waiting:
            self._waiting = False
            self._some.set()

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued, for at most ``timeout_s``."""
        self._stop.set()
        self._some.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _write_all(self) -> None:
        while True:
            lines = self._taken()
            if not lines:
                if self._stop.is_set():
                    return
                self._await_some()
                continue
            written = self._write(lines)
            if written < len(lines):
                self.dropped += len(lines) - written
                time.sleep(_FLUSH_S)  # a full disk stays full for a while
            self._say(losing=written < len(lines))

    def _await_some(self) -> None:
        """Sleep until there are lines, without looking now and then; and a moment more, for others to go with them."""
        self._waiting = True
        if not self._queue:  # whoever came before we said that we wait has woken nobody
            self._some.wait()
        self._waiting = False
        self._some.clear()
        if not self._stop.is_set():
            time.sleep(_FLUSH_S)

    def _taken(self) -> list[bytes]:
        """As many lines as go into one write."""
        lines: list[bytes] = []
        room = _MAX_WRITE_BYTES
        while line := self._carried or self._formed():
            self._carried = b""
            if len(line) > room:
                self._carried = line
                break
            lines.append(line)
            room -= len(line)
        return lines

    def _formed(self) -> bytes:
        """The next line as bytes, empty where there is none."""
        while self._queue:
            try:
                text = self._form(self._queue.popleft()).encode("utf-8", "backslashreplace")
            except Exception:  # a line that cannot be written must not end the log
                self.dropped += 1
                continue
            return text[:MAX_LINE_BYTES] + b"\n"
        return b""

    def _write(self, lines: list[bytes]) -> int:
        """Write them; how many were, whole."""
        content = b"\n" * self._torn + b"".join(lines)
        try:
            done = os.write(self._target(), content)
        except OSError:
            return 0
        if done == len(content):
            self._torn = False
            return len(lines)
        whole = content[:done].count(b"\n") - self._torn
        self._torn = content[done - 1 : done] != b"\n"
        return max(whole, 0)

    def _say(self, *, losing: bool) -> None:
        if losing and not self._losing:
            logger("access").error("access lines cannot be written and are lost", file=self._file)
        elif self._losing and not losing:
            logger("access").warning("access lines are written again", file=self._file, lost=self.dropped)
        self._losing = losing

    def _target(self) -> int:
        if self._file == "-":
            return 1
        path = Path(self._file)
        if self._descriptor >= 0 and not _is_same(self._descriptor, path):
            os.close(self._descriptor)
            self._descriptor = -1
        if self._descriptor < 0:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
            self._descriptor = os.open(path, flags, 0o640)
        return self._descriptor


def _is_same(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False
