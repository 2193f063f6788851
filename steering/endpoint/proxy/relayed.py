"""A relay in the register: idle time, re-decision after a change, and its line in the access log."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from steering.endpoint.decide import Course, Shown, course_of
from steering.endpoint.identify.identity import Identity
from steering.endpoint.proxy.works import Works
from steering.policy.access import Access, pending_names
from steering.policy.points import Point
from steering.streams.crossing import Crossing
from steering.streams.tunnel import Pair

UNREACHABLE = "inspector-unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What an access line says of a connection besides how it ended.  client: the program's own address.
    user: whom the connection counts for.

    shown, course: None where it had not shown anything, or nothing was decided.
    """

    client: str
    began_at: float
    identity: Identity | None
    user: str
    shown: Shown | None
    course: Course | None
    reason: str = ""
    detail: str = ""


def report(works: Works, line: Line, effect: str, *, status: int = 0, sent: int = 0, received: int = 0) -> None:
    """One access line.  sent, received: bytes towards and from the client."""
    works.counters[effect] += 1
    if line.reason:
        works.counters[f"reason:{line.reason}"] += 1
    named = line.course.named if line.course else None
    decision = named.decision if named else None
    identity = line.identity
    works.sink(
        Access(
            at=line.began_at,
            point=Point.ENDPOINT,
            client=line.client,
            host=named.host.text if named else line.shown.authority.text if line.shown else "",
            effect=effect,
            rule=decision.rule if decision else None,
            why=decision.why if decision else "",
            pending=pending_names(decision) if decision else (),
            reason=line.reason,
            detail=line.detail,
            status=status,
            sent=sent,
            received=received,
            duration_ms=max(0.0, (works.clock() - line.began_at) * 1000),
            user=(identity.user or "") if identity else "",
            program=identity.names[0] if identity and identity.names and not identity.unknown else "",
        )
    )


class Relayed:
    """direct: it goes past the inspector, so it lasts only as long as the policy says so.  With the reason UNREACHABLE
    it goes there because no inspector answered, and lasts as long as that is allowed.
    """

    def __init__(self, works: Works, line: Line, *, direct: bool) -> None:
        self._works = works
        self._line = line
        self._direct = direct
        self._carrier: Pair | Crossing | None = None
        self._carried = 0
        self._deadline = works.loop.time() + works.limits.idle_s
        self._over = False

    def start(self, carrier: Pair | Crossing, begin: Callable[[], None]) -> None:
        """Register, then begin: an end may come at once."""
        self._carrier = carrier
        self._works.relays.add(self)
        begin()

    def on_end(self, error: Exception | None) -> None:
        self._finish(self._line.reason)

    def _finish(self, reason: str) -> None:
        carrier = self._carrier
        if self._over or carrier is None:
            return
        self._over = True
        carrier.close()
        self._works.relays.discard(self)
        self._works.let_go(self._line.user)
        up, down = (carrier.up, carrier.down) if isinstance(carrier, Crossing) else _carried(carrier)
        line = replace(self._line, reason=reason)
        report(self._works, line, "direct" if self._direct else "proxy", sent=down, received=up)

    def check(self, now: float) -> None:
        carried = self._carrier.carried if self._carrier else 0
        if carried != self._carried:
            self._carried, self._deadline = carried, now + self._works.limits.idle_s
        elif now >= self._deadline:
            self._finish("timeout")

    def recheck(self) -> None:
        """What goes through the inspector is decided again there."""
        bundle, shown = self._works.live.bundle, self._line.shown
        if not self._direct or bundle is None or shown is None:
            return
        found = course_of(bundle.policy, shown, self._works.facts(self._line.identity), self._works.clock())
        past = self._line.reason == UNREACHABLE and bundle.modes.inspector_unreachable == "open" and not found.blocks
        if not found.direct and not past:
            self._finish("policy-change")

    def abort(self) -> None:
        self._finish("shutdown")


def _carried(pair: Pair) -> tuple[int, int]:
    return pair.up.carried, pair.down.carried
