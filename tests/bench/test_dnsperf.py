"""dnsperf's report is read, also where not all went well."""

from pathlib import Path

import pytest

from bench.load.dnsperf import read, write
from bench.rounds import CPU, FAILED, RATE, Failed

REPORT = """DNS Performance Testing Tool
Version 2.10.0

[Status] Testing complete (time limit)

Statistics:

  Queries sent:         {sent}
  Queries completed:    {completed} (100.00%)
  Queries lost:         {lost} (0.00%)

  Response codes:       {codes}
  Average packet size:  request 35, response 51
  Run time (s):         1.004031
  Queries per second:   28595.730610

  Average Latency (s):  0.006787 (min 0.000236, max 0.031170)
  Latency StdDev (s):   0.002549
"""


@pytest.mark.parametrize(
    ("completed", "lost", "codes", "failed"),
    [
        (28_711, 0, "NOERROR 28711 (100.00%)", 0),
        (28_711, 400, "NOERROR 28711 (100.00%)", 400),
        (28_711, 1, "NOERROR 28701 (99.97%), SERVFAIL 10 (0.03%)", 11),
    ],
)
def test_a_report_is_read(completed: int, lost: int, codes: str, failed: int) -> None:
    text = REPORT.format(sent=completed + lost, completed=completed, lost=lost, codes=codes)
    assert read(text, completed * 15_000) == {CPU: 15.0, RATE: 28_595.730610, FAILED: failed}


@pytest.mark.parametrize(
    "text", ["", "Error: unable to connect\n", REPORT.format(sent=9, completed=0, lost=9, codes="")]
)
def test_what_is_no_report_is_a_failure(text: str) -> None:
    with pytest.raises(Failed):
        read(text, 1)


def test_names_are_written_as_it_reads_them(tmp_path: Path) -> None:
    assert write(tmp_path / "names", ["a.example", "b.example"]).read_text() == "a.example A\nb.example A\n"
