"""Decisions are measured over names that are the same in every run, beside peers that agree with each other."""

from bench.policy import PEERS, cases_of, hosts, names
from bench.rounds import run_rounds


def test_names_and_hosts_are_the_same_in_every_run() -> None:
    assert names(300) == names(300)
    assert len(set(names(300))) == 300
    assert hosts(names(300), 50) == hosts(names(300), 50)


def test_the_peers_agree_with_each_other() -> None:
    listed = names(200)
    (first, *others) = (make(listed) for make, _ in PEERS.values())
    for asked in (*hosts(listed, 200), *listed, *(f"not{name}" for name in listed)):
        assert [other(asked) for other in others] == [first(asked)] * len(others), asked


def test_the_policy_is_measured_beside_each_peer() -> None:
    cases = list(cases_of(100, 100))
    found = run_rounds(cases, 1, lambda text: None)
    own = ["steering", "steering, listed", "steering, not listed", "steering, new host"]
    assert {case: list(servers) for case, servers in found.items()} == {
        "decision, 100 domains": [*own, *PEERS],
        "ready for 100 domains": ["steering", "one re alternation"],
    }
    taken = [sample for servers in found.values() for samples in servers.values() for sample in samples]
    assert all(sample is not None and all(value > 0 for value in sample.values()) for sample in taken)
