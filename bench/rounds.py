"""Interleaved rounds: in each, every server does every case once, so that a noisy moment falls on all alike.

The figure to compare is CPU time of the server's process tree per operation, and of two servers the median of their
ratios *within a round*: between rounds the machine may have changed its speed.
"""

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

# What one server did in one round: figure -> value.  A figure's name says its unit, and is the column it stands in.
Sample = Mapping[str, float]

CPU = "CPU us"  # microseconds on a processor an operation (or a megabyte, or whatever the case counts)
RATE = "a second"  # operations, by the clock
P50, P99, MAX = "p50 ms", "p99 ms", "max ms"  # how long one took its client
MB = "MB"
FAILED = "failed"  # operations that did not succeed

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
    """Of each figure, and the sum of failures; None where no round succeeded."""
    made = [sample for sample in samples if sample is not None]
    if not made:
        return None
    figures = dict.fromkeys(figure for sample in made for figure in sample)
    return {figure: (sum if figure == FAILED else statistics.median)(values(made, figure)) for figure in figures}


def ratios(ours: Sequence[Sample | None], peers: Sequence[Sequence[Sample | None]], figure: str) -> list[float]:
    """Ours by the best of the peers, for each round in which ours and at least one of them were measured."""
    found = []
    for number, sample in enumerate(ours):
        mine = (sample or {}).get(figure)
        others = [value for peer in peers if (value := (peer[number] or {}).get(figure))]
        if mine is not None and others:
            found.append(mine / min(others))
    return found


def values(samples: Sequence[Sample | None], figure: str) -> list[float]:
    return [sample[figure] for sample in samples if sample is not None and figure in sample]
