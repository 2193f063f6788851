"""The access line of a relay, whole."""

from dataclasses import replace

from steering.endpoint.decide import Shown, course_of
from steering.endpoint.proxy.relayed import Line, report
from steering.policy import parse_host
from steering.policy.access import Access
from steering.policy.points import Point
from tests.endpoint.proxy.rig import NOBODY, SLACK, running

LINE = Line(client="127.0.0.1", began_at=100.0, identity=None, user="", shown=None, course=None)


async def test_lines() -> None:
    async with running(clock=lambda: 100.5) as rig:
        bundle = rig.bundle()
        shown = Shown(authority=parse_host("app.example"))
        known = course_of(bundle.policy, shown, rig.works.facts(SLACK), 100.0)
        unknown = course_of(bundle.policy, shown, rig.works.facts(NOBODY), 100.0)
        report(rig.works, replace(LINE, reason="bad-request", detail="why"), "refuse", status=400)
        report(rig.works, replace(LINE, shown=shown, course=known, identity=SLACK), "direct", sent=1, received=2)
        report(rig.works, replace(LINE, shown=shown, course=unknown, identity=NOBODY), "proxy")
        at = {"at": 100.0, "point": Point.ENDPOINT, "client": "127.0.0.1", "duration_ms": 500.0}
        assert rig.lines == [
            Access(**at, host="", effect="refuse", rule=None, why="", reason="bad-request", detail="why", status=400),  # type: ignore[arg-type]
            Access(
                **at, host="app.example", effect="direct", rule="slack", why=known.named.decision.why,  # type: ignore[arg-type]
                sent=1, received=2, user="alice", program="slack",
            ),
            Access(
                **at, host="app.example", effect="proxy", rule=None, why=unknown.named.decision.why,  # type: ignore[arg-type]
                pending=("program",), user="alice",
            ),
        ]  # fmt: skip
