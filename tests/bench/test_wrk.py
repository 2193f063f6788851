"""wrk's report is read, also where not all went well."""

import pytest

from bench.load.wrk import read
from bench.rounds import CPU, FAILED, P50, P99, RATE, Failed

REPORT = """Running 1s test @ http://127.0.0.1:46291/proxy.pac
  1 threads and 32 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     4.61ms    2.30ms  40.11ms   96.02%
    Req/Sec     7.12k   570.93     7.71k    80.00%
  Latency Distribution
     50%    4.16ms
     75%    4.60ms
     90%  950.00us
     99%    1.50s
  7100 requests in 1.00s, 99.10MB read
{more}Requests/sec:   7080.25
Transfer/sec:     98.83MB
"""


@pytest.mark.parametrize(
    ("more", "failed"),
    [
        ("", 0),
        ("  Non-2xx or 3xx responses: 12\n", 12),
        ("  Socket errors: connect 1, read 2, write 0, timeout 3\n", 6),
        ("  Socket errors: connect 0, read 2, write 0, timeout 0\n  Non-2xx or 3xx responses: 5\n", 7),
    ],
)
def test_a_report_is_read(more: str, failed: int) -> None:
    assert read(REPORT.format(more=more), 71_000_000) == {
        CPU: 10.0,
        RATE: 7080.25,
        P50: 4.16,
        P99: 1500.0,
        FAILED: failed,
    }


@pytest.mark.parametrize(
    "text", ["", "unable to connect to 127.0.0.1:1 Connection refused\n", REPORT.format(more="").replace("7100", "0")]
)
def test_what_is_no_report_is_a_failure(text: str) -> None:
    with pytest.raises(Failed):
        read(text, 1)
