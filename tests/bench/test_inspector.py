"""One short round in earnest: the shipped program behind a real client, in front of nginx."""

import pytest

from bench.inspector import KEPT, NEW, SET_UP, TARGETS, TUNNEL, cases_of, start_ours, start_world
from bench.processes import Stage
from bench.rounds import CPU, FAILED, RATE, run_rounds
from bench.targets import Verdict, judge

pytestmark = pytest.mark.needs("linux", "gcc", "nginx")
SHORT = (KEPT, NEW, TUNNEL, SET_UP)


def test_a_round() -> None:
    said: list[str] = []
    with Stage() as stage:
        world = start_world(stage)
        ours, _ = start_ours(world)
        cases = [case for case in cases_of(world, {"steering": ours}, 0.2) if case.name in SHORT]
        found = run_rounds(cases, 1, said.append)
    assert said == ["round 1 of 1"]
    assert list(found) == list(SHORT)
    for case, servers in found.items():
        [sample] = servers["steering"]
        assert sample is not None and sample[CPU] > 0 and sample[RATE] > 0 and sample[FAILED] == 0, (case, sample)
    assert {judge(target, found).verdict for target in TARGETS if target.against} == {Verdict.UNKNOWN}
