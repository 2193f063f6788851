"""What is kept of an upstream's reply."""

from itertools import pairwise

import dns.exception
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering_dns import wire
from steering_dns.rebinding import Private
from steering_dns.reply import MAX_RECORDS, ReplyError, Sections, read_reply

NAME = b"\3www\7example\0"
QUERY = dns.message.make_query("www.example.", "A")


def reply(*answers: str, authority: tuple[str, ...] = ()) -> bytes:
    """Records as "owner ttl type rdata"."""
    response = dns.message.make_response(QUERY)
    for section, lines in ((response.answer, answers), (response.authority, authority)):
        for line in lines:
            owner, ttl, rtype, rdata = line.split(" ", 3)
            section.append(dns.rrset.from_text(owner, int(ttl), "IN", rtype, rdata))
    return response.to_wire(max_size=65535)


def read(packet: bytes, *, qtype: int = wire.A, do: bool = False, private: Private | None = None) -> Sections:
    return read_reply(packet, NAME, qtype, do=do, max_ttl_s=300, private=private)


def shown(found: Sections) -> list[str]:
    """The rebuilt sections as dnspython reads them."""
    query = wire.Query(b"\0\0", 1, NAME, 1, 1, NAME + b"\0\1\0\1", None)
    built = wire.render(query, found.rcode, found.body, answers=found.answers, authority=found.authority)
    message = dns.message.from_wire(built)
    return [
        line for section in (message.answer, message.authority) for rrset in section for line in str(rrset).split("\n")
    ]


def test_only_the_chain_is_kept() -> None:
    found = read(
        reply(
            "www.example. 1000 CNAME cdn.example.",
            "evil.example. 1000 A 203.0.113.66",
            "cdn.example. 200 A 203.0.113.1",
            "www.example. 100 TXT x",
        )
    )
    assert shown(found) == ["www.example. 300 IN CNAME cdn.example.", "cdn.example. 200 IN A 203.0.113.1"]
    assert (found.ttl_s, found.targets, found.addresses) == (200, (b"\3cdn\7example\0",), (b"\xcb\0\x71\1",))


def test_negative_answers_are_kept_by_their_soa() -> None:
    soa = "example. 900 SOA ns.example. admin.example. 1 2 3 4 60"
    found = read(reply(authority=(soa, "example. 900 NS ns.example.")))
    assert (found.ttl_s, shown(found)) == (60, ["example. 60 IN SOA ns.example. admin.example. 1 2 3 4 60"])
    assert read(reply()).ttl_s == 0
    assert read(reply(authority=(soa.replace("example. 900", "other. 900", 1),))).authority == 0


def test_private_addresses_are_filtered() -> None:
    packet = reply("www.example. 60 A 10.0.0.1", "www.example. 60 A 203.0.113.1")
    found = read(packet, private=Private())
    assert (found.filtered, found.addresses) == (1, (b"\xcb\0\x71\1",))
    assert read(packet).filtered == 0


@pytest.mark.parametrize(("links", "good"), [(15, True), (16, True), (17, False)])
def test_chains_are_bounded(links: int, good: bool) -> None:
    names = ["www.example.", *(f"n{i}.example." for i in range(links))]
    lines = [f"{a} 60 CNAME {b}" for a, b in pairwise(names)]
    packet = reply(*lines, f"{names[-1]} 60 A 203.0.113.1")
    if good:
        assert read(packet).answers == links + 1
    else:
        with pytest.raises(ReplyError, match="chain"):
            read(packet)


@pytest.mark.parametrize(("count", "good"), [(MAX_RECORDS - 1, True), (MAX_RECORDS, True), (MAX_RECORDS + 1, False)])
def test_records_are_bounded(count: int, good: bool) -> None:
    head = b"\0\0\x81\x80\0\1" + count.to_bytes(2, "big") + b"\0\0\0\0"
    packet = head + NAME + b"\0\1\0\1" + wire.record(wire.A, 60, b"\xcb\0\x71\1") * count
    if good:
        assert read(packet).answers == count
    else:
        with pytest.raises(ReplyError, match="records"):
            read(packet)


@pytest.mark.parametrize(
    "tail", [b"\xc0", b"\xc0\x40\0\1", b"\x80", b"\xc0\x1d" + b"\0" * 10, b"\1a\0\0\1\0\1\0\0\0\0\0\5abcd"]
)
def test_malformed_records_are_refused(tail: bytes) -> None:
    with pytest.raises(ReplyError):
        read(b"\0\0\x81\x80\0\1\0\1\0\0\0\0" + NAME + b"\0\1\0\1" + tail)


@given(st.binary(max_size=120), st.integers(0, 3), st.integers(0, 3))
def test_any_bytes(tail: bytes, answers: int, authority: int) -> None:
    head = b"\0\0\x81\x80\0\1\0" + bytes((answers, 0, authority)) + b"\0\0"
    try:
        shown(read(head + NAME + b"\0\1\0\1" + tail, do=True, private=Private()))
    except ReplyError:
        pass
    except dns.exception.DNSException:  # record data that dnspython reads and we only copy
        pass
