"""What each enforcement point does with a flow, by its own code, as an ``Effect`` or a PAC's string.

The PAC is run as text by JavaScript engines; the resolver answers packets; the inspector holds its conversation, with
and without what a helper attests; the helper takes its course.
"""

from dataclasses import dataclass
from ipaddress import ip_address
from random import Random

from steering.endpoint.decide import Facts, Shown, course_of
from steering.pac.chains import Chains, plan_chains
from steering.pac.plan import PacPlan, plan
from steering.pac.render import render
from steering.pac.view import ANONYMOUS, View, of_address, of_group
from steering.policy import UNSEEN, Decision, Effect, Fact, Flow, Host, Policy, Program, Unseen, effect
from steering.policy.effects import VISIBLE, Stage
from steering.policy.hosts import Address
from steering.policy.points import Point
from steering_dns import wire
from steering_dns.answer import Ask, Snapshot, decide_wire
from steering_dns.cache import Cache
from steering_dns.settings import EVERYBODY, DnsSettings
from steering_inspector import conversation
from steering_inspector.conversation import Attested, Hello, Named, Open, Page, Peek, Refuse, Tunnel
from steering_inspector.request import Authority
from steering_inspector.settings import InspectorSettings
from tests.pac.engines import Batch

GROUP = "office"
CHAINS: tuple[Chains, ...] = (
    plan_chains(["192.0.2.1:3128"]),
    plan_chains(["inspector-1.example:3128", "inspector-2.example:3128", "[2001:db8::53]:3128"]),
)


def client_of(flow: Flow) -> Address:
    """The address that a flow of a world comes from."""
    assert not isinstance(flow.source, Unseen), "worlds know every fact"
    return flow.source


def seen(flow: Flow, stage: Stage) -> Flow:
    """``flow`` as far as it is visible at ``stage``."""
    visible = VISIBLE[stage]
    return Flow(
        host=flow.host,
        source=flow.source if Fact.SOURCE in visible else UNSEEN,
        user=flow.user if Fact.USER in visible else UNSEEN,
        program=flow.program if Fact.PROGRAM in visible else UNSEEN,
    )


# -- PAC


def view_of(random: Random, source: Address) -> View:
    """Most requesters are known by their address, some by a token, some by nothing."""
    return random.choice((of_address(source),) * 8 + (of_group(GROUP), ANONYMOUS))


@dataclass(frozen=True, slots=True, kw_only=True)
class Pac:
    """One PAC: the policy that lasts, the view, the plan and the text."""

    lasting: Policy
    view: View
    at: float
    plan: PacPlan
    text: str

    def expected(self, host: Host) -> str:
        """What the engine says that it must return."""
        decision = self.lasting.decide(self.view.flow(host), self.at)
        direct = effect(Point.PAC, decision) is Effect.PAC_DIRECT
        return "DIRECT" if direct else self.plan.chains.of(host)

    def batch(self, hosts: list[str]) -> Batch:
        return Batch(self.text, tuple(hosts))


def pac_of(policy: Policy, view: View, at: float, chains: Chains = CHAINS[0]) -> Pac:
    planned = plan(policy, view, at, chains)
    return Pac(lasting=policy.lasting(at), view=view, at=at, plan=planned, text=render(planned).text)


def written(random: Random, host: Host) -> str:
    """A host as some client hands it to a PAC: upper case, a last dot, brackets, an address written out."""
    if host.address is not None and host.address.version == 6:
        text = random.choice((host.text, host.address.exploded, host.address.compressed.upper()))
        return f"[{text}]" if random.random() < 0.5 else text
    text = host.text.upper() if random.random() < 0.1 else host.text
    return text + "." if random.random() < 0.2 else text


# -- DNS

STEERED_TO = "192.0.2.53"
_OWN_ADDRESS = "192.0.2.80"
_A = ip_address(STEERED_TO).packed
_REAL_HERE = (ip_address(_OWN_ADDRESS).packed, ip_address("127.0.0.1").packed)


class Resolver:
    """The resolver's pure part under one policy, for clients that are steered."""

    def __init__(self, policy: Policy, at: float, own_names: tuple[str, ...]) -> None:
        settings = DnsSettings(
            inspector_addresses=(ip_address(STEERED_TO),),
            upstreams=(),
            allowed=EVERYBODY,
            own_names={name: (ip_address(_OWN_ADDRESS),) for name in own_names},
        )
        self._snapshot = Snapshot(settings, policy, at, {})
        self._cache = Cache()
        self._at = at

    def effect(self, host: Host, client: Address, qtype: int = wire.A) -> Effect:
        """The class of the answer to ``client``'s question."""
        packet = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0" + wire.to_wire(host.text) + bytes((0, qtype, 0, 1))
        view = self._snapshot.views.of(str(client))
        reply = decide_wire(packet, view, self._snapshot, self._cache, self._at, client=str(client))
        assert reply is not None, "a question was dropped"
        return Effect.DNS_REAL if isinstance(reply, Ask) else _class_of(reply, len(packet), qtype)


def _class_of(reply: bytes, question_end: int, qtype: int) -> Effect:
    rcode, answers = reply[3] & 15, int.from_bytes(reply[6:8], "big")
    if rcode == wire.NXDOMAIN:
        return Effect.DNS_NXDOMAIN
    assert rcode == wire.NOERROR, f"rcode {rcode}"
    if not answers:
        return Effect.DNS_NODATA
    assert answers == 1, "one record was configured"
    found = reply[question_end + 12 : question_end + 16]
    assert qtype == wire.A, f"a record in the answer to type {qtype}"
    if found in _REAL_HERE:
        return Effect.DNS_REAL
    assert found == _A, found
    return Effect.DNS_INSPECTOR


# -- inspector

_INSPECTOR = InspectorSettings()


@dataclass(frozen=True, slots=True)
class Inspector:
    """The inspector's conversation with one client under one policy."""

    policy: Policy
    at: float
    client: Address
    attested: Attested | None = None

    @property
    def _view(self) -> conversation.View:
        return conversation.View(
            policy=self.policy,
            client=self.client,
            at=self.at,
            settings=_INSPECTOR,
            can_open=True,
            attested=self.attested,
        )

    def explicit(self, host: Host) -> Effect:
        """CONNECT and then the ClientHello of a browser."""
        peek = conversation.on_connect(Authority(host, 443), self._view)
        return Effect.REFUSE if isinstance(peek, Refuse) else self._hello(host, peek)

    def transparent(self, host: Host) -> Effect:
        """A ClientHello on a connection that split DNS sent here; it names its origin by SNI alone."""
        return self._hello(host, None)

    def plain(self, host: Host) -> Effect:
        found = conversation.on_plain_request(Authority(host, 80), self._view)
        return found.effect if isinstance(found, Named) else Effect.REFUSE

    def _hello(self, host: Host, peek: Peek | None) -> Effect:
        sni = host.text if host.address is None else ""
        match conversation.on_hello(Hello(sni=sni, alpn=("h2", "http/1.1")), peek, self._view):
            case Tunnel():
                return Effect.TUNNEL
            case Open():
                return Effect.OPEN
            case Page():
                return Effect.BLOCK_PAGE
            case Refuse():
                return Effect.REFUSE


def expected_of_inspector(decision: Decision, host: Host) -> Effect:
    """As EFFECTS says; a name that ends in a number is no name that anything could be dialled by."""
    found = effect(Point.INSPECTOR, decision)
    assert found is not None
    return Effect.REFUSE if host.numeric else found


# -- endpoint helper


@dataclass(frozen=True, slots=True)
class Helper:
    """A helper on the client of a flow, which knows its user and its program, if it has one.  groups: the device's."""

    policy: Policy
    at: float
    flow: Flow
    groups: frozenset[str] = frozenset()

    @property
    def knows_everything(self) -> bool:
        """Of what runs on a computer, a helper names a program and a user, or does not know them."""
        return self.flow.program is not None and self.flow.user is not None

    def course(self, host: Host) -> Effect:
        """Of a CONNECT, and of the ClientHello in it."""
        shown = Shown(authority=host, inner=host if host.is_name else None)
        course = course_of(self.policy, shown, self._facts, self.at)
        assert course.dial == host, "what was decided is dialled"
        return Effect.ENDPOINT_DIRECT if course.direct else Effect.ENDPOINT_PROXY

    def inspector(self) -> Inspector:
        """The inspector, as it believes what this helper attests."""
        attested = Attested(
            authority=Authority(self.flow.host, 443), groups=self.groups, user=self._user, program=self._program
        )
        return Inspector(self.policy, self.at, client_of(self.flow), attested)

    @property
    def _facts(self) -> Facts:
        return Facts(source=client_of(self.flow), user=self._user, groups=self.groups, program=self._program)

    @property
    def _user(self) -> str | Unseen:
        return UNSEEN if self.flow.user is None else self.flow.user

    @property
    def _program(self) -> Program | Unseen:
        return UNSEEN if self.flow.program is None else self.flow.program
