"""The helper's proxy before the real inspector: what it attests is believed, decided by and logged."""

from ipaddress import ip_address
from typing import Any

import pytest

from steering.endpoint.identify.identity import Identity
from tests.endpoint.proxy.devices import device_ca
from tests.endpoint.proxy.rig import CURL, NOBODY, SLACK, Named, running
from tests.inspector import clients

RULES: list[dict[str, Any]] = [
    {"name": "app", "domains": ["pinned.example"], "programs": ["slack"]},
    {"name": "hers", "domains": ["other.example"], "source": ["user:alice"]},
    {"name": "banned", "action": "block", "domains": ["blocked.example"]},
]


@pytest.mark.parametrize(
    ("who", "host", "signed_by", "effect", "rule"),
    [
        (SLACK, "pinned.example", "test origins", "tunnel", "app"),
        (CURL, "pinned.example", "test inspector", "open", None),
        (NOBODY, "pinned.example", "test inspector", "open", None),
        (SLACK, "other.example", "test origins", "tunnel", "hers"),
        (SLACK, "www.example", "test inspector", "open", None),
    ],
)
async def test_tls(who: Identity, host: str, signed_by: str, effect: str, rule: str | None) -> None:
    """Split DNS leads everything to the inspector, so that it is the one that tunnels what is bypassed."""
    async with (
        clients.running(rules=RULES, endpoint_tls=device_ca().listening()) as real,
        running(identifier=Named(who), bundle=False) as rig,
    ):
        rig.addresses = {name: [ip_address("127.0.0.9")] for name in clients.NAMES}
        rig.inspector.port = real.endpoint
        rig.swap(RULES)
        wire = await rig.connect()
        await wire.ask_connect(f"{host}:{real.origin.port}")
        await wire.writer.start_tls(clients.trusting(), server_hostname=host)
        assert await clients.issuer(clients.Wire(wire.reader, wire.writer)) == signed_by
        assert (await wire.get(host)).endswith(b"hello\n")
        await wire.close()
        (ours,) = await rig.settled()
        assert (ours.effect, ours.rule) == ("proxy", rule)
        line = (await real.settled())[-1]
        assert (line.host, line.effect, line.rule) == (host, effect, rule)
        assert (line.user, line.program) == ("alice", "" if who.unknown else who.names[0])


@pytest.mark.parametrize(("host", "status"), [("www.example", 200), ("blocked.example", 403)])
async def test_plain_http(host: str, status: int) -> None:
    async with (
        clients.running(rules=RULES, endpoint_tls=device_ca().listening()) as real,
        running(identifier=Named(CURL), bundle=False) as rig,
    ):
        rig.inspector.port = real.endpoint
        rig.swap(RULES)
        wire = await rig.connect()
        await wire.send(f"GET http://{host}:{real.plain.port}/head HTTP/1.1\r\nSteering-Nonce: x\r\n\r\n".encode())
        answer = await wire.answer()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"teering-Attestation" not in answer and b"teering-Nonce" not in answer
        await wire.close()
        line = (await real.settled())[-1]
        assert (line.host, line.user, line.program) == (host, "alice", "curl")
