"""Whatever arrives: an answer, an error or silence; and the hot path says what its slow twin says."""

import sys
from types import FrameType
from typing import Any

import dns.exception
import dns.flags
import dns.message
import dns.name
import dnslib
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from steering_dns import Limits, answer, parse_upstream, wire
from steering_dns.answer import Ask, Snapshot, answer_known, decide_wire
from steering_dns.cache import Cache
from steering_dns.plan import Plan, Route
from steering_dns.reply import read_reply
from tests.dns import packets, twin
from tests.dns.packets import Asked, long_name, opt, spelt
from tests.dns.world import RULES, policy_of, settings_for

NOW = 1_800_000_000.0
POLICY = policy_of(RULES)
SETTINGS = settings_for((parse_upstream("udp://127.0.0.1:1"),))
SNAPSHOT = Snapshot(SETTINGS, POLICY, NOW, {})
EVERY_AGE = (0, 1, 299)
HEAD = b"\x12\x34\1\0\0\1\0\0\0\0\0\0"
A_IN = b"\0\1\0\1"
# What upstreams said, some seconds ago.
SAID = {
    ("pinned.example.", 1): [dnslib.RR("pinned.example", 1, 1, 300, dnslib.A("203.0.113.10"))],
    ("pinned.example.", 28): [dnslib.RR("pinned.example", 28, 1, 300, dnslib.AAAA("2001:db8::10"))],
    ("huge.pinned.example.", 16): [
        dnslib.RR("huge.pinned.example", 16, 1, 300, dnslib.TXT(f"{i}" + "x" * 100)) for i in range(9)
    ],
    ("steered.example.", 15): [dnslib.RR("steered.example", 15, 1, 300, dnslib.MX("mx.steered.example", 10))],
}


def filled() -> Cache:
    cache = Cache()
    for (name, rtype), records in SAID.items():
        said = dnslib.DNSRecord(dnslib.DNSHeader(qr=1), q=dnslib.DNSQuestion(name, rtype), rr=records)
        asked = spelt(name)
        question = asked + rtype.to_bytes(2, "big") + b"\0\1"
        query = wire.Query(b"\0\0", 1, asked, rtype, 1, question, None)
        plan = SNAPSHOT.planner.plan(query, SNAPSHOT.views.of("127.0.0.1"), NOW)
        assert isinstance(plan, Route)
        found = read_reply(bytes(said.pack()), asked, rtype, do=False, max_ttl_s=300, private=None)
        for prefix in plan.prefixes:
            cache.put(prefix + question, found, NOW)
    return cache


CACHE = filled()


def decide(packet: bytes, *, udp: bool = True, client: str = "127.0.0.1", now: float = NOW) -> bytes | Ask | None:
    return decide_wire(packet, SNAPSHOT.views.of(client), SNAPSHOT, CACHE, now, udp=udp)


def allowed_bytes(packet: bytes, *, udp: bool) -> int:
    """As dnspython reads the packet; one of which it makes nothing gets no more than the least."""
    if not udp:
        return 65535
    try:
        query = dns.message.from_wire(packet, ignore_trailing=True)
    except dns.exception.DNSException:
        return 512
    return 512 if query.edns < 0 else min(max(query.payload, 512), 1232)


def check(packet: bytes, *, udp: bool = True, client: str = "127.0.0.1") -> None:
    for _ in range(2):  # fresh, then remembered
        found = decide(packet, udp=udp, client=client)
        if len(packet) < 12 or packet[2] & 0x80:
            assert found is None
            continue
        assert found is not None  # silence only for what is no question
        if isinstance(found, Ask):
            assert found.query.id == packet[:2]
            assert packet[12:].startswith(found.query.question)
            assert found.limit <= allowed_bytes(packet, udp=udp)
            continue
        assert len(found) <= allowed_bytes(packet, udp=udp)
        assert found[:2] == packet[:2]
        assert found[2] & 0xF9 == 0x80 | packet[2] & 0x79  # an answer; opcode and RD as asked; never authoritative
        assert not found[3] & 0x20  # AD: nothing here is validated
        if found[4:6] == b"\0\1":
            end = wire.skip_name(found, 12)
            assert end is not None
            assert found[12 : end + 4] == packet[12 : end + 4]  # in the case in which it was asked
        else:
            assert found[3] & 0x0F in (wire.FORMERR, wire.NOTIMP)
            assert len(found) == 12
        dns.message.from_wire(found)
        assert decide(found, udp=udp, client=client) is None


@given(st.binary(max_size=80), st.booleans())
def test_any_bytes(packet: bytes, udp: bool) -> None:
    check(packet, udp=udp)


@given(packets.anything(), st.booleans(), st.sampled_from(["127.0.0.1", "127.0.0.2", "10.0.0.1", "203.0.113.1", "::1"]))
@settings(max_examples=1500)
def test_anything_that_is_nearly_a_question(packet: bytes, udp: bool, client: str) -> None:
    check(packet, udp=udp, client=client)


@given(st.data(), packets.questions())
@settings(max_examples=400)
def test_questions_with_bytes_changed_cut_or_added(data: st.DataObject, asked: Asked) -> None:
    query = bytearray(asked.packet)
    for _ in range(data.draw(st.integers(1, 4))):
        query[data.draw(st.integers(0, len(query) - 1))] = data.draw(st.integers(0, 255))
    check(bytes(query), udp=asked.udp)
    check(asked.packet[: data.draw(st.integers(0, len(asked.packet)))], udp=asked.udp)
    check(asked.packet + data.draw(st.binary(min_size=1, max_size=12)), udp=asked.udp)


FORMERR, NOTIMP, REFUSED, BADVERS = wire.FORMERR, wire.NOTIMP, wire.REFUSED, wire.BADVERS
CRAFTED: dict[str, tuple[bytes, int | None]] = {
    "compression pointer to itself": (HEAD + b"\xc0\x0c" + A_IN, FORMERR),
    "pointer into the header": (HEAD + b"\xc0\x00" + A_IN, FORMERR),
    "pointer after a label": (HEAD + b"\1a\xc0\x0c" + A_IN, FORMERR),
    "label kind 01": (HEAD + b"\x41a\0" + A_IN, FORMERR),
    "trailing byte": (HEAD + spelt("a.example") + A_IN + b"x", FORMERR),
    "trailing question": (HEAD + (spelt("a.example") + A_IN) * 2, FORMERR),
    "two questions": (HEAD[:5] + b"\2" + HEAD[6:] + (spelt("a.example") + A_IN) * 2, FORMERR),
    "no question": (HEAD[:5] + b"\0" + HEAD[6:], FORMERR),
    "65535 questions": (HEAD[:4] + b"\xff\xff" + HEAD[6:] + spelt("a.example") + A_IN, FORMERR),
    "an answer section": (HEAD[:7] + b"\1" + HEAD[8:] + spelt("a.example") + A_IN, FORMERR),
    "name of 255 bytes": (HEAD + long_name(255) + A_IN, 0),
    "name of 256 bytes": (HEAD + long_name(256) + A_IN, FORMERR),
    "OPT twice": (HEAD[:11] + b"\2" + spelt("a.example") + A_IN + opt() * 2, FORMERR),
    "EDNS version 1": (HEAD[:11] + b"\1" + spelt("a.example") + A_IN + opt(version=1), BADVERS),
    "EDNS version 255 from a stranger": (HEAD[:11] + b"\1" + spelt("a.example") + A_IN + opt(version=255), BADVERS),
    "unknown option": (HEAD[:11] + b"\1" + spelt("a.example") + A_IN + opt(options=b"\xfd\xe9\0\1x"), 0),
    "IQUERY": (HEAD[:2] + b"\x08" + HEAD[3:] + spelt("a.example") + A_IN, NOTIMP),
    "NOTIFY": (HEAD[:2] + b"\x20" + HEAD[3:] + spelt("a.example") + A_IN, NOTIMP),
    "UPDATE": (HEAD[:2] + b"\x28" + HEAD[3:] + spelt("a.example") + A_IN, NOTIMP),
    "CHAOS": (HEAD + spelt("a.example") + b"\0\x10\0\3", REFUSED),
    "class ANY": (HEAD + spelt("a.example") + b"\0\1\0\xff", REFUSED),
    "AXFR": (HEAD + spelt("a.example") + b"\0\xfc\0\1", REFUSED),
    "ANY": (HEAD + spelt("a.example") + b"\0\xff\0\1", 0),
    "type OPT": (HEAD + spelt("a.example") + b"\0\x29\0\1", FORMERR),
    "an answer": (HEAD[:2] + b"\x81" + HEAD[3:] + spelt("a.example") + A_IN, None),
    "eleven bytes": (HEAD[:11], None),
}


@pytest.mark.parametrize("case", CRAFTED)
def test_crafted_packets(case: str) -> None:
    packet, rcode = CRAFTED[case]
    for udp in (True, False):
        check(packet, udp=udp)
    found = decide(packet)
    assert (dns.message.from_wire(found).rcode() if isinstance(found, bytes) else found) == rcode


@given(packets.questions(), st.sampled_from(EVERY_AGE), st.sampled_from(["127.0.0.1", "127.0.0.2", "10.0.0.1"]))
@settings(max_examples=1000)
@example(Asked(HEAD[:11] + b"\1" + spelt("pinned.example") + A_IN + opt(), udp=True), 1, "127.0.0.1")
@example(Asked(HEAD + spelt("huge.pinned.example") + b"\0\x10\0\1", udp=True), 1, "127.0.0.1")
@example(Asked(HEAD[:11] + b"\1" + spelt("huge.pinned.example") + b"\0\x10\0\1" + opt(), udp=True), 1, "127.0.0.1")
def test_the_hot_path_equals_its_twin(asked: Asked, age_s: int, client: str) -> None:
    view, now = SNAPSHOT.views.of(client), NOW + age_s
    cached = {key: (records, age_s) for key, records in SAID.items()}
    try:
        expected = twin.answer(asked.packet, SNAPSHOT.planner, view, now, cached, udp=asked.udp)
    except (dnslib.DNSError, ValueError):  # dnslib takes fewer names than there are
        return
    for _ in range(2):
        reply = decide(asked.packet, udp=asked.udp, client=client, now=now)
        if expected is None:
            assert isinstance(reply, Ask)
        else:
            assert isinstance(reply, bytes)
            assert twin.read(reply) == expected


def _calls(packet: bytes, snapshot: Snapshot) -> list[str]:
    """The Python functions that one answer from memory takes."""
    view, names = snapshot.views.of("127.0.0.1"), list[str]()
    for _ in range(2):
        assert isinstance(decide_wire(packet, view, snapshot, CACHE, NOW), bytes)

    def note(frame: FrameType, event: str, arg: object) -> None:
        if event == "call":
            names.append(frame.f_code.co_name)

    sys.setprofile(note)
    try:
        decide_wire(packet, view, snapshot, CACHE, NOW)
    finally:
        sys.setprofile(None)
    return names


@pytest.mark.parametrize(("name", "at_most"), [("steered.example", 3), ("pinned.example", 15)])
def test_the_work_of_an_answer_from_memory(name: str, at_most: int) -> None:
    """Not a step more with 20,000 names in the rules than with five, and few of them."""
    packet = HEAD[:11] + b"\1" + spelt(name) + A_IN + opt()
    many = policy_of([*RULES, {"name": "many", "domains": [f"n{i}.example" for i in range(20_000)]}])
    few_calls, many_calls = (_calls(packet, Snapshot(SETTINGS, policy, NOW, {})) for policy in (POLICY, many))
    assert few_calls == many_calls
    assert len(few_calls) <= at_most, few_calls


def test_nothing_foreign_is_built_for_an_answer_from_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = {name: HEAD + spelt(name) + A_IN for name in ("steered.example", "pinned.example", "localhost")}
    first = {name: decide(packet) for name, packet in wanted.items()}

    def never(*args: object, **kwargs: Any) -> None:
        raise AssertionError("the slow path was taken")

    for owner, attribute in ((dnslib.DNSRecord, "__init__"), (dnslib.DNSBuffer, "__init__"), (answer, "parse_query")):
        monkeypatch.setattr(owner, attribute, never)
    assert {name: decide(packet) for name, packet in wanted.items()} == first


def test_strangers_get_refused_and_nothing_is_remembered_for_them() -> None:
    packet = dns.message.make_query("steered.example", "A", use_edns=0).to_wire()
    reply = decide(packet, client="203.0.113.1")
    assert isinstance(reply, bytes)
    assert reply[3] & 0x0F == wire.REFUSED
    assert len(reply) <= len(packet) + 6  # an extended error; no amplifier
    assert SNAPSHOT.views.of("203.0.113.1").memo == {}


def test_the_memo_is_bounded() -> None:
    snapshot = Snapshot(settings_for((), limits=Limits(memo_entries=3)), POLICY, NOW, {})
    view = snapshot.views.of("127.0.0.1")
    sizes = []
    for i in range(5):
        decide_wire(dns.message.make_query(f"n{i}.example", "A").to_wire(), view, snapshot, CACHE, NOW)
        sizes.append(len(view.memo))
    assert sizes == [1, 2, 3, 3, 3]  # what is found as fast without drives nothing out
    for i in range(5):
        decide_wire(dns.message.make_query(f"n{i}.pinned.example", "A").to_wire(), view, snapshot, CACHE, NOW)
        sizes.append(len(view.memo))
    assert sizes[5:] == [1, 2, 3, 1, 2]


def test_whole_replies_are_kept_within_bounds() -> None:
    snapshot = Snapshot(settings_for((), limits=Limits(replies=3)), POLICY, NOW, {})
    view, clock, sizes = snapshot.views.of("127.0.0.1"), [NOW], []

    def ask(i: int) -> None:
        question = dns.message.make_query(f"n{i}.example", "A", use_edns=False).to_wire()[2:]
        reply = answer_known(question, view, snapshot, CACHE, clock[0], udp=True)
        assert reply is not None
        assert dns.message.from_wire(b"\0\0" + reply).answer[0][0].to_text() == "192.0.2.1"
        sizes.append(len(view.replies))

    for i in range(5):
        ask(i)
    clock[0] += 59
    ask(5)
    clock[0] += 1
    ask(6)
    ask(6)
    assert sizes == [1, 2, 3, 1, 2, 3, 1, 1]


@given(packets.questions(), st.sampled_from(EVERY_AGE), st.sampled_from(["127.0.0.1", "127.0.0.2", "10.0.0.1"]))
@settings(max_examples=300)
def test_what_is_kept_is_what_would_be_answered(asked: Asked, age_s: int, client: str) -> None:
    """As long as it is kept for, and in every view."""
    view, now, question = SNAPSHOT.views.of(client), NOW + age_s, asked.packet[2:]
    answer_known(question, view, SNAPSHOT, CACHE, now, udp=True)
    kept = view.replies.get(question)
    if kept is None or now >= kept[1]:
        return
    reply, until, *_ = kept
    for later in (now, min(until, now + 100) - 0.001):
        view.replies.clear()
        assert decide(asked.packet, client=client, now=later) == asked.packet[:2] + reply


HOSTILE = st.one_of(packets.names, st.binary(min_size=1, max_size=40), st.binary(max_size=40).map(lambda b: b + b"\0"))


@given(HOSTILE, st.sampled_from(["steered.example", "shop.example", "example", "7", "0x1", "corp.example", ""]))
@settings(max_examples=600)
def test_an_unlisted_name_has_the_plan_of_all_such(first: bytes, parent: str) -> None:
    """And is a whole, ordinary name: whatever is malformed or reserved takes the other way."""
    for name in (first.lower(), first.lower().rstrip(b"\0") + spelt(parent)):
        if not name or not SNAPSHOT.planner.is_unlisted(name):
            continue
        assert wire.skip_name(name, 0) == len(name)
        for rtype in (1, 28, 64, 65):
            query = wire.Query(b"\0\0", 0, name, rtype, wire.IN, b"", None)
            for client in ("127.0.0.1", "127.0.0.2", "10.0.0.1"):
                view = SNAPSHOT.views.of(client)
                found = SNAPSHOT.planner.plan(query, view, NOW)
                tail = rtype.to_bytes(2, "big") + b"\0\1"
                common = SNAPSHOT.plan_unlisted(name + tail, view, NOW)
                assert common is not None
                assert _said(found) == _said(common)


def _said(plan: Plan) -> tuple[object, ...]:
    tally = (plan.tally.doing, plan.tally.why, plan.decision)
    if isinstance(plan, Route):
        return (*tally, plan.zone, plan.filtered, plan.prefixes, plan.bypass)
    return (*tally, plan.rcode, plan.sections, plan.answers, plan.authority, plan.ede, plan.followable)


def test_ordinary_names_are_known_to_be_unlisted() -> None:
    names = {
        "steered.example": True,
        "a.b.c.steered.example": True,
        "_443._tcp.steered.example": True,
        "xn--bcher-kva.example": True,
        "pinned.example": False,
        "www.pinned.example": False,
        "x.corp.example": False,
        "steering.example": False,
        "a.steering-loop-probe.example": False,
        "mask.icloud.com": False,
        "www.icloud.com": True,
        "printer": False,
        "a.local": False,
        "127.1": False,
        "x" * 63 + ".example": True,
    }
    assert {name: SNAPSHOT.planner.is_unlisted(spelt(name)) for name in names} == names


def test_a_clock_that_is_set_back_ends_a_snapshot() -> None:
    snapshot = Snapshot(SETTINGS, POLICY, NOW, {})
    assert [snapshot.holds(POLICY, now) for now in (NOW - 0.1, NOW, NOW + 9, NOW + 8.9)] == [False, True, True, False]


def test_what_is_asked_again_near_its_end_is_popular_once() -> None:
    snapshot, cache = Snapshot(SETTINGS, POLICY, NOW, {}), filled()
    packet = HEAD + spelt("pinned.example") + A_IN
    view, noted = snapshot.views.of("127.0.0.1"), []
    for age in (0, 269, 270, 271, 299):
        assert isinstance(decide_wire(packet, view, snapshot, cache, NOW + age), bytes)
        noted.append(len(snapshot.popular))
    assert noted == [0, 0, 1, 1, 1]
