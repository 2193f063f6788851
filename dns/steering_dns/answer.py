"""Bytes to bytes: the answer to one packet, as far as it can be given without asking anybody.

HOT PATH.  The first zero byte ends a valid name, so a question that was answered before is found by two slices and a
dictionary look-up, and its answer joined from ready parts; nothing is parsed again.  A key is remembered only after
``parse_query`` accepted it, and a malformed name cannot equal a valid one, byte for byte.  The slow twin is
``tests/dns/twin.py``; ``bench/dns.py`` has the figures.
"""

from typing import NamedTuple

from steering.policy import Policy
from steering_dns.cache import Cache, Entry
from steering_dns.plan import Local, Plan, Planner, Route, Tally
from steering_dns.settings import DnsSettings
from steering_dns.views import Kind, View, Views
from steering_dns.wire import EDE_FILTERED, Edns, Fault, Query, heads, opt_record, parse_query, render, udp_limit

_QUESTION_COUNTS = b"\0\1\0\0\0\0"
# Flags and counts of the common queries -> shape.  AD and Z are ignored; AA, TC, opcodes: the slow way.
_SHAPES = {
    bytes((rd, low)) + _QUESTION_COUNTS + bytes((0, edns)): rd | (low & 0x10) >> 3 | edns << 2
    for rd in (0, 1)
    for low in range(256)
    for edns in (0, 1)
}
_MAX_OPTS = 1024


class Ask(NamedTuple):
    """No answer yet: the route says whom to ask.  key: of the cache."""

    query: Query
    route: Route
    key: bytes
    limit: int


class Snapshot:
    """Everything derived from one policy, for the span of time in which no time condition of it changes."""

    def __init__(
        self, settings: DnsSettings, policy: Policy, now: float, tallies: dict[tuple[str, str], Tally]
    ) -> None:
        self.policy = policy
        self.planner = Planner(settings, policy, tallies)
        self.views = Views(settings, policy)
        self.since = now
        until = policy.next_change(now)
        self.until = float("inf") if until is None else until
        self.faults = self.planner.tally("malformed", "packet")
        self.dropped = self.planner.tally("dropped", "packet")
        self.followed: dict[tuple[str, bytes], float] = {}
        self.follow_cname = settings.follow_cname
        self.max_memo = settings.limits.memo_entries
        self._opts: dict[bytes, Edns] = {}

    def holds(self, policy: Policy, now: float) -> bool:
        return policy is self.policy and self.since <= now < self.until

    def plan(self, query: Query, view: View, now: float) -> Plan:
        """The remembered or fresh plan for a parsed query."""
        found = view.memo.get(query.key)
        if found is None:
            found = self.planner.plan(query, view, now)
            if view.kind is not Kind.REFUSED:  # strangers get nothing remembered
                if len(view.memo) >= self.max_memo:
                    view.memo.clear()
                view.memo[query.key] = found
        return found

    def known_opt(self, opt: bytes) -> Edns | None:
        return self._opts.get(opt)

    def remember_opt(self, opt: bytes, edns: Edns) -> None:
        if len(opt) == 11 and len(self._opts) < _MAX_OPTS:
            self._opts[opt] = edns


def decide_wire(
    packet: bytes, view: View, snapshot: Snapshot, cache: Cache, now: float, *, udp: bool = True, client: str = ""
) -> bytes | Ask | None:
    """The answer to ``packet``, what to ask for it, or None: say nothing."""
    shape = _SHAPES.get(packet[2:12])
    if shape is not None:
        end = packet.find(0, 12) + 1
        key = packet[12:end].lower() + packet[end : end + 4]
        plan = view.memo.get(key)
        if plan is not None:
            rest = packet[end + 4 :]
            edns = snapshot.known_opt(rest) if shape & 4 else None
            if ((edns is not None) if shape & 4 else not rest) and not snapshot.follow_cname:
                if type(plan) is Local:
                    rcode, answers, authority, ede = plan.rcode, plan.answers, plan.authority, plan.ede
                    sections: bytes | None = plan.sections
                else:
                    sections = None
                    assert type(plan) is Route
                    entry = cache.get(plan.prefixes[(edns is not None and edns.do) | shape & 2] + key, now)
                    if entry is not None:
                        found = entry.sections
                        rcode, answers, authority = found.rcode, found.answers, found.authority
                        sections, ede = entry.body(now), EDE_FILTERED if found.filtered else None
                if sections is not None:
                    opt = b"" if edns is None else opt_record(0, do=edns.do, ede=ede)
                    head = heads(rcode, answers, authority)[shape]
                    reply = b"".join((packet[:2], head, packet[12 : end + 4], sections, opt))
                    if not udp or len(reply) <= 512 or len(reply) <= udp_limit(edns):
                        plan.tally.count += 1
                        return reply
    return _decide_parsed(packet, view, snapshot, cache, now, udp=udp, client=client)


def _decide_parsed(
    packet: bytes, view: View, snapshot: Snapshot, cache: Cache, now: float, *, udp: bool, client: str
) -> bytes | Ask | None:
    query = parse_query(packet)
    if query is None:
        snapshot.dropped.count += 1
        return None
    if isinstance(query, Fault):
        snapshot.faults.count += 1
        return query.reply
    if query.edns is not None:
        snapshot.remember_opt(packet[12 + len(query.question) :], query.edns)
    return _answer(query, snapshot.plan(query, view, now), snapshot, cache, now, udp=udp, client=client)


def _answer(
    query: Query, plan: Plan, snapshot: Snapshot, cache: Cache, now: float, *, udp: bool, client: str
) -> bytes | Ask:
    limit = udp_limit(query.edns) if udp else 65535
    if isinstance(plan, Local):
        if not (plan.followable and snapshot.follow_cname and _followed(query, snapshot, now, client)):
            plan.tally.count += 1
            return answer_local(query, plan, limit)
        tally = snapshot.planner.tally("real", "followed chain")
        plan = snapshot.planner.route("", tally, plan.decision, filtered=True, bypass=True)
    plan.tally.count += 1
    do = query.edns is not None and query.edns.do
    key = plan.prefixes[do | query.shape & 2] + query.key
    entry = cache.get(key, now)
    if entry is None:
        return Ask(query, plan, key, limit)
    if snapshot.follow_cname and plan.bypass:
        follow(snapshot, client, entry, now)
    return answer_entry(query, entry, entry.body(now), limit)


def answer_local(query: Query, plan: Local, limit: int) -> bytes:
    """An answer made here."""
    opt = None if query.edns is None else opt_record(plan.rcode, do=query.edns.do, ede=plan.ede)
    return render(
        query, plan.rcode, plan.sections, answers=plan.answers, authority=plan.authority, opt=opt, limit=limit
    )


def answer_entry(query: Query, entry: Entry, body: bytes, limit: int, ede: int | None = None) -> bytes:
    """An upstream's answer; ``body`` with its TTLs as of now."""
    found = entry.sections
    if ede is None and found.filtered:
        ede = EDE_FILTERED
    opt = None if query.edns is None else opt_record(found.rcode, do=query.edns.do, ede=ede)
    return render(query, found.rcode, body, answers=found.answers, authority=found.authority, opt=opt, limit=limit)


def follow(snapshot: Snapshot, client: str, entry: Entry, now: float) -> None:
    """Remember the targets of a bypassed chain for this client, while the answer lasts."""
    if len(snapshot.followed) >= snapshot.max_memo:
        snapshot.followed.clear()
    for target in entry.sections.targets:
        snapshot.followed[client, target] = min(entry.expires, now + 300)


def _followed(query: Query, snapshot: Snapshot, now: float, client: str) -> bool:
    return now < snapshot.followed.get((client, query.name), 0.0)
