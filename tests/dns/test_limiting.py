"""What those get who are refused anyway."""

import socket
from ipaddress import ip_network

import dns.asyncquery
import dns.flags
import dns.message
import pytest

from steering_dns import Limits
from steering_dns.limiting import Strangers, Verdict
from tests.dns.world import world

ANSWER, CUT, SILENCE = Verdict.ANSWER, Verdict.CUT, Verdict.SILENCE


def test_a_burst_then_the_rate() -> None:
    strangers = Strangers(per_s=2, burst=3, prefixes=10)
    assert [strangers.verdict("192.0.2.1", 100) for _ in range(6)] == [ANSWER, ANSWER, ANSWER, CUT, SILENCE, CUT]
    assert [strangers.verdict("192.0.2.1", now) for now in (100.49, 100.5, 100.51)] == [SILENCE, ANSWER, CUT]
    assert [strangers.verdict("192.0.2.1", 1000) for _ in range(4)] == [ANSWER, ANSWER, ANSWER, SILENCE]
    assert strangers.verdict("192.0.2.1", 5) is not ANSWER  # the clock was set back: no tokens for that


@pytest.mark.parametrize(
    ("first", "second", "shared"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("192.0.2.1", "::ffff:192.0.2.9", True),
        ("2001:db8::1", "2001:db8:0:ff::1", True),
        ("2001:db8::1", "2001:db8:0:100::1", False),
        ("fe80::1%eth0", "fe80::2%eth1", True),
    ],
)
def test_neighbours_share_a_bucket(first: str, second: str, shared: bool) -> None:
    strangers = Strangers(per_s=1, burst=1, prefixes=10)
    assert strangers.verdict(first, 1) is ANSWER
    assert (strangers.verdict(second, 1) is not ANSWER) is shared


def test_prefixes_are_bounded() -> None:
    strangers = Strangers(per_s=1, burst=1, prefixes=3)
    sizes = []
    for i in range(5):
        strangers.verdict(f"10.0.{i}.1", 1)
        sizes.append(len(strangers))
    assert sizes == [1, 2, 3, 1, 2]


@pytest.mark.parametrize("batches", [True, False])
async def test_by_udp_they_are_cut_and_by_tcp_answered(batches: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not batches:
        monkeypatch.setattr("steering_dns.udp.UdpListener.__init__.__kwdefaults__", {"batches": False})
    limits = Limits(refusals_per_s=0, refusals_burst=2)
    async with world(allowed=(ip_network("127.0.0.2/32"),), limits=limits) as w:
        seen = []
        for _ in range(3):
            reply = await w.ask("steered.example")
            seen.append((reply.rcode(), bool(reply.flags & dns.flags.TC), len(reply.question)))
        assert seen == [(5, False, 1), (5, False, 1), (5, True, 1)]
        assert (await w.ask("steered.example", tcp=True)).rcode() == 5
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.connect(("127.0.0.1", w.port))
            silent.send(dns.message.make_query("steered.example", "A").to_wire())
            assert (await w.ask("steered.example", source="127.0.0.2")).rcode() == 0  # came after, and is not limited
            silent.setblocking(False)
            with pytest.raises(BlockingIOError):
                silent.recv(512)
        assert w.server.counters()["refused:rate"] == 2
