"""A short soak in earnest, and how a long one is judged."""

import pytest

from bench.soak import Point, Soaked, rows, slope, soak

# Caches, pools and the allocator still grow in the first seconds; what each connection leaves behind would be more.
SETTLING_MB = 30


@pytest.mark.needs("linux", "gcc", "nginx")
def test_descriptors_and_memory_come_back() -> None:
    told: list[Point] = []
    found = soak(8, told.append, cycle_s=2)
    assert found.points == tuple(told) and len(told) >= 3
    assert (found.failed, found.after - found.baseline) == (0, 0)
    assert told[-1].connections > told[0].connections > 0
    assert told[-1].queries > told[0].queries > 0
    assert told[-1].mb - told[0].mb < SETTLING_MB


SLOPES: dict[str, tuple[list[tuple[float, float]], float]] = {
    "nothing": ([], 0.0),
    "one point": ([(1, 5)], 0.0),
    "no way along": ([(1, 5), (1, 9)], 0.0),
    "flat": ([(0, 7), (1, 7), (5, 7)], 0.0),
    "straight": ([(0, 1), (2, 5), (4, 9)], 2.0),
    "up and down": ([(0, 1), (1, 3), (2, 1)], 0.0),
    "falling": ([(0, 4), (2, 0)], -2.0),
}


@pytest.mark.parametrize("case", SLOPES)
def test_slopes(case: str) -> None:
    points, expected = SLOPES[case]
    assert slope(points) == expected


def soaked(*mb: float, after: int = 10, failed: int = 0) -> Soaked:
    points = [
        Point(seconds=60 * i, connections=1000 * i, queries=0, mb=each, descriptors=9) for i, each in enumerate(mb)
    ]
    return Soaked(points=tuple(points), baseline=10, after=after, failed=failed)


@pytest.mark.parametrize(
    ("found", "complaints"),
    [
        (soaked(50, 50.9, 51.8), []),
        (soaked(50, 51, 52), ["memory grew by 1.00 MB for each 1,000 connections"]),
        (soaked(50, 50, after=9), []),
        (soaked(50, 50, after=11), ["1 descriptors were not closed (10 at the baseline)"]),
        (soaked(50, 50, failed=1), ["1 operations failed"]),
    ],
)
def test_complaints(found: Soaked, complaints: list[str]) -> None:
    assert found.complaints() == complaints


def test_some_of_many_points_are_shown_and_the_last_one() -> None:
    points = soaked(*range(100)).points
    assert [row["connections"] for row in rows(points, shown=4)] == [24_000, 49_000, 74_000, 99_000]
    assert [row["connections"] for row in rows(points[:3], shown=2)] == [1000, 2000]
