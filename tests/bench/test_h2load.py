"""h2load's report is read, also where not all went well."""

import pytest

from bench.load.h2load import read
from bench.rounds import CPU, FAILED, RATE, Failed

REPORT = """stopped all clients for thread #0

finished in 1.00s, 11644.00 req/s, 875.90KB/s
requests: 11700 total, 11660 started, 11644 done, 11644 succeeded, {failed} failed, {failed} errored, 0 timeout
status codes: {good} 2xx, 0 3xx, {bad} 4xx, 0 5xx
traffic: 875.90KB (896924) total, 79.67KB (81583) headers (space savings 88.52%), 591.30KB (605488) data
"""


@pytest.mark.parametrize(
    ("failed", "good", "bad", "expected"), [(0, 11_644, 0, 0), (0, 11_645, 0, 0), (0, 11_640, 4, 4), (7, 11_644, 0, 7)]
)
def test_a_report_is_read(failed: int, good: int, bad: int, expected: int) -> None:
    found = read(REPORT.format(failed=failed, good=good, bad=bad), good * 20_000)
    assert found == {CPU: 20.0, RATE: 11_644.0, FAILED: expected}


@pytest.mark.parametrize("text", ["", "[ERROR] connection refused\n", REPORT.format(failed=0, good=0, bad=11_644)])
def test_what_is_no_report_is_a_failure(text: str) -> None:
    with pytest.raises(Failed):
        read(text, 1)
