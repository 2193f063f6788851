"""What a part prints, and what it hands on."""

import pytest

from bench.outcome import outcome, significant
from bench.rounds import CPU, FAILED, P50, RATE, Case, Results
from bench.targets import Target

CASE = Case(name="kept alive", unit="request", servers={})
RESULTS: Results = {
    "kept alive": {
        "steering": [{CPU: 61.234, RATE: 10_123.4, P50: 0.12345, FAILED: 0}, {CPU: 63.0, RATE: 10_000.0}],
        "squid": [{CPU: 100.0, FAILED: 2}, {CPU: 126.0}],
        "mitmproxy": [None, None],
    }
}
TARGETS = (
    Target(case="kept alive", against=("squid",), must=1.0, aim=0.65),
    Target(case="kept alive", against=("mitmproxy",), must=1 / 12),
    Target(case="left out", must=1),
    Target(case="kept alive", ours="squid", against=("steering",), must=1.1),
)


def test_figures_are_medians_and_targets_are_judged() -> None:
    found = outcome([CASE], RESULTS, TARGETS, ["haproxy is not installed"])
    same = {"what": "kept alive", "one": "request"}
    assert found["figures"] == [
        same | {"server": "steering", "CPU us": 62.1, "a second": 10_100, "p50 ms": 0.123},
        same | {"server": "squid", "CPU us": 113, "failed": 2},
        same | {"server": "mitmproxy", "a second": "failed"},
    ]
    compared = {"what": "kept alive", "figure": "CPU us", "unit": "x"}
    assert found["targets"] == [
        compared
        | {"against": "squid", "found": 0.556, "lowest": 0.5, "highest": 0.612, "must": 1, "aim": 0.65}
        | {"verdict": "aim"},
        compared | {"against": "mitmproxy", "must": 0.0833, "verdict": "not measured"},
        compared
        | {"against": "squid by steering", "found": 1.82, "lowest": 1.63, "highest": 2.0, "must": 1.1}
        | {"verdict": "MISSED"},
    ]
    assert found["notes"] == ["haproxy is not installed"]


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, 0), (1234.5, 1230), (61.234, 61.2), (0.012345, 0.0123), (999.6, 1000), (5000.0, 5000)]
)
def test_figures_have_three_digits_that_mean_something(value: float, shown: float) -> None:
    assert significant(value, 3) == shown
