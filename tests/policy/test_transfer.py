"""What a worker puts together decides as what its parent sent, for nothing but the pieces in between."""

import pickle
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.policy import (
    CategoryTable,
    Flow,
    Policy,
    ReservedSettings,
    RulesModel,
    compile_policy,
    parse_host,
    rule_set,
)
from steering.policy.transfer import GONE_A_STEP, NAMES_A_PIECE, NODES_A_PIECE, Assembler, dump, remains
from tests.policy.worlds import HOSTS, compiled_from, flows, instants, rule_lists

SETTINGS = ReservedSettings(internal_zones=("a.example.com",), own_names=("example.com",))


def received(policy: Policy) -> Policy:
    assembler = Assembler()
    *pieces, last = dump(policy)
    assert [assembler.feed(piece) for piece in pieces] == [None] * len(pieces)
    assembled = assembler.feed(last)
    assert assembled is not None
    return assembled


@given(rule_lists, st.lists(flows, min_size=1, max_size=10), instants, st.sampled_from([None, SETTINGS]))
def test_decides_identically(
    documents: list[dict[str, object]], asked: list[Flow], at: float, settings: ReservedSettings | None
) -> None:
    policy = compile_policy(compiled_from(documents), settings)
    other = received(policy)
    for flow in asked:
        assert other.decide(flow, at) == policy.decide(flow, at)  # the why and every match included
    assert other.revision == policy.revision
    assert other.settings == policy.settings
    assert other.next_change(at) == policy.next_change(at)


def many(count: int) -> Policy:
    domains = [f"host{i}.example" for i in range(1, count + 1)]
    categories = CategoryTable("1", {"Legal": frozenset({"law.example"})})
    rules = [{"name": "many", "domains": domains}, {"name": "legal", "action": "block", "categories": ["Legal"]}]
    return compile_policy(rule_set(RulesModel.model_validate({"rules": rules}), categories))


# The table of reserved names stands among the names, hence "extra".
@pytest.mark.parametrize(("over", "pieces"), [(-1, 1), (0, 1), (1, 2)])
def test_the_limit_of_a_piece(over: int, pieces: int) -> None:
    extra = len(dict(many(1).names())) - 1
    policy = many(NAMES_A_PIECE - extra + over)
    assert len(dict(policy.names())) == NAMES_A_PIECE + over
    assert len(list(dump(policy))) == 1 + pieces + 1  # a head, names, the end
    assert dict(received(policy).names()).keys() == dict(policy.names()).keys()


@pytest.mark.parametrize("count", [1, NODES_A_PIECE - 1, NODES_A_PIECE, NODES_A_PIECE + 1, 3 * NODES_A_PIECE + 1])
def test_many_rules_travel_in_pieces_too(count: int) -> None:
    """Each rule with a node of its own; some with sources, times, patterns and addresses."""
    more: list[dict[str, object]] = [
        {"source": ["10.0.0.0/8"]},
        {"expires_at": "2030-01-01T00:00:00Z"},
        {"domains": ["x-*.glob.example"]},
        {"addresses": ["192.0.2.0/24"]},
        {"action": "block"},
    ]
    rules = [{"name": f"r{i}", "domains": [f"h{i}.example"]} | more[i % 5] for i in range(count)]
    policy = compile_policy(rule_set(RulesModel.model_validate({"rules": rules})))
    other = received(policy)
    assert max(map(len, dump(policy))) < 40_000
    assert len(other.rules) == len(policy.rules)
    assert (other.changes, other.source_networks) == (policy.changes, policy.source_networks)
    for host in (*(f"www.h{i}.example" for i in range(count)), "x-1.glob.example", "192.0.2.7", "other.example"):
        for source in map(ip_address, ("10.1.1.1", "192.0.2.1")):
            flow = Flow(host=parse_host(host), source=source)
            assert other.decide(flow, 0.0) == policy.decide(flow, 0.0)


def test_what_remains_of_a_policy_goes_step_by_step_and_leaves_it_whole() -> None:
    policy = many(2 * GONE_A_STEP)
    before = dict(policy.names())
    steps = sum(1 for _ in remains(policy))
    assert steps == sum(-(-len(part) // GONE_A_STEP) for part in (before, before, policy.rules))
    assert dict(policy.names()) == before


def test_equal_nodes_travel_once() -> None:
    def size(count: int) -> int:
        return len(next(iter(dump(many(count)))))

    assert size(10) == size(10_000)


def test_one_assembler_takes_policy_after_policy() -> None:
    assembler = Assembler()
    policies = [many(1), many(2000), many(3)]
    found = [assembler.feed(piece) for policy in policies for piece in dump(policy)]
    assert [policy.revision for policy in found if policy] == [policy.revision for policy in policies]


def test_an_end_without_a_beginning_is_no_policy() -> None:
    assert Assembler().feed(b"") is None


def test_what_was_received_makes_no_other_policy() -> None:
    policy = received(many(3))
    with pytest.raises(NotImplementedError):
        policy.lasting(0.0)
    assert policy.rule_set.rules == ()  # light rules would look like rules for any destination


def test_a_decision_can_be_sent_back() -> None:
    flow = Flow(host=parse_host("host1.example"))
    decision = received(many(3)).decide(flow, 0.0)
    assert pickle.loads(pickle.dumps(decision)) == decision  # made one line above
    assert decision.bypasses


def test_reserved_names_travel() -> None:
    policy = compile_policy(compiled_from([]), SETTINGS)
    other = received(policy)
    keys = {host: other.decide(Flow(host=parse_host(host)), 0.0).reserved for host in HOSTS}
    assert keys == {host: policy.decide(Flow(host=parse_host(host)), 0.0).reserved for host in HOSTS}
    assert keys["a.example.com"] is not None
