"""Rounds are interleaved, and compared within themselves."""

import pytest

from bench.rounds import CPU, FAILED, MB, Case, Failed, Measuring, Sample, medians, ratios, run_rounds, values


def cpu(*figures: float | None) -> list[Sample | None]:
    return [None if figure is None else {CPU: figure} for figure in figures]


def test_every_server_has_its_turn_in_every_round_and_the_order_turns() -> None:
    done: list[str] = []

    def noting(who: str) -> Measuring:
        def measure(number: int) -> Sample:
            done.append(f"{number} {who}")
            return {CPU: float(number)}

        return measure

    cases = [
        Case(name="x", unit="request", servers={"a": noting("xa"), "b": noting("xb")}),
        Case(name="y", unit="request", servers={"a": noting("ya")}),
    ]
    found = run_rounds(cases, 2, lambda text: None)
    assert done == ["0 xb", "0 xa", "0 ya", "1 xa", "1 xb", "1 ya"]
    assert found == {"x": {"a": cpu(0, 1), "b": cpu(0, 1)}, "y": {"a": cpu(0, 1)}}


def test_what_fails_is_told_and_ends_nothing() -> None:
    said: list[str] = []

    def failing(number: int) -> Sample:
        if number == 0:
            raise Failed("it was refused")
        return {CPU: 2.0}

    found = run_rounds([Case(name="x", unit="request", servers={"a": failing})], 2, said.append)
    assert found == {"x": {"a": cpu(None, 2)}}
    assert said == ["round 1 of 2", "x, a: it was refused", "round 2 of 2"]


RATIOS: dict[str, tuple[list[Sample | None], list[list[Sample | None]], list[float]]] = {
    "one peer": (cpu(2, 6), [cpu(4, 3)], [0.5, 2.0]),
    "the better of two, round by round": (cpu(2, 2), [cpu(4, 1), cpu(2, 8)], [1.0, 2.0]),
    "a round that ours lacks": (cpu(None, 6), [cpu(4, 3)], [2.0]),
    "a round that the peer lacks": (cpu(2, 6), [cpu(None, 3)], [2.0]),
    "a round that one of the peers lacks": (cpu(2, 6), [cpu(None, 3), cpu(4, 6)], [0.5, 2.0]),
    "a figure that was not taken": ([{MB: 1.0}], [cpu(1)], []),
    "nothing to divide by": (cpu(1), [cpu(0)], []),
    "no peer": (cpu(1, 2), [], []),
}


@pytest.mark.parametrize("case", RATIOS)
def test_ratios(case: str) -> None:
    ours, peers, expected = RATIOS[case]
    assert ratios(ours, peers, CPU) == expected


def test_medians_are_of_each_figure() -> None:
    samples = [{CPU: 1, FAILED: 1}, None, {CPU: 9, MB: 5, FAILED: 2}, {CPU: 2}]
    assert medians(samples) == {CPU: 2, MB: 5, FAILED: 3}
    assert medians([None, None]) is None


def test_values_are_those_that_were_taken() -> None:
    assert values([{MB: 3}, None, {CPU: 1}, {MB: 0}], MB) == [3, 0]
