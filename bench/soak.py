"""Half an hour of everything at once: memory has to stay flat, and descriptors to come back.

    python -m bench.soak [--minutes 30]        # or: make soak

``steering serve`` with one worker takes, in cycles of five seconds: requests on kept-alive connections, new ones to
known and to many hosts, downloads, uploads, tunnels, DNS queries, PAC files and a change of rules.  After three cycles
that fill caches and pools comes a pause, whose descriptors are the baseline; then memory is read after each cycle.
Memory may grow by less than 1 MB for each 1,000 connections, and after the last cycle every descriptor beyond the
baseline has to be closed again.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.cost import all_resident_mb, cpu_ns, descriptors
from bench.dns import bypassed_domain, plain_queries
from bench.inspector import COLD, OPENED, PINNED, TEN_MIB, World, rules, start_world
from bench.load import Load
from bench.outcome import say
from bench.peers import Running, steering
from bench.processes import Stage, interruptible
from bench.queries import write
from bench.report import Row, table
from steering.control.listening import Role
from tests.service import LiveService

CYCLE_S = 5.0
HOSTS = 50
WARMING = 3
QUIET_S, BACK_S = 3.0, 90.0
MB_PER_1000 = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """After a cycle.  connections: to the inspector, since the baseline."""

    seconds: float
    connections: int
    queries: int
    mb: float
    descriptors: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Soaked:
    """baseline, after: descriptors before the first cycle and some time after the last one.  failed: operations."""

    points: tuple[Point, ...]
    baseline: int
    after: int
    failed: int

    @property
    def mb_per_1000(self) -> float:
        return slope([(point.connections / 1000, point.mb) for point in self.points])

    def complaints(self) -> list[str]:
        found = []
        if self.mb_per_1000 >= MB_PER_1000:
            found.append(f"memory grew by {self.mb_per_1000:.2f} MB for each 1,000 connections")
        if self.after > self.baseline:
            found.append(f"{self.after - self.baseline} descriptors were not closed ({self.baseline} at the baseline)")
        if self.failed:
            found.append(f"{self.failed} operations failed")
        return found


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line that fits best: how much y grows with x.  0.0 where there is no telling."""
    if not points:
        return 0.0
    x0, y0 = (sum(column) / len(points) for column in zip(*points, strict=True))
    spread = sum((x - x0) ** 2 for x, _ in points)
    return sum((x - x0) * (y - y0) for x, y in points) / spread if spread else 0.0


class Soak:
    """A service under load, cycle by cycle."""

    def __init__(self, stage: Stage, cycle_s: float) -> None:
        self._cycle_s = cycle_s
        self._world = start_world(stage, keepalive_s=2)
        self._server, self._service = start(self._world)
        self._queries = write(stage.folder / "queries", plain_queries())
        self._cycles = self._connections = self._asked = self._failed = 0

    def cycle(self) -> None:
        """Everything at once."""
        with contextlib.ExitStack() as stack:
            tls = [stack.enter_context(Load("tlsload", **options)) for options in self._kinds()]
            dns = stack.enter_context(Load("dnsload", **self._dns()))
            before = cpu_ns(self._server.pid)
            for load in (*tls, dns):
                load.go()
            self._change_rules()
            for load, options in zip(tls, self._kinds(), strict=True):
                found = load.result(self._server.pid, before)
                self._connections += int(str(options["conns"])) if options.get("keep", 1) else found.count
                self._failed += found.failed
            self._asked += dns.result(self._server.pid, before).count
        self._cycles += 1

    def _kinds(self) -> list[dict[str, object]]:
        kinds: list[dict[str, object]] = [
            {"conns": 8},
            {"conns": 4, "keep": 0},
            {"name": COLD, "conns": 2, "keep": 0, "names": HOSTS, "start": self._cycles * 61},
            {"conns": 1, "path": "/10m"},
            {"conns": 1, "path": "/upload", "upload": TEN_MIB},
            {"name": PINNED, "conns": 2, "keep": 0, "ca": self._world.trusted},
            {"name": PINNED, "conns": 1, "path": "/10m", "ca": self._world.trusted},
        ]
        return [self._world.client(self._server, OPENED) | {"seconds": self._cycle_s} | kind for kind in kinds]

    def _dns(self) -> dict[str, object]:
        address = f"127.0.0.1:{self._server.ports[Role.DNS_UDP.value]}"
        return {"connect": address, "queries": self._queries, "seconds": self._cycle_s, "rate": 1000}

    def _change_rules(self) -> None:
        """While all the others are at it; the PAC is another one then."""
        self._service.enforce(soak_rules(self._cycles))
        for _ in range(20):
            self._service.pac()

    def point(self, began: float) -> Point:
        return Point(
            seconds=round(time.monotonic() - began),
            connections=self._connections,
            queries=self._asked,
            mb=round(all_resident_mb(self._server.pid), 1),
            descriptors=descriptors(self._server.pid),
        )

    def descriptors(self, within_s: float, at_most: int = 0) -> int:
        """Once they are no more than ``at_most``, or have not changed for a while, or time is up."""
        deadline = time.monotonic() + within_s
        found, since = descriptors(self._server.pid), time.monotonic()
        while found > at_most and time.monotonic() < deadline:
            time.sleep(0.1)
            now = descriptors(self._server.pid)
            if now != found:
                found, since = now, time.monotonic()
            elif not at_most and time.monotonic() - since > QUIET_S:
                break
        return found

    def run(self, seconds: float, tell: Callable[[Point], None]) -> Soaked:
        for _ in range(WARMING):
            self.cycle()
        baseline = self.descriptors(BACK_S)
        self._connections = self._asked = self._failed = 0
        began = time.monotonic()
        points: list[Point] = []
        while time.monotonic() - began < seconds or len(points) < 3:
            self.cycle()
            points.append(self.point(began))
            tell(points[-1])
        after = self.descriptors(BACK_S, at_most=baseline)
        return Soaked(points=tuple(points), baseline=baseline, after=after, failed=self._failed)


def start(world: World) -> tuple[Running, LiveService]:
    return steering.start(world.stage, "steering", soak_rules(0), world.settings)


def soak_rules(cycle: int) -> list[dict[str, object]]:
    """The starter policy, what is pinned, what DNS asks for, and a name that is another one in every cycle."""
    return rules([*map(bypassed_domain, range(100)), f"cycle{cycle}.example"])


def soak(seconds: float, tell: Callable[[Point], None], cycle_s: float = CYCLE_S) -> Soaked:
    with Stage() as stage:
        return Soak(stage, cycle_s).run(seconds, tell)


def rows(points: Sequence[Point], shown: int = 30) -> list[Row]:
    """Some of them, the last one always."""
    step = -(-len(points) // shown)
    return [
        {
            "minutes": round(point.seconds / 60, 1),
            "connections": point.connections,
            "queries": point.queries,
            "MB": point.mb,
            "descriptors": point.descriptors,
        }
        for number, point in enumerate(points, 1)
        if number % step == 0 or number == len(points)
    ]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--minutes", type=float, default=30.0)
    with interruptible():
        found = soak(
            options.parse_args().minutes * 60,
            lambda point: say(f"{point.connections:,} connections, {point.mb} MB, {point.descriptors} descriptors"),
        )
    print(table(rows(found.points)))
    print(
        f"\n{found.mb_per_1000:+.3f} MB for each 1,000 connections (at most {MB_PER_1000:g}); "
        f"descriptors: {found.baseline} before, {found.after} after"
    )
    for complaint in found.complaints():
        print(f"missed: {complaint}", file=sys.stderr)
    return 1 if found.complaints() else 0


if __name__ == "__main__":
    sys.exit(main())
