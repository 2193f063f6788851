"""Access lines, one per decision, written beside the traffic and never in its way.

A bounded queue and a thread: a full disk, a slow terminal or a closed pipe costs lines, which are counted, and
stops nothing.  What peers chose is escaped, so that no line can be forged and no terminal driven.
"""

import json
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from steering.policy.access import Access

MAX_QUEUED = 20_000
MAX_LINE_BYTES = 4000  # below PIPE_BUF: lines of several processes do not mix
_FLUSH_S = 0.05

Format = Callable[[Access], str]


def as_json(line: Access) -> str:
    """One JSON object; ASCII, so that nothing in it can drive a terminal."""
    return json.dumps(
        {
            "time": datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds"),
            "point": line.point.value,
            "client": line.client,
            "user": line.user,
            "program": line.program,
            "host": line.host[:300],
            "action": line.effect,
            "rule": line.rule,
            "why": line.why[:500],
            "pending": list(line.pending),
            "reason": line.reason,
            "detail": line.detail[:1000],
            "status": line.status,
            "sent": line.sent,
            "received": line.received,
            "duration_ms": round(line.duration_ms, 3),
        },
        separators=(",", ":"),
    )


def as_text(line: Access) -> str:
    """For people: time, point, client, what was done with which host, why, how much, how long."""
    parts = [
        datetime.fromtimestamp(line.at, UTC).strftime("%H:%M:%S"),
        f"{line.point.value:9}",
        line.client,
        f"{line.effect:7}",
        line.host or "-",
        _quoted(line.detail) if line.detail else "",
        f"[{line.reason}]" if line.reason else "",
        f"({line.why})" if line.why else "",
        str(line.status) if line.status else "",
        f"{line.sent}B out, {line.received}B in" if line.sent or line.received else "",
        f"{line.duration_ms:.0f} ms",
    ]
    return _plain(" ".join(part for part in parts if part))


def _quoted(text: str) -> str:
    return f'"{text[:200]}"'


def _plain(text: str) -> str:
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
        self._thread = threading.Thread(target=self._write_all, name="access-log", daemon=True)
        self._descriptor = -1
        if file != "off":
            self._thread.start()

    def __call__(self, line: Access) -> None:
        if self._file == "off":
            return
        if len(self._queue) >= MAX_QUEUED:
            self.dropped += 1
            return
        self._queue.append(line)

    def close(self, timeout_s: float = 2.0) -> None:
        """Write what is queued, for at most ``timeout_s``."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _write_all(self) -> None:
        while not (self._stop.is_set() and not self._queue):
            if self._queue:
                self._write(self._taken())
            else:
                time.sleep(_FLUSH_S)

    def _taken(self) -> list[bytes]:
        lines: list[bytes] = []
        while self._queue and len(lines) < 200:
            text = self._form(self._queue.popleft()).encode("utf-8", "backslashreplace")
            lines.append(text[:MAX_LINE_BYTES] + b"\n")
        return lines

    def _write(self, lines: list[bytes]) -> None:
        try:
            descriptor = self._target()
            for line in lines:
                os.write(descriptor, line)
        except OSError:
            self.dropped += len(lines)
            time.sleep(_FLUSH_S)  # a full disk stays full for a while

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
