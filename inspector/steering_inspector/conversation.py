"""What to do with a connection, given what it has shown so far: authority of CONNECT, ClientHello, Host.

Pure.  The cases, in the order in which they are asked:

1. CONNECT names an authority.  Ports, reserved names, a missing CA and the rules for that name may end it here.
2. The ClientHello shows SNI and ALPN (or is none).  A bypass needs every name visible by now to be bypassed; the
   strictest of their effects stands.
3. A plain request shows Host.  It is decided by itself and never tunnelled.

The name that was decided is the name that is resolved and dialled.  SNI names the origin of what is opened: CONNECT
to A with SNI B is decided on both, opened under B and dialled as B, so that no rule reads one name while another is
dialled; the requests inside must name B as well, and each is decided on both names again.  CONNECT to an address is
decided on, dialled and opened by its SNI, unless a rule blocks or inspects that very address; without SNI it is opened
under the address, and the origin must prove that address.
"""

from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

from steering.policy import UNSEEN, Decision, Effect, Flow, Host, Point, Policy, Program, Unseen, effect, parse_host
from steering.policy.errors import HostError
from steering.policy.hosts import Address
from steering.policy.reserved import opened_up
from steering_inspector.fields import HeadError
from steering_inspector.request import Authority
from steering_inspector.settings import InspectorSettings

# RFC 7301 6, the IANA registry.  A client of http/1.0 alone takes an answer without ALPN.
HTTP1 = frozenset(("http/1.1", "http/1.0"))


class Alert(Enum):
    """TLS alerts that say to a client why it is refused (RFC 8446 6)."""

    ACCESS_DENIED = 49
    DECODE_ERROR = 50
    INTERNAL_ERROR = 80
    UNRECOGNIZED_NAME = 112
    NO_APPLICATION_PROTOCOL = 120


class Named(NamedTuple):
    """A decided name.  guarded: it was reserved and is opened up: only ``allow_destinations`` may be dialled."""

    host: Host
    decision: Decision
    effect: Effect
    guarded: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """CONNECT is answered 200; the ClientHello decides."""

    authority: Authority
    named: Named


@dataclass(frozen=True, slots=True, kw_only=True)
class Tunnel:
    """Dial ``name`` and pass bytes.  names: all that were shown and go on counting, the one that names the origin
    first; reason: of one that a setting opened.
    """

    name: Named
    port: int
    names: tuple[Host, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Open:
    """Take the client's TLS under ``name``; requests inside are decided one by one.

    outer: the host of a CONNECT that named another, which goes on counting.
    """

    name: Named
    port: int
    outer: Host | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Take the client's TLS under ``name`` and show a page to whatever it asks."""

    name: Named
    status: int
    reason: str
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse:
    """Answer with ``status`` where plain HTTP is spoken, with ``alert`` where TLS is, and close."""

    reason: str
    why: str
    status: int = 403
    alert: Alert = Alert.ACCESS_DENIED
    named: Named | None = None


class Hello(NamedTuple):
    """What a ClientHello shows; sni "" for none."""

    sni: str = ""
    alpn: tuple[str, ...] = ()


class NoHello(Enum):
    """What came in the place of a ClientHello."""

    NOT_TLS = "not-tls"
    MALFORMED = "malformed-hello"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attested:
    """What a helper attests of one connection; UNSEEN: not established.  groups: of the device's certificate."""

    authority: Authority
    groups: frozenset[str] = frozenset()
    user: str | Unseen = UNSEEN
    program: Program | Unseen = UNSEEN


class View(NamedTuple):
    """What decisions are made by: policy, client, instant (seconds since the epoch), settings, and the CA's state.

    attested: None where nothing but the client's address is known.
    """

    policy: Policy
    client: Address
    at: float
    settings: InspectorSettings
    can_open: bool
    attested: Attested | None = None

    def decide(self, host: Host) -> Named:
        decision = self.policy.decide(self._flow(host), self.at)
        taken = effect(Point.INSPECTOR, decision) or Effect.REFUSE
        if taken is Effect.REFUSE and opened_up(decision.reserved, host, self.settings.allow_destinations):
            return Named(host=host, decision=decision, effect=Effect.OPEN, guarded=True)
        return Named(host, decision, taken)

    def _flow(self, host: Host) -> Flow:
        seen = self.attested
        if seen is None:
            return Flow(host=host, source=self.client)
        return Flow(host=host, source=self.client, user=seen.user, groups=seen.groups, program=seen.program)


NO_CA = Refuse(
    reason="ca-unavailable",
    why="the certificate authority of this inspector is missing or unusable; only bypasses are passed",
    status=503,
    alert=Alert.INTERNAL_ERROR,
)
_NUMERIC = "a name that ends in a number is an address in an old notation, or nothing"


def on_connect(authority: Authority, view: View) -> Peek | Refuse:
    """CONNECT arrived."""
    if authority.port is None:
        return Refuse(reason="bad-request", why="CONNECT without a port", status=400)
    if authority.port not in view.settings.connect_ports:
        return Refuse(reason="port", why=f"CONNECT to port {authority.port} is not allowed")
    if authority.host.numeric:
        return Refuse(reason="bad-request", why=_NUMERIC, status=400)
    named = view.decide(authority.host)
    if named.effect is Effect.REFUSE:
        return refused(named)
    if not view.can_open and authority.host.is_name and named.effect is not Effect.TUNNEL:
        return NO_CA
    return Peek(authority=authority, named=named)


def on_hello(hello: Hello | NoHello, peek: Peek | None, view: View) -> Tunnel | Open | Page | Refuse:
    """The ClientHello is complete, or something else came.  peek: None on a transparent connection."""
    if isinstance(hello, NoHello):
        return _without_hello(hello, peek, view)
    try:
        sni = parse_host(hello.sni) if hello.sni else None
    except HostError as exc:
        return Refuse(reason="malformed-hello", why=str(exc), alert=Alert.UNRECOGNIZED_NAME)
    if sni is None or (sni.address is not None and peek is not None and sni == peek.authority.host):
        return _without_sni(hello, peek, view)
    if not sni.is_name:
        return Refuse(reason="malformed-hello", why="the SNI is not a domain name", alert=Alert.UNRECOGNIZED_NAME)
    return _with_names(_visible_names(sni, peek.authority.host if peek else None, view), hello, peek, view)


def _visible_names(name: Host, other: Host | None, view: View) -> tuple[Named, ...]:
    """The decided names, the one that names the origin first.  other: the host of the CONNECT."""
    inner = view.decide(name)
    if other is None or other == name:
        return (inner,)
    outer = view.decide(other)
    if other.address is not None and not _names_a_stricter_rule(outer):
        return (inner,)
    return (inner, outer)


def _names_a_stricter_rule(named: Named) -> bool:
    """Whether a rule, not the default, wants ``named`` blocked or inspected, or may want so."""
    return named.effect is Effect.BLOCK_PAGE or (named.effect is Effect.OPEN and bool(named.decision.stricter))


_STRICTNESS = {Effect.TUNNEL: 0, Effect.OPEN: 1, Effect.BLOCK_PAGE: 2, Effect.REFUSE: 3}


def _strictest(names: tuple[Named, ...]) -> Named:
    return max(names, key=lambda named: _STRICTNESS[named.effect])


def _with_names(names: tuple[Named, ...], hello: Hello, peek: Peek | None, view: View) -> Tunnel | Open | Page | Refuse:
    origin = names[0]
    strictest = _strictest(names)
    port = _port(peek, view)
    if strictest.effect is Effect.TUNNEL:
        # Two bypassed names: the client's own choice is dialled, as if nobody stood between.
        return Tunnel(name=names[-1], port=port, names=_shown(origin, peek))
    if strictest.effect is Effect.REFUSE:
        return refused(strictest)
    if not view.can_open:
        return NO_CA
    speaks_http1 = not hello.alpn or not HTTP1.isdisjoint(hello.alpn)
    if strictest.effect is Effect.BLOCK_PAGE:
        if not speaks_http1:
            return Refuse(reason="blocked", why=strictest.decision.why, named=strictest)
        shown = Named(host=origin.host, decision=strictest.decision, effect=Effect.BLOCK_PAGE)
        return Page(name=shown, status=403, reason="blocked", why=strictest.decision.why)
    if not speaks_http1:
        if view.settings.allow_no_http1:
            return Tunnel(name=origin, port=port, names=_shown(origin, peek), reason="no-http1")
        return Refuse(
            reason="no-http1",
            why="the client offers no http/1.1, so its connection cannot be opened",
            alert=Alert.NO_APPLICATION_PROTOCOL,
            named=origin,
        )
    outer = peek.authority.host if peek is not None and peek.authority.host != origin.host else None
    return Open(name=origin if origin.effect is Effect.OPEN else _as_open(origin, strictest), port=port, outer=outer)


def _shown(origin: Named, peek: Peek | None) -> tuple[Host, ...]:
    """What the client has shown: an address of which no rule speaks now may be one of which a rule speaks later."""
    return tuple(dict.fromkeys((origin.host, *((peek.authority.host,) if peek is not None else ()))))


def _as_open(origin: Named, strictest: Named) -> Named:
    return Named(host=origin.host, decision=strictest.decision, effect=Effect.OPEN, guarded=origin.guarded)


def _without_sni(hello: Hello, peek: Peek | None, view: View) -> Tunnel | Open | Page | Refuse:
    if peek is None:
        why = "a transparent connection without SNI names no origin"
        return Refuse(reason="no-sni", why=why, alert=Alert.UNRECOGNIZED_NAME)
    named = view.decide(peek.authority.host)
    if named.host.is_name and named.effect is Effect.OPEN and not view.settings.allow_no_sni:
        why = "the ClientHello inside a CONNECT to a name carries no SNI"
        return Refuse(reason="no-sni", why=why, alert=Alert.UNRECOGNIZED_NAME, named=named)
    return _with_names((named,), hello, peek, view)


def _without_hello(what: NoHello, peek: Peek | None, view: View) -> Tunnel | Refuse:
    why = "the bytes inside are no TLS" if what is NoHello.NOT_TLS else "the ClientHello cannot be read"
    alert = Alert.DECODE_ERROR
    if peek is None:
        return Refuse(reason=what.value, why=why, status=400, alert=alert)
    named = view.decide(peek.authority.host)
    if named.effect is Effect.TUNNEL:
        return Tunnel(name=named, port=_port(peek, view), names=(named.host,))
    if named.effect is Effect.OPEN and what is NoHello.NOT_TLS and view.settings.allow_non_tls:
        return Tunnel(name=named, port=_port(peek, view), names=(named.host,), reason=what.value)
    return Refuse(reason=what.value, why=why, status=400, alert=alert, named=named)


def on_plain_request(authority: Authority | None, view: View) -> Named | Refuse:
    """A plain request arrived, through the explicit proxy or by Host; the caller acts on ``effect``."""
    if authority is None:
        return Refuse(reason="bad-request", why="the request names no host", status=400)
    if authority.host.numeric:
        return Refuse(reason="bad-request", why=_NUMERIC, status=400)
    named = view.decide(authority.host)
    return refused(named) if named.effect is Effect.REFUSE else named


def on_inner_request(opened: Open, scheme: str, authority: Authority | None, view: View) -> Named:
    """A request inside an opened connection; the effect is TUNNEL where a new connection would be tunnelled.

    Raises HeadError(421) where it names another origin.
    """
    if scheme == "http":
        raise HeadError(400, "bad-request", "an http target inside TLS")
    name, port = opened.name.host, opened.port
    if authority is None or authority.host != name or (authority.port or 443) not in (port, 443):
        raise HeadError(421, "mismatch", "the request names another host than the TLS connection it came by")
    return now_decided(opened, view)


def now_decided(opened: Open, view: View) -> Named:
    """What the names of an opened connection come to under the policy of ``view``, as its origin's name."""
    names = _visible_names(opened.name.host, opened.outer, view)
    strictest = _strictest(names)
    if strictest is names[0]:
        return strictest
    return Named(host=names[0].host, decision=strictest.decision, effect=strictest.effect, guarded=names[0].guarded)


def still_tunnelled(names: tuple[Host, ...], by_setting: bool, view: View) -> bool:
    """Whether a tunnel may stay under the policy of ``view``.  names: as in ``Tunnel``."""
    effects = {named.effect for named in _visible_names(names[0], names[-1], view)}
    return effects <= ({Effect.TUNNEL, Effect.OPEN} if by_setting else {Effect.TUNNEL})


def refused(named: Named) -> Refuse:
    """The refusal of a reserved name."""
    return Refuse(reason="reserved", why=named.decision.why, named=named)


def _port(peek: Peek | None, view: View) -> int:
    if peek is None or peek.authority.port is None:
        return view.settings.origin_tls_port
    return peek.authority.port
