"""Whatever arrives: an answer, an error or silence; and the hot path says what its slow twin says."""

import dns.message
import dns.name
import dnslib
from hypothesis import given, settings
from hypothesis import strategies as st

from steering_dns import parse_upstream, wire
from steering_dns.answer import Ask, Snapshot, decide_wire
from steering_dns.cache import Cache
from tests.dns import twin
from tests.dns.world import RULES, policy_of, settings_for

NOW = 1_800_000_000.0
POLICY = policy_of(RULES)
SETTINGS = settings_for((parse_upstream("udp://127.0.0.1:1"),))
SNAPSHOT = Snapshot(SETTINGS, POLICY, NOW, {})
CACHE = Cache()

names = st.sampled_from(
    ["steered.example", "PINNED.example", "localhost", "a.local", "com", "mask.icloud.com", "1.2.3.4", "x.corp.example"]
)
labels = st.lists(st.binary(min_size=1, max_size=20), max_size=5)
types = st.sampled_from([0, 1, 2, 5, 6, 15, 16, 28, 41, 64, 65, 252, 255, 65535])


def decide(packet: bytes, *, udp: bool = True, client: str = "127.0.0.1") -> bytes | Ask | None:
    return decide_wire(packet, SNAPSHOT.views.of(client), SNAPSHOT, CACHE, NOW, udp=udp)


def check(packet: bytes) -> None:
    for _ in range(2):  # fresh, then remembered
        found = decide(packet)
        if len(packet) < 12 or packet[2] & 0x80:
            assert found is None
        if isinstance(found, bytes):
            assert len(found) <= 1232
            assert found[:2] == packet[:2]
            assert found[2] & 0x80
            dns.message.from_wire(found)
            if found[4:6] == b"\0\1":
                assert found[12:].startswith(packet[12 : len(packet)][: len(found) - 12][:5])


@given(st.binary(max_size=80))
def test_any_bytes(packet: bytes) -> None:
    check(packet)


@given(st.data(), names, types, st.booleans())
@settings(max_examples=300)
def test_mutated_queries(data: st.DataObject, name: str, rtype: int, edns: bool) -> None:
    query = bytearray(dns.message.make_query(name, "A", use_edns=0 if edns else -1).to_wire())
    end = 12 + len(dns.name.from_text(name).to_wire() or b"")
    query[end : end + 2] = rtype.to_bytes(2, "big")
    for _ in range(data.draw(st.integers(0, 4))):
        query[data.draw(st.integers(0, len(query) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(query)))
    check(bytes(query))
    check(bytes(query[:cut]))
    check(bytes(query) + b"x")


@given(labels, types, st.integers(0, 65535), st.booleans(), st.booleans())
@settings(max_examples=300)
def test_the_hot_path_equals_its_twin(found: list[bytes], rtype: int, ident: int, rd: bool, edns: bool) -> None:
    name = b"".join(bytes((len(label),)) + label for label in found) + b"\0"
    opt = b"\0\0\x29\x10\0\0\0\0\0\0\0" if edns else b""
    head = ident.to_bytes(2, "big") + bytes((rd, 0)) + b"\0\1\0\0\0\0" + bytes((0, edns))
    packet = head + name + rtype.to_bytes(2, "big") + b"\0\1" + opt
    try:
        expected = twin.answer(packet, SNAPSHOT.planner, SNAPSHOT.views.of("127.0.0.1"), NOW)
    except (dnslib.DNSError, ValueError):
        return
    for _ in range(2):
        reply = decide(packet)
        if expected is None:
            assert isinstance(reply, Ask)
        else:
            assert isinstance(reply, bytes)
            assert twin.read(reply) == expected


def test_strangers_get_refused_and_nothing_is_remembered_for_them() -> None:
    packet = dns.message.make_query("steered.example", "A", use_edns=0).to_wire()
    reply = decide(packet, client="203.0.113.1")
    assert isinstance(reply, bytes)
    assert reply[3] & 0x0F == wire.REFUSED
    assert len(reply) <= len(packet) + 6  # an extended error; no amplifier
    assert SNAPSHOT.views.of("203.0.113.1").memo == {}


def test_the_memo_is_bounded() -> None:
    from steering_dns.settings import Limits

    snapshot = Snapshot(settings_for((), limits=Limits(memo_entries=3)), POLICY, NOW, {})
    view = snapshot.views.of("127.0.0.1")
    sizes = []
    for i in range(5):
        decide_wire(dns.message.make_query(f"n{i}.example", "A").to_wire(), view, snapshot, CACHE, NOW)
        sizes.append(len(view.memo))
    assert sizes == [1, 2, 3, 1, 2]
