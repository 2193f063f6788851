"""Every stage of a connection as plain calls: what was shown -> what is to be done."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from steering.policy import Effect, Host, Program, parse_host
from steering.policy.facts import Fact, System
from steering_inspector.conversation import (
    Attested,
    Hello,
    NoHello,
    Open,
    Page,
    Peek,
    Refuse,
    Tunnel,
    View,
    now_decided,
    on_connect,
    on_hello,
    on_inner_request,
    on_plain_request,
    still_tunnelled,
)
from steering_inspector.fields import HeadError
from steering_inspector.request import Authority, parse_authority
from steering_inspector.settings import InspectorSettings
from tests.inspector.clients import policy_of

RULES: list[dict[str, Any]] = [
    {"name": "pinned", "domains": ["pinned.example", "edge.example"]},
    {"name": "half", "domains": ["half.example"]},
    {"name": "half strict", "action": "inspect", "domains": ["half.example"], "programs": ["unsafe"]},
    {"name": "banned", "action": "block", "domains": ["banned.example"], "addresses": ["198.51.100.9"]},
    {"name": "net", "addresses": ["198.51.100.0/28"]},
    {"name": "watched", "action": "inspect", "addresses": ["192.0.2.77"]},
    {"name": "watched for one", "action": "inspect", "addresses": ["192.0.2.78"], "programs": ["unsafe"]},
    {"name": "banned for one", "action": "block", "addresses": ["192.0.2.79"], "programs": ["unsafe"]},
]
POLICY = policy_of(RULES)
INTERNAL = (ip_network("10.0.0.0/8"), ip_network("fc00::/7"))


def view(can_open: bool = True, **settings: Any) -> View:
    return View(
        policy=POLICY,
        client=ip_address("192.0.2.1"),
        at=0.0,
        settings=InspectorSettings(**settings),
        can_open=can_open,
    )


def said(step: Tunnel | Open | Page | Refuse) -> tuple[str, ...]:
    """A step in short: what, to whom, why."""
    match step:
        case Tunnel():
            return ("tunnel", step.name.host.text, step.reason)
        case Open():
            return ("open", step.name.host.text)
        case Page():
            return ("page", step.name.host.text, step.reason)
        case Refuse():
            return ("refuse", step.reason)


def connected(
    authority: str, sni: str = "", alpn: tuple[str, ...] = ("h2", "http/1.1"), **settings: Any
) -> tuple[str, ...]:
    there = view(**settings)
    step = on_connect(parse_authority(authority), there)
    return said(on_hello(Hello(sni=sni, alpn=alpn), step, there)) if isinstance(step, Peek) else said(step)


H2 = ("h2",)


@pytest.mark.parametrize(
    ("authority", "sni", "more", "expected"),
    [
        ("a.example:443", "a.example", {}, ("open", "a.example")),
        ("pinned.example:443", "pinned.example", {}, ("tunnel", "pinned.example", "")),
        ("PINNED.example.:443", "Pinned.Example", {}, ("tunnel", "pinned.example", "")),
        ("banned.example:443", "banned.example", {}, ("page", "banned.example", "blocked")),
        ("half.example:443", "half.example", {}, ("open", "half.example")),
        # Both names must bypass; the stricter stands; SNI names what is opened.
        ("edge.example:443", "pinned.example", {}, ("tunnel", "edge.example", "")),
        ("pinned.example:443", "a.example", {}, ("open", "a.example")),
        ("a.example:443", "pinned.example", {}, ("open", "pinned.example")),
        ("pinned.example:443", "banned.example", {}, ("page", "banned.example", "blocked")),
        ("banned.example:443", "pinned.example", {}, ("page", "pinned.example", "blocked")),
        ("pinned.example:443", "mask.icloud.com", {}, ("refuse", "reserved")),
        # An address is decided on, dialled and opened by its SNI.
        ("203.0.113.5:443", "pinned.example", {}, ("tunnel", "pinned.example", "")),
        ("203.0.113.5:443", "a.example", {}, ("open", "a.example")),
        ("198.51.100.1:443", "a.example", {}, ("open", "a.example")),
        ("198.51.100.9:443", "pinned.example", {}, ("page", "pinned.example", "blocked")),
        ("192.0.2.77:443", "pinned.example", {}, ("open", "pinned.example")),
        # A rule that may want that address watched is one, as long as the program is not known.
        ("192.0.2.78:443", "pinned.example", {}, ("open", "pinned.example")),
        ("192.0.2.79:443", "pinned.example", {}, ("open", "pinned.example")),
        # Without SNI.
        ("203.0.113.5:443", "", {}, ("open", "203.0.113.5")),
        ("203.0.113.5:443", "203.0.113.5", {}, ("open", "203.0.113.5")),
        ("203.0.113.5:443", "203.0.113.6", {}, ("refuse", "malformed-hello")),
        ("198.51.100.1:443", "", {}, ("tunnel", "198.51.100.1", "")),
        ("a.example:443", "", {}, ("refuse", "no-sni")),
        ("a.example:443", "", {"allow_no_sni": True}, ("open", "a.example")),
        ("pinned.example:443", "", {}, ("tunnel", "pinned.example", "")),
        # No HTTP/1.1 in common.
        ("a.example:443", "a.example", {"alpn": H2}, ("refuse", "no-http1")),
        ("a.example:443", "a.example", {"alpn": H2, "allow_no_http1": True}, ("tunnel", "a.example", "no-http1")),
        ("banned.example:443", "banned.example", {"alpn": H2, "allow_no_http1": True}, ("refuse", "blocked")),
        ("pinned.example:443", "pinned.example", {"alpn": H2}, ("tunnel", "pinned.example", "")),
        ("a.example:443", "a.example", {"alpn": ()}, ("open", "a.example")),
        # Ports, spellings, reserved names.
        ("a.example:22", "", {}, ("refuse", "port")),
        ("a.example:22", "a.example", {"connect_ports": frozenset({22})}, ("open", "a.example")),
        ("127.1:443", "", {}, ("refuse", "bad-request")),
        ("0x7f.1:443", "", {}, ("refuse", "bad-request")),
        ("10.0.0.1:443", "a.example", {"allow_destinations": ()}, ("open", "a.example")),
        ("127.0.0.1:443", "a.example", {}, ("refuse", "reserved")),
        ("[::ffff:127.0.0.1]:443", "a.example", {}, ("refuse", "reserved")),
        ("localhost:443", "localhost", {}, ("refuse", "reserved")),
        ("127.0.0.1:443", "", {"allow_destinations": (ip_network("127.0.0.0/8"),)}, ("open", "127.0.0.1")),
        ("localhost:443", "localhost", {"allow_destinations": (ip_network("127.0.0.0/8"),)}, ("open", "localhost")),
        # Without a CA.
        ("pinned.example:443", "pinned.example", {"can_open": False}, ("tunnel", "pinned.example", "")),
        ("a.example:443", "a.example", {"can_open": False}, ("refuse", "ca-unavailable")),
        ("203.0.113.5:443", "a.example", {"can_open": False}, ("refuse", "ca-unavailable")),
        ("pinned.example:443", "a.example", {"can_open": False}, ("refuse", "ca-unavailable")),
    ],
)  # fmt: skip
def test_connect_then_hello(authority: str, sni: str, more: dict[str, Any], expected: tuple[str, ...]) -> None:
    assert connected(authority, sni, **more) == expected


INSIDE = [
    "127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0",
    "127.0.0.1.", "[::1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:ffff:127.0.0.1]",
    "\uff11\uff12\uff17.0.0.1", "\u2460\u2461\u2466.0.0.1", "127\u30020\u30020\u30021", "loc\u24d0lhost",
    "localhost", "LOCALHOST.", "a.localhost", "169.254.169.254", "[fe80::1]", "[fd00:ec2::254]", "metadata",
    "a.internal",
]  # fmt: skip


@pytest.mark.parametrize("host", INSIDE)
def test_no_spelling_of_inside_is_let_in(host: str) -> None:
    """What a name resolves to is the guard's to judge; these never get so far, in no way of asking."""
    there = view()._replace(policy=policy_of(RULES, internal_networks=INTERNAL))
    steps: list[object] = []
    try:
        steps.append(on_connect(parse_authority(f"{host}:443"), there))
        steps.append(on_plain_request(parse_authority(host), there))
    except HeadError as exc:
        steps.append(exc.status)
    steps.append(on_hello(Hello(sni=host.strip("[]")), None, there))
    assert [step for step in steps if not isinstance(step, Refuse) and step != 400] == []


@pytest.mark.parametrize(
    ("hello", "expected"),
    [
        (Hello(sni="a.example"), ("open", "a.example")),
        (Hello(sni="pinned.example"), ("tunnel", "pinned.example", "")),
        (Hello(sni="banned.example"), ("page", "banned.example", "blocked")),
        (Hello(), ("refuse", "no-sni")),
        (Hello(sni="203.0.113.5"), ("refuse", "malformed-hello")),
        (Hello(sni="a..example"), ("refuse", "malformed-hello")),
        (NoHello.NOT_TLS, ("refuse", "not-tls")),
        (NoHello.MALFORMED, ("refuse", "malformed-hello")),
    ],
)
def test_transparent_hello(hello: Hello | NoHello, expected: tuple[str, ...]) -> None:
    assert said(on_hello(hello, None, view(allow_no_sni=True, allow_non_tls=True))) == expected


@pytest.mark.parametrize(
    ("authority", "what", "allow", "expected"),
    [
        ("a.example:443", NoHello.NOT_TLS, False, ("refuse", "not-tls")),
        ("a.example:443", NoHello.NOT_TLS, True, ("tunnel", "a.example", "not-tls")),
        ("banned.example:443", NoHello.NOT_TLS, True, ("refuse", "not-tls")),
        ("pinned.example:443", NoHello.NOT_TLS, False, ("tunnel", "pinned.example", "")),
        ("a.example:443", NoHello.MALFORMED, True, ("refuse", "malformed-hello")),
        ("pinned.example:443", NoHello.MALFORMED, False, ("tunnel", "pinned.example", "")),
    ],
)
def test_no_hello_inside_connect(authority: str, what: NoHello, allow: bool, expected: tuple[str, ...]) -> None:
    there = view(allow_non_tls=allow)
    peek = on_connect(parse_authority(authority), there)
    assert isinstance(peek, Peek)
    assert said(on_hello(what, peek, there)) == expected


@pytest.mark.parametrize(
    ("authority", "expected"),
    [
        ("a.example", "open"),
        ("pinned.example:8080", "tunnel"),
        ("banned.example", "block"),
        ("router.local", "reserved"),
        ("127.1", "bad-request"),
    ],
)
def test_plain_requests(authority: str, expected: str) -> None:
    step = on_plain_request(parse_authority(authority), view())
    assert (step.reason if isinstance(step, Refuse) else step.effect.value) == expected


def opened(connect: str, sni: str) -> Open:
    """An opened connection, as the hello left it."""
    there = view()
    peek = on_connect(parse_authority(connect), there)
    assert isinstance(peek, Peek)
    step = on_hello(Hello(sni=sni), peek, there)
    assert isinstance(step, Open)
    return step


def test_requests_inside_name_the_same_host() -> None:
    inside = opened("a.example:443", "a.example")
    for authority in ("a.example", "A.example.", "a.example:443"):
        assert on_inner_request(inside, "", parse_authority(authority), view()).host == Host("a.example")
    for authority, scheme in (("b.example", ""), ("a.example:8443", ""), ("sub.a.example", "https")):
        with pytest.raises(HeadError) as refused:
            on_inner_request(inside, scheme, parse_authority(authority), view())
        assert refused.value.status == 421
    with pytest.raises(HeadError):
        on_inner_request(inside, "http", parse_authority("a.example"), view())
    with pytest.raises(HeadError):
        on_inner_request(inside, "", None, view())


@pytest.mark.parametrize(
    ("connect", "sni", "expected"),
    [
        ("a.example:443", "a.example", Effect.OPEN),
        # The name of the CONNECT goes on counting: what it withholds is not given by the SNI alone.
        ("a.example:443", "pinned.example", Effect.OPEN),
        ("pinned.example:443", "a.example", Effect.OPEN),
        ("192.0.2.77:443", "pinned.example", Effect.OPEN),
    ],
)
def test_requests_inside_are_decided_on_every_visible_name(connect: str, sni: str, expected: Effect) -> None:
    inside = opened(connect, sni)
    assert on_inner_request(inside, "", parse_authority(sni), view()).effect is expected


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], Effect.OPEN),
        ([{"name": "b", "domains": ["b.example"]}], Effect.OPEN),
        ([{"name": "both", "domains": ["a.example", "b.example"]}], Effect.TUNNEL),
        ([{"name": "no", "action": "block", "domains": ["a.example"]}], Effect.BLOCK_PAGE),
        ([{"name": "no", "action": "block", "domains": ["b.example"]}], Effect.BLOCK_PAGE),
    ],
)
def test_requests_inside_are_decided_by_the_rules_in_force(rules: list[dict[str, Any]], expected: Effect) -> None:
    inside = opened("a.example:443", "b.example")
    now = view()._replace(policy=policy_of(rules))
    named = on_inner_request(inside, "", parse_authority("b.example"), now)
    assert (named.host, named.effect) == (Host("b.example"), expected)
    assert now_decided(inside, now) == named


def test_a_tunnel_stays_while_all_its_names_are_bypassed() -> None:
    def hosts(*names: str) -> tuple[Host, ...]:
        return tuple(map(parse_host, names))

    assert still_tunnelled(hosts("pinned.example", "edge.example"), False, view())
    assert not still_tunnelled(hosts("pinned.example", "a.example"), False, view())
    assert still_tunnelled(hosts("a.example"), True, view())
    assert not still_tunnelled(hosts("banned.example"), True, view())


@pytest.mark.parametrize(
    ("action", "addresses", "stays"),
    [
        ("block", ["203.0.113.9"], False),
        ("inspect", ["203.0.113.0/24"], False),
        ("block", ["203.0.113.8"], True),
        ("bypass", ["203.0.113.9"], True),
    ],
)
def test_a_tunnel_to_an_address_ends_when_a_rule_comes_to_speak_of_that(
    action: str, addresses: list[str], stays: bool
) -> None:
    """At first none did, and its SNI alone was decided."""
    before = policy_of([{"name": "pinned", "domains": ["pinned.example"]}])
    step = on_hello(
        Hello(sni="pinned.example"),
        on_connect(parse_authority("203.0.113.9:443"), view()._replace(policy=before)),  # type: ignore[arg-type]  # a Peek
        view()._replace(policy=before),
    )
    assert isinstance(step, Tunnel)
    assert step.names == (Host("pinned.example"), parse_host("203.0.113.9"))
    assert step.name.host == Host("pinned.example")
    rules = [{"name": "pinned", "domains": ["pinned.example"]}, {"name": "n", "action": action, "addresses": addresses}]
    assert still_tunnelled(step.names, False, view()._replace(policy=before))
    assert still_tunnelled(step.names, False, view()._replace(policy=policy_of(rules))) is stays


# Facts that only an attestation shows

SLACK = Program(system=System.LINUX, names=("slack",))
SHOWN = [
    {"name": "app", "domains": ["app.example"], "programs": ["slack"]},
    {"name": "hers", "domains": ["hers.example"], "source": ["user:alice"]},
    {"name": "theirs", "domains": ["theirs.example"], "source": ["group:sales"]},
]


@pytest.mark.parametrize(
    ("host", "seen", "expected", "pending"),
    [
        ("app.example", None, Effect.OPEN, {Fact.PROGRAM}),
        ("app.example", {}, Effect.OPEN, {Fact.PROGRAM}),
        ("app.example", {"program": SLACK}, Effect.TUNNEL, set()),
        ("app.example", {"program": replace(SLACK, names=("curl",))}, Effect.OPEN, set()),
        ("hers.example", None, Effect.OPEN, {Fact.USER}),
        ("hers.example", {"program": SLACK}, Effect.OPEN, {Fact.USER}),
        ("hers.example", {"user": "Alice"}, Effect.TUNNEL, set()),
        ("hers.example", {"user": "bob"}, Effect.OPEN, set()),
        ("theirs.example", None, Effect.OPEN, set()),
        ("theirs.example", {"groups": frozenset({"sales"})}, Effect.TUNNEL, set()),
        ("theirs.example", {"groups": frozenset({"staff"})}, Effect.OPEN, set()),
    ],
)
def test_what_was_attested_is_seen_and_nothing_else_is(
    host: str, seen: dict[str, Any] | None, expected: Effect, pending: set[Fact]
) -> None:
    policy = policy_of(SHOWN, groups={"sales": {"networks": ["203.0.113.0/24"]}})
    attested = None if seen is None else Attested(authority=Authority(parse_host(host), 443), **seen)
    named = view()._replace(policy=policy, attested=attested).decide(parse_host(host))
    assert (named.effect, set(named.decision.pending)) == (expected, pending)
