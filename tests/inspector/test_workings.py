"""What connections share: the register of them, and the line that each of them leaves."""

import asyncio
from ipaddress import ip_address

import pytest

from steering.policy import parse_host
from steering.policy.access import Access
from steering.policy.facts import Program, System
from steering.policy.hosts import Address
from steering.policy.live import Live
from steering.policy.points import Point
from steering_inspector.conversation import Attested
from steering_inspector.request import Authority
from steering_inspector.settings import InspectorSettings
from steering_inspector.upstream import Upstreams
from steering_inspector.workings import Client, Outcome, Workings, new_request_id
from tests.inspector.clients import RULES, policy_of
from tests.inspector.origin import origin_ca

CLIENT = ip_address("192.0.2.1")
SOMEBODY = Client(address=CLIENT)


class Held:
    """A connection that holds nothing."""

    idle = True

    def __init__(self, client: Client = SOMEBODY) -> None:
        self.client = client

    def check(self, now: float) -> None: ...

    def recheck(self) -> None: ...

    def abort(self, reason: str = "shutdown") -> None: ...


def workings(log: list[Access], now: float = 100.0) -> Workings:
    settings, loop = InspectorSettings(), asyncio.get_running_loop()

    async def resolve(name: str) -> list[Address]:
        return []

    upstreams = Upstreams(
        limits=settings.limits, context=origin_ca().trusting(), resolve=resolve, guard=lambda *_: None, loop=loop
    )
    return Workings(
        settings=settings,
        live=Live(policy_of(RULES)),
        leaves=None,
        upstreams=upstreams,
        sink=log.append,
        clock=lambda: now,
        loop=loop,
    )


async def test_a_line_tells_what_was_decided_and_how_it_ended() -> None:
    log: list[Access] = []
    there = workings(log, now=100.5)
    decision = there.view(SOMEBODY).decide(parse_host("pinned.example")).decision
    there.report(
        SOMEBODY,
        100.0,
        Outcome("pinned.example", "tunnel", decision, "timeout", "a detail", sent=7, received=5),
    )
    assert log == [
        Access(
            at=100.0,
            point=Point.INSPECTOR,
            client="192.0.2.1",
            host="pinned.example",
            effect="tunnel",
            rule="pinned",
            why=decision.why,
            reason="timeout",
            detail="a detail",
            sent=7,
            received=5,
            duration_ms=500.0,
        )
    ]
    assert dict(there.counters) == {"tunnel": 1, "reason:timeout": 1}


async def test_a_line_without_a_decision_names_no_rule_and_time_does_not_run_backwards() -> None:
    log: list[Access] = []
    workings(log, now=99.0).report(SOMEBODY, 100.0, Outcome("", "refuse", reason="client", status=403))
    assert [(line.rule, line.why, line.pending, line.duration_ms) for line in log] == [(None, "", (), 0.0)]


async def test_connections_are_counted_by_client_until_the_last_is_gone() -> None:
    there = workings([])
    one, two, three = Held(), Held(), Held()
    for held in (one, two):
        there.connections.add(held)
        there.per_client[CLIENT] += 1
    there.becomes(two, three)
    assert there.connections == {one, three}
    there.gone(two)  # not held any more: counts for nothing
    assert there.per_client == {CLIENT: 2}
    there.gone(three)
    there.gone(three)
    assert there.per_client == {CLIENT: 1}
    there.gone(one)
    assert (there.connections, dict(there.per_client)) == (set(), {})


async def test_a_device_is_counted_by_itself_once_it_is_known() -> None:
    """A whole office may share one address."""
    there = workings([])
    front, session = Held(), Held(Client(address=CLIENT, device="d1"))
    there.connections.add(front)
    there.per_client[CLIENT] += 1
    there.becomes(front, session)
    assert there.per_client == {"d1": 1}
    there.gone(session)
    assert (there.connections, dict(there.per_client)) == (set(), {})


async def test_a_line_and_a_view_tell_what_was_attested() -> None:
    log: list[Access] = []
    there = workings(log)
    program = Program(system=System.LINUX, names=("slack", "Slack"))
    seen = Attested(authority=Authority(parse_host("pinned.example"), 443), user="alice", program=program)
    client = Client(address=CLIENT, device="d1", attested=seen)
    there.report(client, 100.0, Outcome("pinned.example", "tunnel"))
    there.report(Client(address=CLIENT, device="d1"), 100.0, Outcome("", "refuse"))
    unseen = Attested(authority=seen.authority)
    there.report(Client(address=CLIENT, device="d1", attested=unseen), 100.0, Outcome("", "refuse"))
    assert [(line.client, line.user, line.program) for line in log] == [
        ("192.0.2.1", "alice", "slack"),
        ("192.0.2.1", "", ""),
        ("192.0.2.1", "", ""),
    ]
    assert there.view(client).attested is seen


async def test_what_has_gone_becomes_nothing() -> None:
    there = workings([])
    there.becomes(Held(), Held())
    assert there.connections == set()


async def test_a_task_is_held_until_it_is_done() -> None:
    there, going = workings([]), asyncio.Event()

    async def act() -> None:
        await going.wait()

    task = there.spawn(act())
    assert there.tasks == {task}
    going.set()
    await task
    await asyncio.sleep(0)
    assert there.tasks == set()


@pytest.mark.parametrize("leaves", [False, True])
async def test_a_view_is_of_the_policy_in_force(leaves: bool) -> None:
    there = workings([])
    there.leaves = origin_ca() if leaves else None
    before = there.view(SOMEBODY)
    there.live.swap(policy_of([]))
    after = there.view(SOMEBODY)
    assert (after.can_open, after.at, after.client) == (leaves, 100.0, CLIENT)
    assert before.policy is not after.policy is there.live.policy


def test_request_ids_differ() -> None:
    assert len({new_request_id() for _ in range(100)}) == 100
