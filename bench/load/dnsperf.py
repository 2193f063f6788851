"""dnsperf: DNS over TLS, many queries in flight on each connection, and what it says of them."""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from bench.load.outside import run_outside
from bench.rounds import CPU, FAILED, RATE, Failed, Sample


def lacking() -> str | None:
    return None if shutil.which("dnsperf") else "dnsperf is not installed (Debian: dnsperf)"


def write(path: Path, names: Iterable[str]) -> Path:
    """Questions for addresses, as it reads them."""
    path.write_text("".join(f"{name} A\n" for name in names), "ascii")
    return path


def load(server: int, port: int, names: Path, seconds: int) -> Sample:
    """Eight connections."""
    options = ["-m", "dot", "-s", "127.0.0.1", "-p", str(port), "-d", str(names), "-l", str(seconds)]
    return read(*run_outside(server, ["dnsperf", *options, "-c", "8", "-T", "1", "-q", "200"]))


def read(text: str, spent_ns: int) -> Sample:
    """Raises Failed for what is no report of queries that were answered."""
    found = {key: float(value) for key, value in re.findall(r"^ +([\w ]+?)(?: \(s\))?: +([\d.]+)", text, re.MULTILINE)}
    completed = found.get("Queries completed", 0)
    if not completed:
        raise Failed(f"dnsperf said {text[-300:]!r}")
    good = sum(map(int, re.findall(r"NOERROR (\d+)", text)))
    return {
        CPU: spent_ns / completed / 1000,
        RATE: found["Queries per second"],
        FAILED: found["Queries lost"] + completed - good,
    }
