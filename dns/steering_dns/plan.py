"""What is to be done about a question in a view: answered here, or asked of which upstreams.

Pure.  ``plan_for`` is the whole of the resolver's semantics; it is slow and obvious, and ``answer`` remembers it.
In order: who may ask; classes and types that are nobody's; canaries; conditional zones; reserved names; the rules.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

from steering.policy import Action, Decision, Effect, Flow, Host, Point, Policy, effect, parse_host
from steering.policy.reserved import CANARY, INTERNAL, LOOPBACK, OWN, RESOLVER, REVERSE, SINGLE_LABEL
from steering.policy.suffixes import has_known_tld
from steering_dns import records, wire
from steering_dns.settings import Address, DnsSettings
from steering_dns.views import Kind, View
from steering_dns.wire import ADDRESS_TYPES, NOERROR, NXDOMAIN, REFUSED

_ORDINARY = re.compile(rb"[a-z0-9_-]{1,63}")
_DESIGNATED = wire.to_wire("_dns.resolver.arpa")
_ORDINARY_BYTES = b"abcdefghijklmnopqrstuvwxyz0123456789_-"
_STRANGER = Host("", numeric=True)  # a name that no host has: no domain of any rule matches it
_LOOPBACK: tuple[Address, ...] = (IPv4Address("127.0.0.1"), IPv6Address("::1"))
_TRANSFERS = frozenset({249, 250, 251, 252, 253, 254})  # TKEY, TSIG, IXFR, AXFR, MAILB, MAILA
_NOT_ASKED = frozenset({0, wire.OPT})
# RFC 6303, and the reverse of the default internal networks: nobody on the internet can answer for these.
PRIVATE_REVERSE = tuple(
    wire.to_wire(name)
    for name in (
        "10.in-addr.arpa",
        *(f"{i}.172.in-addr.arpa" for i in range(16, 32)),
        "168.192.in-addr.arpa",
        "127.in-addr.arpa",
        "254.169.in-addr.arpa",
        "0.in-addr.arpa",
        *(f"{i}.100.in-addr.arpa" for i in range(64, 128)),
        "c.f.ip6.arpa",
        "d.f.ip6.arpa",
        *(f"{i}.e.f.ip6.arpa" for i in "89ab"),
        "0." * 31 + "0.ip6.arpa",
        "1." + "0." * 31 + "ip6.arpa",
    )
)
_PRIVATE_REVERSE = frozenset(PRIVATE_REVERSE)
LOOP_PROBE = "steering-loop-probe.example"


class Tally:
    """How many questions ended one way, by one rule.  doing: "inspector", "real", "nxdomain" ..."""

    __slots__ = ("count", "doing", "why")

    def __init__(self, doing: str, why: str) -> None:
        self.doing = doing
        self.why = why
        self.count = 0


@dataclass(slots=True, kw_only=True, eq=False)
class Local:
    """Answered here.  followable: a bypassed chain may exempt it (``follow_cname``)."""

    tally: Tally
    decision: Decision | None
    rcode: int
    sections: bytes = b""
    answers: int = 0
    authority: int = 0
    ede: int | None = None
    followable: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Route:
    """Asked of upstreams.  zone: "" for the resolver's own upstreams, else the zone whose servers are asked.

    prefixes: the beginning of the cache key, by DO and CD.  bypass: the real answer in place of the inspector's.
    """

    tally: Tally
    decision: Decision | None
    zone: str
    filtered: bool
    prefixes: tuple[bytes, ...]
    bypass: bool = False


Plan = Local | Route


class Planner:
    """The semantics for one policy and one configuration.  tallies: shared with those before and after it."""

    def __init__(self, settings: DnsSettings, policy: Policy, tallies: dict[tuple[str, str], Tally]) -> None:
        self.settings = settings
        self.policy = policy
        self._tallies = tallies
        ttl_s = settings.limits.steered_ttl_s
        self._soa = records.soa(ttl_s)
        self._any = records.minimal_any(ttl_s)
        self._steered = {v: records.addresses(settings.inspector_addresses, v, ttl_s) for v in (4, 6)}
        self._loopback = {v: records.addresses(_LOOPBACK, v, ttl_s) for v in (4, 6)}
        self._zones = {wire.to_wire(name): name for name in settings.zones}
        self._own = {
            name: {v: records.addresses(found, v, ttl_s) for v in (4, 6)}
            for name, found in settings.own_names.items()
            if found
        }
        found = settings.discovery
        self._designated = (b"", 0) if found is None else records.designated(found, ttl_s)
        self._listed = frozenset((LOOP_PROBE, *settings.zones, *self._own))
        self._clear: dict[bytes, str] = {}
        self._probe = wire.to_wire(f"{settings.loop_token}.{LOOP_PROBE}")

    def plan(self, query: wire.Query, view: View, now: float) -> Plan:
        """What is to be done about ``query`` in ``view`` at the instant ``now``."""
        if view.kind is Kind.REFUSED:
            return self._local("refused", "client", REFUSED, ede=wire.EDE_PROHIBITED)
        if query.qtype in _NOT_ASKED:
            return self._local("formerr", "type", wire.FORMERR)
        if query.qclass != wire.IN:
            return self._other_class(query, view)
        if query.qtype in _TRANSFERS:
            return self._local("refused", "type", REFUSED)
        if query.name == self._probe:
            return self._local("loop-probe", "own", NOERROR, sections=records.text("loop"), answers=1)
        return self._name(query.name, query.qtype, view, now)

    def is_unlisted(self, name: bytes) -> bool:
        """Whether ``name`` (lower-case, perhaps malformed) is an ordinary one of which neither policy nor configuration
        says anything, so that ``plan`` has the same to say of it as of every other such name.  False: perhaps not.

        HOT PATH, for names that were not asked before: 0.7 us, where ``plan`` takes 20.
        """
        after = 1 + name[0]
        label, above = name[1:after], name[after:]
        text = self._clear.get(above)
        if text is None:
            text = self._text_of_clear(above)
            if len(self._clear) >= self.settings.limits.memo_entries:
                self._clear.clear()
            self._clear[above] = text
        if not text or not label or after > 64 or len(name) > wire.MAX_NAME or label.translate(None, _ORDINARY_BYTES):
            return False
        text = f"{label.decode('ascii')}.{text}"
        return not self.policy.lists(text) and text not in self._listed

    def _text_of_clear(self, name: bytes) -> str:
        """The text of a name of which, and of what is above it, nothing is said; "" for any other.

        Remembered: many names have the same above them.
        """
        if wire.skip_name(name, 0) != len(name):
            return ""
        host, suffix = host_of(name)
        if not host.is_name or not suffix:
            return ""
        above = (wire.to_text(s) for s in wire.suffixes_of(name))
        return "" if any(s in self._listed or self.policy.lists(s) for s in above) else suffix

    def route(self, zone: str, tally: Tally, decision: Decision | None, *, filtered: bool, bypass: bool) -> Route:
        prefixes = tuple(bytes((filtered | flags << 1,)) + zone.encode() + b"\0" for flags in range(4))
        return Route(tally=tally, decision=decision, zone=zone, filtered=filtered, prefixes=prefixes, bypass=bypass)

    def tally(self, doing: str, why: str) -> Tally:
        return self._tallies.setdefault((doing, why), Tally(doing, why))

    def _name(self, name: bytes, qtype: int, view: View, now: float) -> Plan:
        host, suffix = host_of(name)
        decision = self._decision(host, suffix, view, now)
        reserved = decision.reserved
        if reserved is CANARY:
            return self._local("nxdomain", reserved.key, NXDOMAIN, decision, ede=wire.EDE_BLOCKED)
        if reserved is RESOLVER:
            if name == _DESIGNATED and qtype == wire.SVCB and self._designated[1]:
                sections, count = self._designated
                return self._local("own", reserved.key, NOERROR, decision, sections=sections, answers=count)
            return self._nodata(reserved.key, decision)
        if reserved is OWN and host.text in self._own:
            return self._own_answer(self._own[host.text], qtype, reserved.key, decision)
        zone = next((self._zones[s] for s in wire.suffixes_of(name) if s in self._zones), None)
        if zone is not None:
            if qtype == wire.ANY:
                return self._any_answer("zone", decision)
            return self._forward("zone", decision, zone=zone)
        if qtype == wire.ANY and (reserved is None or reserved.dns is Effect.DNS_REAL) and reserved is not SINGLE_LABEL:
            return self._any_answer("type", decision)
        if reserved is not None:
            return self._reserved(name, qtype, decision)
        if host.address is not None:
            return self._local("nxdomain", "address", NXDOMAIN, decision)
        if qtype not in ADDRESS_TYPES or name == b"\0":
            return self._forward("type", decision)
        if view.kind is Kind.REAL:
            return self._forward("view", None)
        if effect(Point.DNS, decision) is Effect.DNS_REAL:
            return self._forward(decision.rule or "default", decision, bypass=True)
        return self._steer(qtype, decision)

    def _decision(self, host: Host, suffix: str, view: View, now: float) -> Decision:
        """Of the host; a name that no host has is reserved by the ordinary names above it."""
        if host is _STRANGER and suffix:
            below = self.policy.decide(Flow(host=Host("_." + suffix), source=view.source), now)
            if below.reserved is not None:
                return below
        return self.policy.decide(Flow(host=host, source=view.source), now)

    def _reserved(self, name: bytes, qtype: int, decision: Decision) -> Plan:
        reserved = decision.reserved
        assert reserved is not None
        if reserved is LOOPBACK:
            return self._own_answer(self._loopback, qtype, reserved.key, decision)
        if reserved is SINGLE_LABEL:
            return self._single_label(name, qtype, decision)
        if reserved is INTERNAL:
            return self._forward(reserved.key, decision, filtered=False)
        if reserved is REVERSE and any(s in _PRIVATE_REVERSE for s in wire.suffixes_of(name)):
            return self._private_reverse(qtype, decision)
        if reserved.dns is Effect.DNS_NXDOMAIN:
            return self._local("nxdomain", reserved.key, NXDOMAIN, decision)
        if qtype in ADDRESS_TYPES and reserved.dns is not Effect.DNS_REAL:
            return self._nodata(reserved.key, decision)
        return self._forward(reserved.key, decision)

    def _single_label(self, name: bytes, qtype: int, decision: Decision) -> Plan:
        """A top-level domain exists, and validators ask for its keys; what else has one label stays here."""
        label = wire.to_text(name)
        if not has_known_tld(label):
            return self._local("nxdomain", SINGLE_LABEL.key, NXDOMAIN, decision)
        if qtype in ADDRESS_TYPES or qtype == wire.ANY:  # NXDOMAIN would deny every name below it (RFC 8020)
            return self._nodata(SINGLE_LABEL.key, decision)
        return self._forward(SINGLE_LABEL.key, decision)

    def _private_reverse(self, qtype: int, decision: Decision) -> Plan:
        zone = next((z for z in self.settings.zones if not z.endswith(".arpa")), None)
        if qtype in ADDRESS_TYPES or qtype == wire.ANY:
            return self._nodata(REVERSE.key, decision)
        if zone is None:
            return self._local("nxdomain", REVERSE.key, NXDOMAIN, decision)
        return self._forward(REVERSE.key, decision, zone=zone)

    def _steer(self, qtype: int, decision: Decision) -> Local:
        why = decision.rule or "default"
        doing = "block" if decision.action is Action.BLOCK else "inspector"
        sections, count = self._family(self._steered, qtype)
        return Local(
            tally=self.tally(doing, why),
            decision=decision,
            rcode=NOERROR,
            sections=sections or self._soa,
            answers=count,
            authority=0 if count else 1,
            ede=wire.EDE_FORGED,
            followable=decision.rule is None and not decision.pending,
        )

    def _own_answer(self, families: dict[int, tuple[bytes, int]], qtype: int, why: str, decision: Decision) -> Local:
        sections, count = self._family(families, qtype)
        if not count:
            return self._nodata(why, decision)
        return self._local("own", why, NOERROR, decision, sections=sections, answers=count)

    @staticmethod
    def _family(families: dict[int, tuple[bytes, int]], qtype: int) -> tuple[bytes, int]:
        return families[4] if qtype == wire.A else families[6] if qtype == wire.AAAA else (b"", 0)

    def _other_class(self, query: wire.Query, view: View) -> Local:
        asks_version = query.name in (b"\x07version\x04bind\0", b"\x07version\x06server\0") and query.qtype == wire.TXT
        if query.qclass == wire.CHAOS and asks_version and view.source.is_loopback:
            sections = records.text(f"steering {self.policy.revision}", chaos=True)
            return self._local("own", "version", NOERROR, sections=sections, answers=1)
        return self._local("refused", "class", REFUSED)

    def _any_answer(self, why: str, decision: Decision) -> Local:
        return self._local("minimal", why, NOERROR, decision, sections=self._any, answers=1)

    def _nodata(self, why: str, decision: Decision | None) -> Local:
        return Local(tally=self.tally("nodata", why), decision=decision, rcode=NOERROR, sections=self._soa, authority=1)

    def _local(
        self,
        doing: str,
        why: str,
        rcode: int,
        decision: Decision | None = None,
        *,
        sections: bytes = b"",
        answers: int = 0,
        ede: int | None = None,
    ) -> Local:
        negative = rcode == NXDOMAIN
        return Local(
            tally=self.tally(doing, why),
            decision=decision,
            rcode=rcode,
            sections=self._soa if negative else sections,
            answers=answers,
            authority=1 if negative else 0,
            ede=ede,
        )

    def _forward(
        self, why: str, decision: Decision | None, *, zone: str = "", filtered: bool = True, bypass: bool = False
    ) -> Route:
        doing = "zone" if zone else "real"
        return self.route(zone, self.tally(doing, why), decision, filtered=filtered and not zone, bypass=bypass)


def host_of(name: bytes) -> tuple[Host, str]:
    """The host that a lower-case wire name stands for, and the longest ordinary name that it ends with."""
    labels = wire.labels_of(name)
    ordinary = len(labels)
    while ordinary and _ORDINARY.fullmatch(labels[ordinary - 1]):
        ordinary -= 1
    suffix = b".".join(labels[ordinary:]).decode("ascii")
    if ordinary or not labels or len(suffix) > 253:
        return _STRANGER, suffix
    return parse_host(suffix), suffix
