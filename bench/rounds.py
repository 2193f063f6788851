"""Interleaved rounds: in each, every server does every case once, so that a noisy moment falls on all alike.

The figure to compare is CPU time of the server's process tree per operation, and of two servers the median of their
ratios *within a round*: between rounds the machine may have changed its speed.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

Figure = str


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What one server did in one round.

    cpu_us: CPU microseconds an operation (or a megabyte, or whatever the case counts).  rate: operations a second, by
    the clock.  p50_ms, p99_ms, max_ms: how long one took its client.  failed: operations that did not succeed.
    """

    cpu_us: float | None = None
    rate: float | None = None
    p50_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    mb: float | None = None
    failed: int = 0


Measuring = Callable[[int], Sample]  # the round's number -> what was found


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """unit: what one operation is."""

    name: str
    unit: str
    servers: Mapping[str, Measuring]


# case -> server -> its samples, round by round; None where it failed
Results = dict[str, dict[str, list[Sample | None]]]


class Failed(Exception):
    """One measurement could not be made; the text says why."""


def run_rounds(cases: Sequence[Case], rounds: int, say: Callable[[str], None]) -> Results:
    """Measure.  say: is told what failed, and how far it is."""
    found: Results = {case.name: {server: [] for server in case.servers} for case in cases}
    for number in range(rounds if cases else 0):
        say(f"round {number + 1} of {rounds}")
        for case in cases:
            servers = list(case.servers.items())
            for server, measure in servers if number % 2 else reversed(servers):
                try:
                    found[case.name][server].append(measure(number))
                except Failed as failure:
                    say(f"{case.name}, {server}: {failure}")
                    found[case.name][server].append(None)
    return found


def medians(samples: Sequence[Sample | None]) -> Sample | None:
    """Of each figure; None where no round succeeded."""
    made = [sample for sample in samples if sample is not None]
    if not made:
        return None
    return Sample(
        cpu_us=_median(sample.cpu_us for sample in made),
        rate=_median(sample.rate for sample in made),
        p50_ms=_median(sample.p50_ms for sample in made),
        p99_ms=_median(sample.p99_ms for sample in made),
        max_ms=_median(sample.max_ms for sample in made),
        mb=_median(sample.mb for sample in made),
        failed=sum(sample.failed for sample in made),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None


def ratios(ours: Sequence[Sample | None], peers: Sequence[Sequence[Sample | None]], figure: Figure) -> list[float]:
    """Ours by the best of the peers, for each round in which ours and at least one of them were measured."""
    found = []
    for number, sample in enumerate(ours):
        mine = _value(sample, figure)
        others = [value for peer in peers if (value := _value(peer[number], figure))]
        if mine is not None and others:
            found.append(mine / min(others))
    return found


def values(samples: Sequence[Sample | None], figure: Figure) -> list[float]:
    return [value for sample in samples if (value := _value(sample, figure)) is not None]


def _value(sample: Sample | None, figure: Figure) -> float | None:
    value: float | None = getattr(sample, figure) if sample else None
    return value
