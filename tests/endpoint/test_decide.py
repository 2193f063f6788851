"""The course of a connection, case by case."""

import json
from ipaddress import ip_address

import pytest

from steering.endpoint.decide import Facts, Shown, asks_who, course, course_of, decide_name, waits_for_program
from steering.policy import UNSEEN, Effect, Fact, Policy, Program, System, Unseen, compile_policy, parse_host
from steering.policy.document import load_document

SLACK = Program(system=System.LINUX, names=("slack",))
CURL = Program(system=System.LINUX, names=("curl",))
OFFICE = ip_address("10.1.2.3")
AT = 1_800_000_000.0


def policy() -> Policy:
    rules = [
        {"name": "all", "domains": ["pin.example"]},
        {"name": "app", "domains": ["app.example"], "programs": ["slack"]},
        {"name": "anything of it", "programs": ["linux:backup"]},
        {"name": "users", "domains": ["user.example"], "source": ["user:alice"]},
        {"name": "here", "domains": ["here.example"], "source": ["10.0.0.0/8"]},
        {"name": "group", "domains": ["group.example"], "source": ["group:staff"]},
        {"name": "not that", "action": "inspect", "domains": ["in.pin.example"]},
        {"name": "never by curl", "action": "block", "domains": ["block.pin.example"], "programs": ["curl"]},
    ]
    return compile_policy(
        load_document(json.dumps({"groups": {"staff": {"networks": ["192.0.2.0/24"]}}, "rules": rules}))
    )


POLICY = policy()


@pytest.mark.parametrize(
    ("hosts", "facts", "direct", "decided"),
    [
        (["pin.example"], Facts(), True, "pin.example"),
        (["other.example"], Facts(), False, "other.example"),
        (["in.pin.example"], Facts(), False, "in.pin.example"),
        (["block.pin.example"], Facts(), False, "block.pin.example"),
        (["block.pin.example"], Facts(program=CURL), False, "block.pin.example"),
        (["block.pin.example"], Facts(program=SLACK), True, "block.pin.example"),
        (["app.example"], Facts(), False, "app.example"),
        (["app.example"], Facts(program=SLACK), True, "app.example"),
        (["app.example"], Facts(program=CURL), False, "app.example"),
        (["x.example"], Facts(program=Program(system=System.LINUX, names=("backup",))), True, "x.example"),
        (["user.example"], Facts(), False, "user.example"),
        (["user.example"], Facts(user="Alice"), True, "user.example"),
        (["user.example"], Facts(user=None), False, "user.example"),
        (["here.example"], Facts(), False, "here.example"),
        (["here.example"], Facts(source=OFFICE), True, "here.example"),
        (["group.example"], Facts(source=OFFICE), False, "group.example"),
        (["group.example"], Facts(groups=frozenset({"staff"})), True, "group.example"),
        # A bypass needs every visible name.
        (["pin.example", "a.pin.example"], Facts(), True, "pin.example"),
        (["pin.example", "other.example"], Facts(), False, "other.example"),
        (["other.example", "pin.example"], Facts(), False, "other.example"),
        # Reserved names go there themselves.
        (["printer"], Facts(), True, "printer"),
        (["10.0.0.1"], Facts(), True, "10.0.0.1"),
        (["127.1"], Facts(), False, "127.1"),
    ],
)
def test_course(hosts: list[str], facts: Facts, direct: bool, decided: str) -> None:
    found = course(POLICY, [parse_host(host) for host in hosts], facts, AT)
    assert (found.direct, found.named.host.text) == (direct, decided)
    assert (found.named.effect is Effect.ENDPOINT_DIRECT) == direct


@pytest.mark.parametrize(
    ("host", "facts", "waits"),
    [
        ("app.example", Facts(), True),
        ("app.example", Facts(program=CURL), False),
        ("app.example", Facts(program=SLACK), False),
        ("other.example", Facts(), True),  # 'anything of it' may bypass it
        ("pin.example", Facts(), False),
        ("in.pin.example", Facts(), False),
        ("block.pin.example", Facts(), True),
        ("printer", Facts(), False),
    ],
)
def test_the_program_is_waited_for_where_it_could_change_the_course(host: str, facts: Facts, waits: bool) -> None:
    assert waits_for_program(POLICY, [parse_host(host)], facts, AT) == waits


def test_where_nobody_waits_the_program_changes_nothing() -> None:
    for host in ("pin.example", "in.pin.example", "printer"):
        found = {
            decide_name(POLICY, parse_host(host), Facts(program=program), AT).effect
            for program in (UNSEEN, SLACK, CURL)
        }
        assert len(found) == 1


WATCHED = compile_policy(
    load_document(
        json.dumps(
            {
                "rules": [
                    {"name": "pin", "domains": ["pin.example"]},
                    {"name": "net", "addresses": ["192.0.2.0/24"]},
                    {"name": "watch", "action": "inspect", "addresses": ["198.51.100.0/24"]},
                ]
            }
        )
    )
)


@pytest.mark.parametrize(
    ("authority", "inner", "direct", "decided", "dial"),
    [
        ("pin.example", None, True, "pin.example", "pin.example"),
        ("pin.example", "pin.example", True, "pin.example", "pin.example"),
        ("pin.example", "a.pin.example", True, "pin.example", "pin.example"),
        ("pin.example", "other.example", False, "other.example", "pin.example"),
        ("other.example", "pin.example", False, "other.example", "other.example"),
        # An address is decided and dialled by the name inside, unless a rule speaks of that very address.
        ("203.0.113.1", "pin.example", True, "pin.example", "pin.example"),
        ("203.0.113.1", None, False, "203.0.113.1", "203.0.113.1"),
        ("192.0.2.1", None, True, "192.0.2.1", "192.0.2.1"),
        ("192.0.2.1", "other.example", False, "other.example", "other.example"),
        ("198.51.100.1", "pin.example", False, "198.51.100.1", "pin.example"),
        # What is no name inside is one more thing to be bypassed, and nothing to dial.
        ("192.0.2.1", "203.0.113.1", False, "203.0.113.1", "192.0.2.1"),
        ("192.0.2.1", "192.0.2.2", True, "192.0.2.1", "192.0.2.1"),
        ("pin.example", "127.1", False, "127.1", "pin.example"),
        ("127.1", "pin.example", False, "127.1", "127.1"),
    ],
)
def test_course_by_everything_shown(authority: str, inner: str | None, direct: bool, decided: str, dial: str) -> None:
    shown = Shown(authority=parse_host(authority), inner=parse_host(inner) if inner else None)
    found = course_of(WATCHED, shown, Facts(), AT)
    assert (found.direct, found.named.host.text, found.dial.text) == (direct, decided, dial)


@pytest.mark.parametrize(
    ("hosts", "facts", "decided", "blocks"),
    [
        (["other.example"], Facts(), "other.example", False),
        (["pin.example"], Facts(), "pin.example", False),
        (["block.pin.example"], Facts(program=CURL), "block.pin.example", True),
        (["block.pin.example"], Facts(program=SLACK), "block.pin.example", False),
        (["block.pin.example"], Facts(), "block.pin.example", True),  # by curl, perhaps
        # The strictest name is named, wherever it stands.
        (["other.example", "block.pin.example"], Facts(program=CURL), "block.pin.example", True),
        (["block.pin.example", "other.example"], Facts(program=CURL), "block.pin.example", True),
        (["in.pin.example", "other.example"], Facts(), "in.pin.example", False),
    ],
)
def test_what_may_be_blocked(hosts: list[str], facts: Facts, decided: str, blocks: bool) -> None:
    found = course(POLICY, [parse_host(host) for host in hosts], facts, AT)
    assert (found.named.host.text, found.blocks) == (decided, blocks)


@pytest.mark.parametrize("action", ["inspect", "block"])
@pytest.mark.parametrize(
    ("program", "direct", "waits"),
    [
        (UNSEEN, False, frozenset({Fact.PROGRAM})),
        (CURL, False, frozenset()),
        (SLACK, True, frozenset()),
    ],
)
def test_an_address_that_may_be_watched_for_this_program_is_not_decided_by_its_name_alone(
    action: str, program: Program | Unseen, direct: bool, waits: frozenset[Fact]
) -> None:
    """Unknown is not False: who might be curl does not get past the rule for curl by being unknown."""
    rules = [
        {"name": "pin", "domains": ["pin.example"]},
        {"name": "curl there", "action": action, "programs": ["curl"], "addresses": ["198.51.100.0/24"]},
    ]
    shown = Shown(authority=parse_host("198.51.100.1"), inner=parse_host("pin.example"))
    found = course_of(compile_policy(load_document(json.dumps({"rules": rules}))), shown, Facts(program=program), AT)
    assert (found.direct, found.dial.text, found.waits) == (direct, "pin.example", waits)


@pytest.mark.parametrize(
    ("rule", "asks"),
    [
        ({"domains": ["a.example"]}, False),
        ({"domains": ["a.example"], "source": ["10.0.0.0/8"]}, False),
        ({"domains": ["a.example"], "source": ["group:networks"]}, False),
        ({"domains": ["a.example"], "source": ["group:users"]}, True),
        ({"domains": ["a.example"], "source": ["user:alice"]}, True),
        ({"programs": ["slack"]}, True),
    ],
)
def test_whether_anybody_asks_who(rule: dict[str, object], asks: bool) -> None:
    groups = {"networks": {"networks": ["10.0.0.0/8"]}, "users": {"users": ["bob"]}}
    policy = compile_policy(load_document(json.dumps({"groups": groups, "rules": [{"name": "a", **rule}]})))
    assert asks_who(policy.rules) == asks
