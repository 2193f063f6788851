"""What a packet asks, and what is said of packets that ask nothing."""

import pytest

from steering_dns import wire

HEAD = b"\x12\x34\1\0\0\1\0\0\0\0\0\0"
EDNS_HEAD = b"\x12\x34\1\0\0\1\0\0\0\0\0\1"
QUESTION = b"\1A\0\0\1\0\1"
OPT = b"\0\0\x29\x04\xd0\0\0\0\0\0\0"
FORMERR = 1


def rcode(packet: bytes) -> int | str | None:
    found = wire.parse_query(packet)
    if isinstance(found, wire.Fault):
        extended = found.reply[-6] << 4 if found.reply[11] else 0
        return extended | found.reply[3] & 0x0F
    return "query" if found else None


@pytest.mark.parametrize(
    ("packet", "expected"),
    [
        (b"", None),
        (HEAD[:11], None),
        (HEAD[:2] + b"\x81" + HEAD[3:] + QUESTION, None),
        (HEAD[:2] + b"\x20" + HEAD[3:] + QUESTION, wire.NOTIMP),
        (HEAD, FORMERR),
        (HEAD + QUESTION, "query"),
        (HEAD + QUESTION[:-1], FORMERR),
        (HEAD + QUESTION + b"x", FORMERR),
        (HEAD[:4] + b"\0\0" + HEAD[6:], FORMERR),
        (HEAD[:4] + b"\0\2" + HEAD[6:] + QUESTION * 2, FORMERR),
        (HEAD[:4] + b"\xff\xff" + HEAD[6:] + QUESTION, FORMERR),
        (HEAD + b"\xc0\x0c\0\1\0\1", FORMERR),
        (HEAD + b"\x40" + b"a" * 64 + b"\0\0\1\0\1", FORMERR),
        (HEAD + (b"\x3f" + b"a" * 63) * 3 + b"\x3d" + b"a" * 61 + b"\0\0\1\0\1", "query"),
        (HEAD + (b"\x3f" + b"a" * 63) * 3 + b"\x3e" + b"a" * 62 + b"\0\0\1\0\1", FORMERR),
        (EDNS_HEAD + QUESTION + OPT, "query"),
        (EDNS_HEAD + QUESTION, FORMERR),
        (EDNS_HEAD[:11] + b"\2" + QUESTION + OPT * 2, FORMERR),
        (EDNS_HEAD + QUESTION + OPT[:6] + b"\1" + OPT[7:], wire.BADVERS),
        (EDNS_HEAD + QUESTION + b"\1a" + OPT, FORMERR),
        (EDNS_HEAD + QUESTION + OPT[:-1] + b"\4\0\x0a\0\0", "query"),
        (EDNS_HEAD + QUESTION + OPT[:-1] + b"\4\0\x0a\0\1", FORMERR),
        (EDNS_HEAD + QUESTION + OPT[:-1] + b"\3\0\x0a\0", FORMERR),
    ],
)
def test_packets(packet: bytes, expected: object) -> None:
    assert rcode(packet) == expected


def test_the_query_is_read_whole() -> None:
    found = wire.parse_query(EDNS_HEAD[:3] + b"\x10" + EDNS_HEAD[4:] + QUESTION + OPT[:7] + b"\x80" + OPT[8:])
    assert found == wire.Query(b"\x12\x34", 7, b"\1a\0", 1, 1, QUESTION, wire.Edns(1232, 0, True))


@pytest.mark.parametrize(("payload", "limit"), [(0, 512), (511, 512), (512, 512), (1231, 1231), (1233, 1232)])
def test_udp_limit(payload: int, limit: int) -> None:
    assert wire.udp_limit(wire.Edns(payload, 0, False)) == limit
    assert wire.udp_limit(None) == 512


def test_replies_are_cut_at_the_limit() -> None:
    query = wire.Query(b"\x12\x34", 1, b"\1a\0", 1, 1, QUESTION, None)
    whole = 12 + len(QUESTION) + 100
    for limit, cut in ((whole - 1, True), (whole, False), (whole + 1, False)):
        reply = wire.render(query, 0, b"x" * 100, answers=1, limit=limit)
        assert (bool(reply[2] & 2), len(reply)) == (cut, whole - 100 if cut else whole)


def test_names_for_people() -> None:
    assert wire.to_text(b"\3a.b\2\n\xff\0") == r"a\.b.\010\255"
    assert wire.to_text(b"\0") == "."
    assert list(wire.suffixes_of(b"\1a\1b\0")) == [b"\1a\1b\0", b"\1b\0", b"\0"]
