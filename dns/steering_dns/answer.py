"""Bytes to bytes: the answer to one packet, as far as it can be given without asking anybody.

HOT PATH.  The first zero byte ends a valid name, so a question that was answered before is found by two slices and a
dictionary look-up, and its answer joined from ready parts; nothing is parsed again.  A key is remembered only after
``parse_query`` accepted it, and a malformed name cannot equal a valid one, byte for byte.  A name of which nothing is
said needs no memory: ``Planner.is_unlisted`` tells that it has the plan of all such.  Microseconds of CPU, beside 5
for the socket: 0.1 for a datagram that is answered by ``View.replies`` (``udp``), 1 for a steered name, 2 for a cached
answer, 2.5 for a steered name that was never asked.  The slow twin is ``tests/dns/twin.py``; ``bench/dns.py`` has the
figures.
"""

from typing import NamedTuple

from dnslib import QTYPE

from steering.policy import Policy
from steering.policy.access import pending_names
from steering_dns.cache import Cache, Entry
from steering_dns.plan import Local, Plan, Planner, Route, Tally
from steering_dns.settings import DnsSettings
from steering_dns.views import Kind, Said, View, Views
from steering_dns.wire import (
    ADDRESS_TYPES,
    EDE_FILTERED,
    IN,
    MIN_UDP_REPLY,
    Edns,
    Fault,
    Query,
    heads,
    opt_record,
    parse_query,
    render,
    to_text,
    udp_limit,
)

_QUESTION_COUNTS = b"\0\1\0\0\0\0"
# Flags and counts of the common queries -> shape.  AD and Z are ignored; AA, TC, opcodes: the slow way.
_SHAPES = {
    bytes((rd, low)) + _QUESTION_COUNTS + bytes((0, edns)): rd | (low & 0x10) >> 3 | edns << 2
    for rd in (0, 1)
    for low in range(256)
    for edns in (0, 1)
}
_MAX_OPTS = 1024
_SWEEP_S = 60.0
_FOREVER = float("inf")
_UNLISTED_TAILS = frozenset(qtype.to_bytes(2, "big") + b"\0\1" for qtype in ADDRESS_TYPES)


class Ask(NamedTuple):
    """No answer yet: the route says whom to ask.  key: of the cache."""

    query: Query
    route: Route
    key: bytes
    limit: int


class Snapshot:
    """Everything derived from one policy, for the span of time in which no time condition of it changes.

    popular: what was asked again shortly before it expires, to be asked of its upstreams anew.
    """

    def __init__(
        self, settings: DnsSettings, policy: Policy, now: float, tallies: dict[tuple[str, str], Tally]
    ) -> None:
        self.policy = policy
        self.planner = Planner(settings, policy, tallies)
        self.views = Views(settings, policy)
        self.latest = now
        until = policy.next_change(now)
        self.until = float("inf") if until is None else until
        self.faults = self.planner.tally("malformed", "packet")
        self.dropped = self.planner.tally("dropped", "packet")
        self.followed: dict[tuple[str, bytes], float] = {}
        self.follow_cname = settings.follow_cname
        self.limits = settings.limits
        self.query_log = settings.query_log
        self.popular: list[tuple[bytes, Route]] = []
        self.opts: dict[bytes, Edns] = {}
        self.room = settings.limits.replies
        self.sweep_at = 0.0

    def holds(self, policy: Policy, now: float) -> bool:
        """Whether it is still true.  Not once the clock was set back: what is kept would be kept for longer."""
        if policy is self.policy and self.latest <= now < self.until:
            self.latest = now
            return True
        return False

    def plan(self, query: Query, view: View, now: float) -> Plan:
        """The remembered or fresh plan for a parsed query."""
        found = view.memo.get(query.key)
        if found is None:
            found = self.planner.plan(query, view, now)
            if view.kind is not Kind.REFUSED:  # strangers get nothing remembered
                self._remember(view, query.key, found)
        return found

    def plan_unlisted(self, key: bytes, view: View, now: float) -> Plan | None:
        """The plan that a view has for every name of which nothing is said, if this is one."""
        tail = key[-4:]  # type and class
        if tail not in _UNLISTED_TAILS or view.kind is Kind.REFUSED or not self.planner.is_unlisted(key[:-4]):
            return None
        found = view.unlisted.get(tail)
        if found is None:
            query = Query(b"\0\0", 0, key[:-4], int.from_bytes(tail[:2], "big"), IN, key, None)
            found = view.unlisted[tail] = self.planner.plan(query, view, now)
        if len(view.memo) < self.limits.memo_entries:  # found as fast without: no reason to drive out what is not
            view.memo[key] = found
        return found

    def _remember(self, view: View, key: bytes, plan: Plan) -> None:
        if len(view.memo) >= self.limits.memo_entries:
            view.memo.clear()
        view.memo[key] = plan

    def remember_opt(self, opt: bytes, edns: Edns) -> None:
        if len(opt) == 11 and len(self.opts) < _MAX_OPTS:
            self.opts[opt] = edns

    def keep(self, view: View, question: bytes, reply: bytes, until: float, tally: Tally, now: float) -> None:
        """Have ``question`` answered by the same bytes until then.

        Without ``room``, not before ``sweep_at``: names without number would only drive each other out.
        """
        if question not in view.replies:
            if not self.room:
                self.views.forget_replies()
                self.room, self.sweep_at = self.limits.replies, now + _SWEEP_S
            self.room -= 1
        said = self.said_of(b"\0\0" + question, view, now) if self.query_log else None
        view.replies[question] = reply, until, tally, said

    def said_of(self, packet: bytes, view: View, now: float) -> Said | None:
        """What a log line tells of a question; None for what is none."""
        end = packet.find(0, 12) + 1
        key, rest = packet[12:end].lower() + packet[end : end + 4], packet[end + 4 :]
        shape = _SHAPES.get(packet[2:12])
        plain = shape is not None and (rest in self.opts if shape & 4 else not rest)
        said = view.said.get(key) if plain else None
        if said is None:
            query = parse_query(packet)
            if not isinstance(query, Query):
                return None
            said = _said(query, self.plan(query, view, now))
            if len(view.said) >= self.limits.memo_entries:
                view.said.clear()
            if view.kind is not Kind.REFUSED:
                view.said[query.key] = said
        return said

    def note_popular(self, entry: Entry, key: bytes, route: Route) -> None:
        entry.refresh_at = _FOREVER
        self.popular.append((key, route))


def decide_wire(
    packet: bytes, view: View, snapshot: Snapshot, cache: Cache, now: float, *, udp: bool = True, client: str = ""
) -> bytes | Ask | None:
    """The answer to ``packet``, what to ask for it, or None: say nothing."""
    reply = answer_known(packet[2:], view, snapshot, cache, now, udp=udp)
    if reply is not None:
        return packet[:2] + reply
    return decide_parsed(packet, view, snapshot, cache, now, udp=udp, client=client)


def answer_known(
    question: bytes, view: View, snapshot: Snapshot, cache: Cache, now: float, *, udp: bool
) -> bytes | None:
    """The answer if it is at hand.  Both are without their first two bytes, the message id."""
    shape = _SHAPES.get(question[:10])
    if shape is None or snapshot.follow_cname:
        return None
    end = question.find(0, 10) + 5
    if end < 15:
        return None
    asked = question[10:end]
    key = asked[:-4].lower() + asked[-4:]
    plan = view.memo.get(key) or snapshot.plan_unlisted(key, view, now)
    if plan is None:
        return None
    rest = question[end:]
    edns = None
    if shape & 4:
        edns = snapshot.opts.get(rest)
        if edns is None:
            return None
    elif rest:
        return None
    if type(plan) is Local:
        until, sections = _FOREVER, plan.sections
        rcode, answers, authority, ede = plan.rcode, plan.answers, plan.authority, plan.ede
    else:
        assert type(plan) is Route
        key = plan.prefixes[(edns is not None and edns.do) | shape & 2] + key
        entry = cache.get(key, now)
        if entry is None:
            return None
        if now >= entry.refresh_at:
            snapshot.note_popular(entry, key, plan)
        found = entry.sections
        sections, until = entry.body(now), entry.until
        rcode, answers, authority, ede = found.rcode, found.answers, found.authority, None
        if found.filtered:
            ede = EDE_FILTERED
    opt = b"" if edns is None else opt_record(0, do=edns.do, ede=ede)
    reply = b"".join((heads(rcode, answers, authority)[shape], asked, sections, opt))
    if udp:
        if len(reply) > MIN_UDP_REPLY - 2 and len(reply) > udp_limit(edns) - 2:
            return None
        if snapshot.room or now >= snapshot.sweep_at:
            snapshot.keep(view, question, reply, until, plan.tally, now)
    plan.tally.count += 1
    return reply


def decide_parsed(
    packet: bytes, view: View, snapshot: Snapshot, cache: Cache, now: float, *, udp: bool, client: str
) -> bytes | Ask | None:
    """The slow way, which remembers: what is asked next is found by the way above."""
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
    if now >= entry.refresh_at:
        snapshot.note_popular(entry, key, plan)
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
    if len(snapshot.followed) >= snapshot.limits.memo_entries:
        snapshot.followed.clear()
    for target in entry.sections.targets:
        snapshot.followed[client, target] = min(entry.expires, now + 300)


def _said(query: Query, plan: Plan) -> Said:
    decision = plan.decision
    return (
        to_text(query.name),
        plan.tally.doing,
        None if decision is None else decision.rule,
        plan.tally.why if decision is None else decision.why,
        () if decision is None else pending_names(decision),
        "",
        str(QTYPE.forward.get(query.qtype, f"TYPE{query.qtype}")),  # RFC 3597 5
    )


def _followed(query: Query, snapshot: Snapshot, now: float, client: str) -> bool:
    return now < snapshot.followed.get((client, query.name), 0.0)
