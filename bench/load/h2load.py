"""h2load: requests over HTTP/2, several at once on each connection, and what it says of them."""

import re
import shutil
from pathlib import Path

from bench.load.outside import run_outside
from bench.rounds import CPU, FAILED, RATE, Failed, Sample


def lacking() -> str | None:
    return None if shutil.which("h2load") else "h2load is not installed (Debian: nghttp2-client)"


def load(server: int, url: str, body: Path, kind: str, requests: int) -> Sample:
    """``body`` is posted so often, as a ``kind``, on 16 connections, four at once on each.

    Counted and not timed: by the clock (-D) it does not always come to an end.
    """
    posting = ["-d", str(body), "-H", f"content-type: {kind}", "-H", f"accept: {kind}"]
    return read(*run_outside(server, ["h2load", "-c16", "-m4", "-n", str(requests), *posting, url]))


def read(text: str, spent_ns: int) -> Sample:
    """Raises Failed for what is no report of requests that were answered."""
    rate = re.search(r"^finished in [\d.]+m?s, ([\d.]+) req/s", text, re.MULTILINE)
    counts = {
        name: int(number) for number, name in re.findall(r"(\d+) (done|succeeded|failed|errored|timeout)\b", text)
    }
    good = re.search(r"^status codes: (\d+) 2xx", text, re.MULTILINE)
    if rate is None or good is None or not int(good[1]):
        raise Failed(f"h2load said {text[-300:]!r}")
    return {
        CPU: spent_ns / int(good[1]) / 1000,
        RATE: float(rate[1]),
        FAILED: counts.get("failed", 0) + max(0, counts.get("done", 0) - int(good[1])),
    }
