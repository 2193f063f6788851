"""What has to hold, as a table, and whether it does.

Every target reads "at most": ours by a peer's figure, or a figure of ours alone.  ``must`` is the limit, ``aim`` what
was hoped for.
"""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from bench.rounds import CPU, Results, ratios, values


class Verdict(Enum):
    AIM = "aim"
    MUST = "must"
    MISSED = "MISSED"
    NOT_AIM = "not the aim"
    UNKNOWN = "not measured"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``figure`` of ``ours`` in ``case``, by that of the best of ``against``; by nothing where that is empty.

    must, aim: None where there is only the other.  unit: of what is compared, "x" for a ratio.
    """

    case: str
    against: tuple[str, ...] = ()
    figure: str = CPU
    must: float | None
    aim: float | None = None
    unit: str = "x"
    ours: str = "steering"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """value: the median over the rounds; low, high: the extremes.  None where nothing was measured."""

    target: Target
    value: float | None
    low: float | None
    high: float | None
    verdict: Verdict


def judge(target: Target, results: Results) -> Judged:
    found = _found(target, results)
    if not found:
        return Judged(target=target, value=None, low=None, high=None, verdict=Verdict.UNKNOWN)
    value = statistics.median(found)
    return Judged(target=target, value=value, low=min(found), high=max(found), verdict=_verdict(target, value))


def _found(target: Target, results: Results) -> Sequence[float]:
    servers = results.get(target.case, {})
    ours = servers.get(target.ours, [])
    if not target.against:
        return values(ours, target.figure)
    return ratios(ours, [servers[name] for name in target.against if name in servers], target.figure)


def _verdict(target: Target, value: float) -> Verdict:
    if target.must is not None and value > target.must:
        return Verdict.MISSED
    if target.aim is not None and value <= target.aim:
        return Verdict.AIM
    return Verdict.NOT_AIM if target.must is None else Verdict.MUST
