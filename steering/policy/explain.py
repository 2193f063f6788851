"""Why a host is bypassed, inspected or blocked, and what each enforcement point would do: without traffic."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address

from steering.policy.compile import Policy
from steering.policy.decision import Decision
from steering.policy.effects import VISIBLE, Stage, effect
from steering.policy.errors import HostError, PolicyError, SourceError
from steering.policy.facts import UNSEEN, Fact, Flow, Program
from steering.policy.hosts import Address, Host, parse_host
from steering.policy.points import Effect, Point
from steering.policy.programs import parse_program, split_system
from steering.policy.reserved import opened_up
from steering.policy.rules import Network

PacReturn = Callable[[Host, Effect], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """The facts that the question holds; None: not given, so not known.  groups: that a device's certificate claims."""

    source: str | None = None
    user: str | None = None
    program: str | None = None
    groups: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """decision: with every fact given.  points: what each does with what it can see; DNS None for an address.

    pac: the string that the PAC returns.
    """

    host: Host
    decision: Decision
    pac: str
    points: dict[Point, Effect | None]
    revision: str

    def as_json(self) -> dict[str, object]:
        decision, reserved = self.decision, self.decision.reserved
        return {
            "host": self.host.text,
            "action": decision.action.value,
            "rule": decision.rule,
            "why": decision.why,
            "pending": [fact.value for fact in Fact if fact in decision.pending],
            "reserved": reserved.key if reserved else None,
            "matches": [
                {
                    "rule": match.rule,
                    "action": match.action.value,
                    "matched": "yes" if match.matched else "unknown",
                    "on": match.on or "any destination",
                }
                for match in decision.matches
            ],
            "points": {point.value: self.pac if point is Point.PAC else _value(self.points[point]) for point in Point},
            "revision": self.revision,
        }


def explain(
    policy: Policy,
    target: str,
    given: Given,
    *,
    at: float,
    pac_returns: PacReturn | None = None,
    allow_destinations: Sequence[Network] = (),
) -> Explanation:
    """What ``policy`` says of ``target`` (a host or URL) at the instant ``at``.

    pac_returns: the text a PAC returns for a host and its effect; without it, the effect's name.
    allow_destinations: networks that the inspector's configuration opens up.
    Raises PolicyError for a host, address or program that is none.
    """
    host = host_of(target)
    flow = _flow(host, given)
    decisions = {
        # Browsers keep a PAC for hours, so it is made from what lasts.
        Point.PAC: policy.lasting(at).decide(_seen(flow, Stage.PAC_ADDRESS), at),
        Point.DNS: policy.decide(_seen(flow, Stage.DNS_QUERY), at),
        Point.INSPECTOR: policy.decide(_seen(flow, Stage.INSPECTOR_CONNECTION), at),
        Point.ENDPOINT: policy.decide(_seen(flow, Stage.ENDPOINT_IDENTIFIED), at),
    }
    points = {point: effect(point, decision) for point, decision in decisions.items()}
    if opened_up(decisions[Point.INSPECTOR].reserved, host, allow_destinations):
        points[Point.INSPECTOR] = Effect.OPEN
    if not host.is_name:
        points[Point.DNS] = None  # nobody asks a resolver for an address
    in_pac = points[Point.PAC] or Effect.PAC_PROXY
    pac = pac_returns(host, in_pac) if pac_returns else in_pac.value
    return Explanation(host=host, decision=policy.decide(flow, at), pac=pac, points=points, revision=policy.revision)


def host_of(target: str) -> Host:
    """The host of a URL, of ``host:port`` or of a bare host.  Raises HostError."""
    text = target.strip()
    scheme, mark, rest = text.partition("://")
    if mark:
        if not scheme.replace("+", "").replace("-", "").replace(".", "").isalnum():
            raise HostError(f"{target!r} begins with no scheme that a URL has")
        text = rest
    for end in ("/", "?", "#", "\\"):
        text = text.partition(end)[0]
    text = text.rpartition("@")[2]
    if text.startswith("["):
        inside, closed, port = text[1:].partition("]")
        if not closed or (port and not _is_port(port)):
            raise HostError(f"{target!r} holds no host that could be read")
        return parse_host(f"[{inside}]")
    if text.count(":") == 1:
        text, _, port = text.partition(":")
        if port and not _is_port(":" + port):
            raise HostError(f"{target!r}: {port!r} is no port")
    return parse_host(text)


def _is_port(text: str) -> bool:
    digits = text[1:]
    return text.startswith(":") and (not digits or (digits.isascii() and digits.isdecimal() and len(digits) <= 5))


def _flow(host: Host, given: Given) -> Flow:
    return Flow(
        host=host,
        source=UNSEEN if given.source is None else _address(given.source),
        user=UNSEEN if given.user is None else given.user.strip(),
        groups=given.groups,
        program=UNSEEN if given.program is None else program_named(given.program),
    )


def _address(text: str) -> Address:
    try:
        return ip_address(text.strip())
    except ValueError as exc:
        raise SourceError(f"{text!r} is no IP address") from exc


def program_named(text: str) -> Program:
    """A program by name or by its path, either behind ``windows:``, ``macos:`` or ``linux:`` or not."""
    if "/" in text or "\\" in text:
        system, path = split_system(text.strip())
        name = path.replace("\\", "/").rpartition("/")[2]
        if not name:
            raise PolicyError(f"{text!r} is a folder, not a program")
        return Program(system=system, names=(name,), path=path)
    entry = parse_program(text)
    if entry.family or entry.name is None:
        raise PolicyError(f"{text!r}: name one program, without '*'")
    return Program(system=entry.system, names=(entry.name,))


def _seen(flow: Flow, stage: Stage) -> Flow:
    """``flow`` with what is not visible at ``stage`` taken away."""
    visible = VISIBLE[stage]
    return Flow(
        host=flow.host,
        source=flow.source if Fact.SOURCE in visible else UNSEEN,
        groups=flow.groups if stage is Stage.ENDPOINT_IDENTIFIED else frozenset(),
        user=flow.user if Fact.USER in visible else UNSEEN,
        program=flow.program if Fact.PROGRAM in visible else UNSEEN,
    )


def _value(found: Effect | None) -> str | None:
    return None if found is None else found.value
