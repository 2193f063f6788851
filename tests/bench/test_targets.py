"""A target is judged by the median of its rounds, at its bounds and beside them."""

import pytest

from bench.rounds import CPU, FAILED, MB, Results
from bench.targets import Judged, Target, Verdict, judge

RATIO = Target(case="x", against=("squid",), must=1.0, aim=0.5)
ABSOLUTE = Target(case="x", figure=MB, must=80, aim=45, unit="MB")
HOPE = Target(case="x", against=("squid",), must=None, aim=0.5)
LIMIT = Target(case="x", against=("squid",), must=1.0)


def results(*cpu_us: float) -> Results:
    return {"x": {"steering": [{CPU: each, MB: each} for each in cpu_us], "squid": [{CPU: 100}] * 9}}


@pytest.mark.parametrize(
    ("target", "found", "verdict"),
    [
        (RATIO, 49, Verdict.AIM),
        (RATIO, 50, Verdict.AIM),
        (RATIO, 51, Verdict.MUST),
        (RATIO, 100, Verdict.MUST),
        (RATIO, 101, Verdict.MISSED),
        (LIMIT, 1, Verdict.MUST),
        (LIMIT, 101, Verdict.MISSED),
        (HOPE, 50, Verdict.AIM),
        (HOPE, 51, Verdict.NOT_AIM),
        (ABSOLUTE, 45, Verdict.AIM),
        (ABSOLUTE, 80, Verdict.MUST),
        (ABSOLUTE, 81, Verdict.MISSED),
    ],
)
def test_verdicts(target: Target, found: float, verdict: Verdict) -> None:
    assert judge(target, results(found)).verdict is verdict


def test_the_median_decides_and_the_extremes_are_told() -> None:
    assert judge(RATIO, results(40, 120, 60)) == Judged(
        target=RATIO, value=0.6, low=0.4, high=1.2, verdict=Verdict.MUST
    )


def test_nothing_may_be_lost() -> None:
    target = Target(case="x", figure=FAILED, must=0, unit="lost")
    lossless: Results = {"x": {"steering": [{FAILED: 0}]}}
    losing: Results = {"x": {"steering": [{FAILED: 1}]}}
    assert (judge(target, lossless).verdict, judge(target, losing).verdict) == (Verdict.MUST, Verdict.MISSED)


@pytest.mark.parametrize("without", [{}, {"x": {}}, {"x": {"squid": [{CPU: 1}]}}, {"x": {"steering": [None]}}])
def test_what_was_not_measured_is_not_held_and_not_missed(without: Results) -> None:
    judged = judge(RATIO, without)
    assert judged == Judged(target=RATIO, value=None, low=None, high=None, verdict=Verdict.UNKNOWN)


def test_a_peer_that_is_missing_leaves_the_comparison_with_the_others() -> None:
    target = Target(case="x", against=("dnsmasq", "squid"), must=1.0)
    assert judge(target, results(90)).value == 0.9
