"""What a decision costs, and compiling, at 100 and 100,000 domains, beside a linear scan and one ``re`` alternation.

    python -m bench.policy [--quick]

The peers are what people write first: a loop over the list (``endswith``), and one regular expression of all names.
Both answer less than a decision does: no action, no rule, no why.  No host is asked twice, and nothing is remembered
of a decision.  A host is parsed right before the clock starts, as at a point that has just read it; ``decide, new
host`` includes the parsing.
``build CPU s`` is from the text of rules.json to the policy in force; for the peers, from a list of names.
"""

import argparse
import gc
import json
import random
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from bench.report import Row, print_rows, quantile
from steering.policy import Flow, Policy, compile_policy, parse_host
from steering.policy.document import load_document

T = TypeVar("T")

SIZES = (100, 100_000)
RULES = 100
SEED = 20_260_101
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
    "linear scan": (linear_scan, 40_000_000),
    "one re alternation": (alternation, 40_000_000),
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


def measure(size: int, calls: int) -> Iterator[Row]:
    listed = names(size)
    asked = hosts(listed, calls)
    text = rules_text(listed)
    began = time.process_time()
    policy = compile_policy(load_document(text))
    build_s = time.process_time() - began
    gc.collect()
    gc.freeze()  # as the workers do once they serve
    for what, part in (("decide", asked), ("decide, listed", asked[1::2]), ("decide, not listed", asked[::2])):
        yield row(size, f"steering, {what}", decide_parsed(policy, part), build_s)
    new = [f"n{i}-{host}" for i, host in enumerate(asked)]
    yield row(size, "steering, decide, new host", decide_new(policy, new), build_s)
    for name, (make, walked) in PEERS.items():
        began = time.process_time()
        peer = make(listed)
        build_s = time.process_time() - began
        yield row(size, name, timed_us(peer, asked[: walked // size]), build_s)
    gc.unfreeze()


def row(size: int, name: str, found: Sequence[float], build_s: float) -> Row:
    return {
        "domains": f"{size:,}",
        "what": name,
        "p50 us": round(quantile(found, 0.5), 2),
        "p99 us": round(quantile(found, 0.99), 2),
        "build CPU s": round(build_s, 3),
        "calls": len(found),
    }


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--quick", action="store_true", help="fewer calls")
    calls = 20_000 if options.parse_args().quick else 200_000
    print_rows([found for size in SIZES for found in measure(size, calls)])


if __name__ == "__main__":
    main()
