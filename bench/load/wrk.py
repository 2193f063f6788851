"""wrk: many HTTP requests on kept-alive connections, and what it says of them."""

import re
import shutil

from bench.load.outside import run_outside
from bench.rounds import CPU, FAILED, P50, P99, RATE, Failed, Sample

_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def lacking() -> str | None:
    return None if shutil.which("wrk") else "wrk is not installed (Debian: wrk)"


def load(server: int, url: str, seconds: int, *fields: str) -> Sample:
    """fields: of the request.  A status from 400 on is a failure."""
    headers = [part for field in fields for part in ("-H", field)]
    return read(*run_outside(server, ["wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", *headers, url]))


def read(text: str, spent_ns: int) -> Sample:
    """Raises Failed for what is no report of requests that were answered."""
    counted = re.search(r"(\d+) requests in", text)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    shares = {
        share: float(value) * _MS[unit] for share, value, unit in re.findall(r"(50|99)%\s+([\d.]+)(us|ms|s|m)", text)
    }
    if counted is None or rate is None or not int(counted[1]) or "50" not in shares or "99" not in shares:
        raise Failed(f"wrk said {text[-300:]!r}")
    bad = sum(map(int, re.findall(r"Non-2xx or 3xx responses: (\d+)", text)))
    lost = sum(int(number) for line in re.findall(r"Socket errors: (.*)", text) for number in re.findall(r"\d+", line))
    return {
        CPU: spent_ns / int(counted[1]) / 1000,
        RATE: float(rate[1]),
        P50: shares["50"],
        P99: shares["99"],
        FAILED: bad + lost,
    }
