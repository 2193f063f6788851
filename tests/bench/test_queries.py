"""The packets that are asked are questions to an independent reader too."""

import random
from pathlib import Path

import dns.flags
import dns.message
import pytest

from bench.queries import AAAA, HTTPS, A, query, random_case, shuffled, write


@pytest.mark.parametrize(("qtype", "text"), [(A, "A"), (AAAA, "AAAA"), (HTTPS, "HTTPS")])
@pytest.mark.parametrize("edns", [False, True])
def test_a_query_is_read_by_dnspython(qtype: int, text: str, edns: bool) -> None:
    message = dns.message.from_wire(query("www.Site-1.example", qtype, edns=edns))
    assert [str(question) for question in message.question] == [f"www.Site-1.example. IN {text}"]
    assert message.flags == dns.flags.RD
    assert (message.edns, message.payload, bool(message.ednsflags & dns.flags.DO)) == (
        (0, 1232, True) if edns else (-1, 0, False)
    )


def test_random_case_changes_nothing_but_the_case() -> None:
    made = {random_case("www.example", random.Random(seed)) for seed in range(20)}
    assert len(made) > 10
    assert {name.lower() for name in made} == {"www.example"}


def test_packets_are_written_behind_their_lengths(tmp_path: Path) -> None:
    packets = [b"a", b"bcd" * 100]
    assert write(tmp_path / "queries", packets).read_bytes() == b"\0\1a" + b"\1\x2c" + packets[1]


def test_the_order_is_the_same_in_every_run() -> None:
    packets = [query(f"n{i}.example") for i in range(100)]
    assert shuffled(packets, 1) == shuffled(packets, 1) != packets
    assert sorted(shuffled(packets, 1)) == sorted(packets)
