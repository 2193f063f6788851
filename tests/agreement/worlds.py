"""Random rule sets and the flows to try them with: everything from one seed, biased towards collisions.

A *world* is a rule set, the addresses that ask, and flows whose hosts are the names of the rules, their parents,
children and look-alikes.  Its ``visible`` kind holds no program or user condition, so that all four points must agree
on it; the ``full`` kind holds every condition, and the points must never be laxer than the full knowledge.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from ipaddress import ip_address
from random import Random
from typing import Any

from steering.policy import (
    RESERVED,
    CategoryTable,
    Flow,
    Policy,
    Program,
    ReservedSettings,
    System,
    compile_policy,
    parse_host,
)
from steering.policy.document import load_document
from steering.policy.hosts import Address

# A moment that the time conditions of the worlds lie around: 2027-01-15 08:00:00 UTC.
AT = 1_800_000_000.0

REGISTRABLE = (
    "bank.example",
    "pin.example",
    "corp.example",  # an internal zone and the service's own name are below it
    "shop.co.uk",
    "zoom-like.com",
    "xn--bcher-kva.example",
    "icloud.com",  # canaries are below it
)
LABELS = ("a", "b", "api", "api-1", "api-2", "www", "cdn", "cdn-eu", "login", "x_y", "1", "update")
GLOBS = ("api-*", "*-eu", "c*n", "*1", "u*d*e", "**")
NETWORKS = ("10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.3", "192.168.7.0/25", "fd00:1::/32", "fd00:1::7")
SOURCES = (
    "10.1.2.3",
    "10.1.2.4",
    "10.1.3.1",
    "10.9.9.9",
    "192.168.7.127",
    "192.168.7.128",
    "fd00:1::7",
    "fd00:2::1",
    "::ffff:10.1.2.3",  # the same client as a socket for both families shows it
)
DESTINATIONS = (
    "203.0.113.0/24",
    "203.0.113.128/25",
    "203.0.113.77",
    "198.51.100.0/24",
    "2001:db8::/32",
    "2001:db8:5::/48",
)
HOST_ADDRESSES = (
    "203.0.113.1",
    "203.0.113.77",
    "203.0.113.127",
    "203.0.113.128",
    "203.0.114.0",
    "198.51.100.9",
    "192.0.2.1",
    "2001:db8::1",
    "2001:db8:5::1",
    "2001:db9::1",
    "::ffff:203.0.113.77",
    "10.1.2.3",
    "127.0.0.1",
    "169.254.1.1",
)
USERS = ("alice", "bob")
PROGRAMS = ("pinned-app", "curl", "windows:Pinned.exe", "macos:com.example.pin.*", "linux:pinned-app")
RUNNING = (
    None,
    Program(system=System.LINUX, names=("pinned-app",)),
    Program(system=System.LINUX, names=("Pinned-App",)),
    Program(system=System.LINUX, names=("curl",)),
    Program(system=System.WINDOWS, names=("pinned.EXE",)),
    Program(system=System.MACOS, names=("com.example.pin.helper", "com.example.pin")),
)
CATEGORIES = CategoryTable(
    "agreement",
    {
        "Banks": frozenset({"bank.example", "a.pin.example", "cdn.shop.co.uk"}),
        "Updates": frozenset({"update.corp.example", "xn--bcher-kva.example"}),
    },
)
SETTINGS = ReservedSettings(internal_zones=("intern.corp.example",), own_names=("proxy.corp.example",))
RESERVED_HOSTS = (
    *(name.removeprefix("=") for entry in RESERVED for name in entry.names),
    "intern.corp.example",
    "proxy.corp.example",
    "printer",
)


class Kind(Enum):
    VISIBLE = "conditions that every network point can see"
    FULL = "every condition"


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """seed: makes it again.  at: the instant of asking.  document: the text of rules.json.  flows: full knowledge."""

    seed: str
    kind: Kind
    timed: bool
    at: float
    document: str
    policy: Policy
    sources: tuple[Address, ...]
    flows: tuple[Flow, ...]


def make_world(seed: str, kind: Kind, flows: int, timed: bool) -> World:
    """The world of ``seed``.  timed: whether rules may carry time conditions."""
    random = Random(seed)  # tests want the same world again, not an unguessable one
    rules = [_rule(random, i, kind, timed) for i in range(random.randint(1, 12))]
    groups = {
        "office": {"networks": random.sample(NETWORKS, 2), "users": ["alice"] if kind is Kind.FULL else []},
        "empty": {},
    }
    document = json.dumps({"version": 1, "groups": groups, "rules": rules}, indent=1)
    policy = compile_policy(load_document(document, CATEGORIES), SETTINGS)
    sources = tuple(ip_address(source) for source in random.sample(SOURCES, 3))
    hosts = list(_hosts(random, rules))
    made = tuple(
        Flow(
            host=parse_host(random.choice(hosts)),
            source=random.choice(sources),
            user=random.choice((None, *USERS)),
            program=random.choice(RUNNING),
        )
        for _ in range(flows)
    )
    return World(
        seed=seed,
        kind=kind,
        timed=timed,
        at=AT + random.choice((-1, 0, 0, 0, 1, 60)) if timed else AT,
        document=document,
        policy=policy,
        sources=sources,
        flows=made,
    )


def _rule(random: Random, index: int, kind: Kind, timed: bool) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "name": f"rule {index}",
        "action": random.choice(("bypass", "bypass", "bypass", "inspect", "block")),
    }
    destinations = random.choice((*["domains"] * 6, "categories", "addresses", "mixed", "mixed", "any"))
    if destinations in ("domains", "mixed"):
        rule["domains"] = [_domain(random) for _ in range(random.randint(1, 5))]
    if destinations in ("categories", "mixed"):
        rule["categories"] = random.sample(sorted(CATEGORIES.domains), random.randint(1, 2))
    if destinations in ("addresses", "mixed"):
        rule["addresses"] = random.sample(DESTINATIONS, random.randint(1, 2))
    if destinations == "any" or random.random() < 0.3:
        rule["source"] = _source(random, kind)
    if kind is Kind.FULL and random.random() < 0.35:
        rule["programs"] = random.sample(PROGRAMS, random.randint(1, 2))
    if timed and random.random() < 0.3:
        rule |= _times(random)
    if random.random() < 0.1:
        rule["enabled"] = False
    return rule


def _domain(random: Random) -> str:
    name = random.choice(REGISTRABLE)
    for _ in range(random.choice((0, 0, 1, 1, 2))):
        name = f"{random.choice(LABELS)}.{name}"
    form = random.choice(("", "", "*.", "=", "glob", "globs"))
    if form == "glob":
        return random.choice(("", "*.")) + f"{random.choice(GLOBS)}.{name}"
    if form == "globs":
        return random.choice(("*.*", "a.*", "*.api-*", "*-eu.*", "*.*.*")) + f".{name}"
    return form + name


def _source(random: Random, kind: Kind) -> list[str]:
    choices = [*NETWORKS, "group:office", "group:empty"]
    if kind is Kind.FULL:
        choices += [f"user:{user}" for user in USERS]
    return random.sample(choices, random.randint(1, 2))


def _times(random: Random) -> dict[str, str]:
    """Begun or not, ended or not, and the very instant: the interval is half-open."""
    begin, end = random.choice(
        ((-60, 60), (0, 60), (1, 60), (-60, 0), (None, 1), (None, 0), (None, -1), (0, None), (1, None))
    )
    times = {"not_before": begin, "expires_at": end}
    return {key: datetime.fromtimestamp(AT + s, UTC).isoformat() for key, s in times.items() if s is not None}


def _hosts(random: Random, rules: list[dict[str, Any]]) -> Iterator[str]:
    """The hosts that could tell two readings of these rules apart."""
    entries = [entry for rule in rules for entry in rule.get("domains", ())]
    listed = [name for rule in rules for c in rule.get("categories", ()) for name in CATEGORIES.domains[c]]
    for entry in (*entries, *sorted(listed)):
        name = _concrete(random, entry)
        yield from around(name, random)
        yield from (name, f"{random.choice(LABELS)}.{name}", _concrete(random, entry))  # half of the flows are meant
    yield from HOST_ADDRESSES
    for name in random.sample(RESERVED_HOSTS, 4):
        yield from (name, f"{random.choice(LABELS)}.{name}")
    yield from ("nowhere.example", "127.1", "0x7f.1", "a.b.c.d.e.f.nowhere.example")


def _concrete(random: Random, entry: str) -> str:
    """A name that the entry is about; a ``*`` becomes nothing, a label's worth, or too much (a dot)."""
    bare = entry.removeprefix("=").removeprefix("*.")
    while "*" in bare:
        bare = bare.replace("*", random.choice(("", "1", "x-y", "n.m")), 1)
    return bare.strip(".").replace("..", ".")


def around(name: str, random: Random) -> Iterator[str]:
    """``name``, its parent, children and look-alikes."""
    first, _, parent = name.partition(".")
    label = random.choice(LABELS)
    yield name
    yield f"{label}.{name}"
    yield f"{label}.a.{name}"
    if "." in parent:
        yield parent
        yield f"{label}.{parent}"  # a sibling
        yield f"{first}x.{parent}"
        yield f"x{first}.{parent}"
    yield f"x{name}"
    yield f"x-{name}"
    yield f"{name}.evil.example"
    yield f"{name.replace('.', '-')}.example"
    yield name[1:] if name[1] not in ".-" else f"y{name}"


def describe(world: World, flow: object, answers: dict[str, object]) -> str:
    """Everything needed to understand a mismatch, and to make it again."""
    made = f"make_world({world.seed!r}, {world.kind}, {len(world.flows)}, {world.timed}), at {world.at}"
    lines = ["", made, world.document, f"flow {flow}"]
    return "\n".join([*lines, *(f"  {point}: {answer}" for point, answer in answers.items())])
