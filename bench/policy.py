"""What a decision costs, and compiling, at 100 and 100,000 domains, beside a linear scan and one ``re`` alternation.

    python -m bench.policy [--quick] [--only WORD]

The peers are what people write first: a loop over the list (``endswith``), and one regular expression of all names.
Both answer less than a decision does: no action, no rule, no why.  No host is asked twice, and nothing is remembered
of a decision.  A host is parsed right before the clock starts, as at a point that has just read it; ``decide, new
host`` includes the parsing.
``ready``: from the text of rules.json to the policy in force; for the alternation, from a list of names.
"""

import gc
import json
import random
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from bench.outcome import say
from bench.part import Found, main
from bench.report import quantile
from bench.rounds import Case, Measuring, Results, Sample, run_rounds
from bench.targets import Target
from steering.policy import Flow, Policy, compile_policy, parse_host
from steering.policy.document import load_document

T = TypeVar("T")

SIZES = (100, 100_000)
RULES = 100
SEED = 20_260_101
OURS, P50_US, P99_US, CPU_S = "steering", "p50 us", "p99 us", "CPU s"
TARGETS = (
    Target(case="decision, 100,000 domains", figure=P50_US, must=3, aim=1.5, unit="us"),
    Target(case="ready for 100,000 domains", figure=CPU_S, must=5, aim=2, unit="s"),
)
TLDS = ("com", "net", "org", "io", "de", "co.uk", "fr", "nl", "app", "cloud")
LABELS = ("www", "api", "cdn", "login", "static", "eu-west-1", "edge", "a", "assets")


def names(count: int) -> list[str]:
    """Names that look like those of a blocklist: a few labels, of uneven length, no two alike."""
    chance = random.Random(SEED)
    found: dict[str, None] = {}
    while len(found) < count:
        word = "".join(chance.choices("abcdefghijklmnopqrstuvwxyz", k=chance.randint(4, 16)))
        front = f"{chance.choice(LABELS)}." if chance.random() < 0.5 else ""
        found[f"{front}{word}.{chance.choice(TLDS)}"] = None
    return list(found)


def hosts(listed: Sequence[str], count: int) -> list[str]:
    """What clients ask for: half of it below a listed name, half of it not listed at all."""
    chance = random.Random(SEED + 1)
    return [
        f"{chance.choice(LABELS)}{i}.{chance.choice(listed)}"
        if i % 2
        else f"{chance.choice(LABELS)}{i}.not-{chance.choice(listed)}"
        for i in range(count)
    ]


def rules_text(listed: Sequence[str]) -> str:
    """A rules.json with the names in ``RULES`` rules of equal size."""
    share = -(-len(listed) // RULES)
    parts = [listed[start : start + share] for start in range(0, len(listed), share)]
    return json.dumps({"rules": [{"name": f"rule {i}", "domains": part} for i, part in enumerate(parts)]})


def linear_scan(listed: Sequence[str]) -> Callable[[str], bool]:
    pairs = [(name, "." + name) for name in listed]
    return lambda host: any(host == name or host.endswith(below) for name, below in pairs)


def alternation(listed: Sequence[str]) -> Callable[[str], bool]:
    pattern = re.compile(r"(?:.*\.)?(?:" + "|".join(map(re.escape, listed)) + ")")
    return lambda host: pattern.fullmatch(host) is not None


# Peer -> how to build it, and how many names it may be asked to walk in all, so that the bench ends.
PEERS: dict[str, tuple[Callable[[Sequence[str]], Callable[[str], bool]], int]] = {
    "linear scan": (linear_scan, 16_000_000),
    "one re alternation": (alternation, 16_000_000),
}


def timed_us(act: Callable[[T], object], asked: Iterable[T]) -> list[float]:
    """Microseconds of each call.  The clock itself costs some 0.1 us, which is left in."""
    clock = time.perf_counter_ns
    found = []
    for question in asked:
        before = clock()
        act(question)
        found.append((clock() - before) / 1000)
    return found


def decide_parsed(policy: Policy, asked: Sequence[str]) -> list[float]:
    return timed_us(lambda flow: policy.decide(flow, 0.0), (Flow(host=parse_host(host)) for host in asked))


def decide_new(policy: Policy, asked: Sequence[str]) -> list[float]:
    return timed_us(lambda host: policy.decide(Flow(host=parse_host(host)), 0.0), asked)


def taken(found: Sequence[float]) -> Sample:
    return {P50_US: quantile(found, 0.5), P99_US: quantile(found, 0.99)}


def cases_of(size: int, calls: int) -> Iterator[Case]:
    """Decisions over so many domains, and what it takes to be ready for them."""
    listed = names(size)
    asked = hosts(listed, calls)
    text = rules_text(listed)
    policy = compile_policy(load_document(text))
    new = iter(range(1_000_000))

    def decided(part: Sequence[str]) -> Measuring:
        return lambda number: taken(decide_parsed(policy, part))

    def never_seen(number: int) -> Sample:
        run = next(new)
        return taken(decide_new(policy, [f"n{run}-{host}" for host in asked]))

    def by(peer: Callable[[str], bool], walked: int) -> Measuring:
        return lambda number: taken(timed_us(peer, asked[: walked // size]))

    built = {name: make(listed) for name, (make, _) in PEERS.items()}
    gc.collect()
    gc.freeze()  # as the workers do once they serve
    yield Case(
        name=f"decision, {size:,} domains",
        unit="decision",
        servers={
            OURS: decided(asked),
            f"{OURS}, listed": decided(asked[1::2]),
            f"{OURS}, not listed": decided(asked[::2]),
            f"{OURS}, new host": never_seen,
            **{name: by(built[name], walked) for name, (_, walked) in PEERS.items()},
        },
    )
    yield Case(
        name=f"ready for {size:,} domains",
        unit="start",
        servers={
            OURS: lambda number: ready(text),
            "one re alternation": lambda number: ready_alternation(listed),
        },
    )


_READY = """
import sys, time
from steering.policy import compile_policy
from steering.policy.document import load_document
text = sys.stdin.read()
began = time.process_time()
compile_policy(load_document(text))
print(time.process_time() - began)
"""


def ready(text: str) -> Sample:
    """In a process of its own, which has met no name before."""
    done = subprocess.run([sys.executable, "-c", _READY], input=text, capture_output=True, text=True, check=True)
    return {CPU_S: float(done.stdout)}


def ready_alternation(listed: Sequence[str]) -> Sample:
    re.purge()
    began = time.process_time()
    alternation(listed)
    return {CPU_S: time.process_time() - began}


def measure(quick: bool, only: str) -> Found:
    calls, rounds = (20_000, 1) if quick else (100_000, 3)
    cases: list[Case] = []
    results: Results = {}
    for size in SIZES:
        wanted = [case for case in cases_of(size, calls) if only in case.name]
        cases += wanted
        results |= run_rounds(wanted, rounds, say)
        gc.unfreeze()
    return cases, results, []


if __name__ == "__main__":
    main(__doc__, measure, TARGETS)
