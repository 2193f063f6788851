"""A resolver on loopback with a local upstream behind it, and what the tests send to it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import Any

import dns.asyncquery
import dns.message
import dns.rdatatype

from steering.policy import Policy, ReservedSettings, RulesModel, compile_policy, rule_set
from steering.policy.access import Access
from steering.policy.live import Live
from steering_dns import DnsServer, DnsSettings, Forwarder, parse_upstream
from steering_dns.upstreams import Upstream
from tests.dns.upstream import Records, UpstreamServer
from tests.kit import free_port_both

RULES: list[dict[str, Any]] = [
    {"name": "pinned", "domains": ["pinned.example", "chain.example"]},
    {"name": "blocked", "action": "block", "domains": ["bad.pinned.example"]},
    {"name": "branch", "source": ["127.0.0.2"], "domains": ["branch.example"]},
    {"name": "program", "programs": ["x.exe"], "domains": ["program.example"]},
    {"name": "till", "domains": ["till.example"], "expires_at": "2030-01-01T00:00:00Z"},
]
RECORDS: Records = {
    ("pinned.example.", "A"): ["203.0.113.10"],
    ("pinned.example.", "AAAA"): ["2001:db8::10"],
    ("pinned.example.", "HTTPS"): ["1 . alpn=h2,h3 ipv4hint=203.0.113.10"],
    ("pinned.example.", "MX"): ["10 mx.pinned.example."],
    ("www.pinned.example.", "CNAME"): ["cdn.steered.example."],
    ("cdn.steered.example.", "A"): ["203.0.113.20"],
    ("loop.pinned.example.", "CNAME"): ["loop2.pinned.example."],
    ("loop2.pinned.example.", "CNAME"): ["loop.pinned.example."],
    ("rebind.pinned.example.", "A"): ["10.0.0.1", "203.0.113.30"],
    ("inner.pinned.example.", "A"): ["192.168.1.1"],
    ("huge.pinned.example.", "TXT"): ['"' + "x" * 250 + str(i) + '"' for i in range(20)],
    ("inner.pinned.example.", "HTTPS"): ["1 . ipv4hint=192.168.1.1"],
    ("_x.pinned.example.", "A"): ["203.0.113.11"],
    ("_sip._tcp.steered.example.", "SRV"): ["0 5 5060 sip.steered.example."],
    ("_acme-challenge.steered.example.", "TXT"): ["token"],
    ("_dns.steered.example.", "SVCB"): ["1 steered.example. alpn=dot"],
    ("_8443._https.steered.example.", "HTTPS"): ["1 . alpn=h3"],
    ("steered.example.", "HTTPS"): ["1 . alpn=h3 ech=AAAA"],
    ("steered.example.", "MX"): ["10 mx.steered.example."],
    ("steered.example.", "A"): ["203.0.113.99"],
    ("branch.example.", "A"): ["203.0.113.40"],
    ("till.example.", "A"): ["203.0.113.50"],
    ("host.corp.example.", "A"): ["10.9.9.9"],
    ("captive.apple.com.", "A"): ["203.0.113.60"],
    ("1.113.0.203.in-addr.arpa.", "PTR"): ["one.example."],
}


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def policy_of(rules: list[dict[str, Any]]) -> Policy:
    settings = ReservedSettings(internal_zones=("corp.example",), own_names=("steering.example",))
    return compile_policy(rule_set(RulesModel.model_validate({"rules": rules})), settings)


def settings_for(upstreams: tuple[Upstream, ...], zone: tuple[Upstream, ...] = (), **more: Any) -> DnsSettings:
    given: dict[str, Any] = {
        "inspector_addresses": (ip_address("192.0.2.1"),),
        "upstreams": upstreams,
        "zones": {"corp.example": zone or upstreams},
        "own_names": {"steering.example": (ip_address("192.0.2.7"),)},
        "steered": (ip_network("127.0.0.0/8"),),
    }
    return DnsSettings(**(given | more))


@dataclass
class World:
    server: DnsServer
    upstream: UpstreamServer
    live: Live
    clock: Clock
    lines: list[Access]
    port: int
    forwarder: Forwarder

    async def ask(
        self, name: str, rtype: str = "A", *, tcp: bool = False, source: str = "127.0.0.1", **more: Any
    ) -> Any:
        query = dns.message.make_query(name, rtype, **more)
        ask = dns.asyncquery.tcp if tcp else dns.asyncquery.udp
        return await ask(query, "127.0.0.1", port=self.port, timeout=8, source=source)

    async def answer(self, name: str, rtype: str = "A", **more: Any) -> tuple[str, list[str]]:
        """The rcode and the answer section as text, without TTLs."""
        response = await self.ask(name, rtype, **more)
        lines = [f"{dns.rdatatype.to_text(s.rdtype)} {r}" for s in response.answer for r in s]
        return dns.rcode.to_text(response.rcode()), lines


@asynccontextmanager
async def world(
    *, rules: list[dict[str, Any]] | None = None, dead: int = 0, trust: ssl.SSLContext | None = None, **more: Any
) -> AsyncIterator[World]:
    """``dead``: so many upstreams that do not exist come first.  trust: for upstreams over TLS."""
    async with UpstreamServer(dict(RECORDS)) as upstream:
        live_upstream = parse_upstream(f"udp://127.0.0.1:{upstream.port}")
        first = tuple(parse_upstream(f"udp://127.0.0.1:{free_port()}") for _ in range(dead))
        more.setdefault("upstreams", (*first, live_upstream))
        clock, lines, forwarder = Clock(), [], Forwarder(trust)  # type: tuple[Clock, list[Access], Forwarder]
        live = Live(policy_of(RULES if rules is None else rules))
        server = DnsServer(settings_for(**more), live, lines.append, forwarder, clock)
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", free_port_both()))
        tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.bind(("127.0.0.1", udp.getsockname()[1]))
        tcp.listen()
        await server.start([udp], [tcp])
        try:
            yield World(server, upstream, live, clock, lines, udp.getsockname()[1], forwarder)
        finally:
            server.close()
            await asyncio.sleep(0)
            udp.close()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
