"""The resolver on real sockets, asked by dnspython and dig."""

import asyncio
import subprocess
from ipaddress import ip_network
from typing import Any

import dns.edns
import dns.flags
import dns.message
import pytest

from steering_dns import parse_upstream
from tests.dns.upstream import UpstreamServer
from tests.dns.world import RULES, policy_of, world
from tests.kit import ROOT, eventually

NO_ANSWER: list[str] = []
ANSWERS = {
    # A steered name: the inspector, in one decision for all address types.
    ("steered.example", "A"): ("NOERROR", ["A 192.0.2.1"]),
    ("steered.example", "AAAA"): ("NOERROR", NO_ANSWER),
    ("steered.example", "HTTPS"): ("NOERROR", NO_ANSWER),
    ("steered.example", "SVCB"): ("NOERROR", NO_ANSWER),
    ("steered.example", "MX"): ("NOERROR", ["MX 10 mx.steered.example."]),
    ("steered.example", "ANY"): ("NOERROR", ['HINFO "RFC8482" ""']),
    ("cdn.steered.example", "A"): ("NOERROR", ["A 192.0.2.1"]),
    # A label with "_" exempts nothing that leads a browser somewhere.
    ("_x.steered.example", "A"): ("NOERROR", ["A 192.0.2.1"]),
    ("_x.steered.example", "AAAA"): ("NOERROR", NO_ANSWER),
    ("_8443._https.steered.example", "HTTPS"): ("NOERROR", NO_ANSWER),
    ("_dns.steered.example", "SVCB"): ("NOERROR", NO_ANSWER),
    ("_sip._tcp.steered.example", "SRV"): ("NOERROR", ["SRV 0 5 5060 sip.steered.example."]),
    ("_acme-challenge.steered.example", "TXT"): ("NOERROR", ['TXT "token"']),
    ("_x.pinned.example", "A"): ("NOERROR", ["A 203.0.113.11"]),
    ("127.1", "A"): ("NOERROR", ["A 192.0.2.1"]),
    ("8.8.8.8", "A"): ("NXDOMAIN", NO_ANSWER),
    (r"odd\ name.pinned.example", "A"): ("NOERROR", ["A 192.0.2.1"]),
    ("bad.pinned.example", "A"): ("NOERROR", ["A 192.0.2.1"]),
    ("program.example", "A"): ("NOERROR", ["A 192.0.2.1"]),
    # A bypassed name: whole and real.
    ("pinned.example", "A"): ("NOERROR", ["A 203.0.113.10"]),
    ("pinned.example", "AAAA"): ("NOERROR", ["AAAA 2001:db8::10"]),
    ("pinned.example", "HTTPS"): ("NOERROR", ['HTTPS 1 . alpn="h2,h3" ipv4hint="203.0.113.10"']),
    ("www.pinned.example", "A"): ("NOERROR", ["CNAME cdn.steered.example.", "A 203.0.113.20"]),
    ("nothing.pinned.example", "A"): ("NXDOMAIN", NO_ANSWER),
    ("loop.pinned.example", "A"): ("SERVFAIL", NO_ANSWER),
    ("rebind.pinned.example", "A"): ("NOERROR", ["A 203.0.113.30"]),
    ("inner.pinned.example", "A"): ("NOERROR", NO_ANSWER),
    # Zones and reserved names.
    ("host.corp.example", "A"): ("NOERROR", ["A 10.9.9.9"]),
    ("nothing.corp.example", "A"): ("NXDOMAIN", NO_ANSWER),
    ("steering.example", "A"): ("NOERROR", ["A 192.0.2.7"]),
    ("localhost", "A"): ("NOERROR", ["A 127.0.0.1"]),
    ("x.localhost", "AAAA"): ("NOERROR", ["AAAA ::1"]),
    ("printer", "A"): ("NXDOMAIN", NO_ANSWER),
    ("com", "A"): ("NOERROR", NO_ANSWER),
    ("printer.local", "A"): ("NXDOMAIN", NO_ANSWER),
    ("local", "SOA"): ("NXDOMAIN", NO_ANSWER),
    (r"My\ Printer._ipp._tcp.local", "SRV"): ("NXDOMAIN", NO_ANSWER),
    ("_dns.resolver.arpa", "SVCB"): ("NOERROR", NO_ANSWER),
    ("use-application-dns.net", "A"): ("NXDOMAIN", NO_ANSWER),
    ("mask.icloud.com", "HTTPS"): ("NXDOMAIN", NO_ANSWER),
    ("captive.apple.com", "A"): ("NOERROR", ["A 203.0.113.60"]),
    ("1.113.0.203.in-addr.arpa", "PTR"): ("NOERROR", ["PTR one.example."]),
    ("1.113.0.203.in-addr.arpa", "A"): ("NOERROR", NO_ANSWER),
}


def codes(response: dns.message.Message) -> list[int]:
    return [int(option.code) for option in response.options if isinstance(option, dns.edns.EDEOption)]


async def test_every_name_and_type_gets_its_answer() -> None:
    async with world() as w:
        found = {question: await w.answer(*question) for question in ANSWERS}
        assert found == ANSWERS
        again = {question: await w.answer(*question, use_edns=0) for question in ANSWERS}
        assert again == ANSWERS


async def test_what_must_not_leak_is_never_forwarded() -> None:
    async with world() as w:
        for question in ANSWERS:
            await w.ask(*question)
        asked = {name for name, _ in w.upstream.asked}
        assert w.upstream.types_asked("steered.example.") == {"MX"}
        assert not asked & {
            "printer.",
            "printer.local.",
            "local.",
            "_dns.resolver.arpa.",
            "mask.icloud.com.",
            "localhost.",
        }


async def test_private_reverse_names_go_to_the_first_zone_only() -> None:
    async with world() as w:
        await w.ask("1.0.0.10.in-addr.arpa", "PTR")
        assert w.upstream.types_asked("1.0.0.10.in-addr.arpa.") == {"PTR"}
    async with world(zones={}) as w:
        assert await w.answer("1.0.0.10.in-addr.arpa", "PTR") == ("NXDOMAIN", [])
        assert w.upstream.types_asked("1.0.0.10.in-addr.arpa.") == set()


async def test_a_zone_is_asked_of_its_own_servers_and_of_no_other() -> None:
    inner = UpstreamServer({("host.corp.example.", "A"): ["10.1.1.1"]})
    async with inner, world(zone=(parse_upstream(f"udp://127.0.0.1:{inner.port}"),)) as w:
        assert await w.answer("host.corp.example") == ("NOERROR", ["A 10.1.1.1"])
        assert await w.answer("nothing.corp.example") == ("NXDOMAIN", [])
        assert await w.answer("nothing.corp.example", "MX") == ("NXDOMAIN", [])
        assert [name for name, _ in w.upstream.asked if name.endswith("corp.example.")] == []
        inner.chaos.rcode = 2
        assert await w.answer("other.corp.example") == ("SERVFAIL", [])
        assert w.upstream.types_asked("other.corp.example.") == set()


async def test_flags_and_extended_errors() -> None:
    async with world() as w:
        steered = await w.ask("steered.example", use_edns=0)
        assert steered.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA
        assert codes(steered) == [4]
        real = await w.ask("pinned.example", use_edns=0)
        assert real.flags == dns.flags.QR | dns.flags.RD | dns.flags.RA  # AD was set upstream
        assert real.additional == []
        plain = await w.ask("steered.example")
        assert plain.edns == -1


EDE_CODES = {
    "steered.example": [4],
    "bad.pinned.example": [4],
    "mask.icloud.com": [15],
    "rebind.pinned.example": [17],
    "inner.pinned.example": [17],
    "pinned.example": [],
    "printer": [],
    "host.corp.example": [],
    "loop.pinned.example": [22],
}


async def test_extended_errors_say_why_first_and_from_the_cache() -> None:
    async with world() as w:
        for _ in range(2):
            found = {name: codes(await w.ask(name, use_edns=0)) for name in EDE_CODES}
            assert found == EDE_CODES
        assert w.upstream.asked.count(("inner.pinned.example.", "A")) == 1


async def test_an_answer_of_which_nothing_is_left_can_be_kept() -> None:
    async with world() as w:
        for rtype in ("A", "HTTPS"):
            response = await w.ask("inner.pinned.example", rtype)
            assert (response.rcode(), response.answer) == (0, [])
            assert [str(s).split(" ")[:4] for s in response.authority] == [["inner.pinned.example.", "30", "IN", "SOA"]]


async def test_every_steered_nodata_carries_an_soa_of_thirty_seconds() -> None:
    async with world() as w:
        for name in ("steered.example", "_dns.resolver.arpa", "com", "use-application-dns.net", "localhost"):
            response = await w.ask(name, "HTTPS")
            assert [(s.rdtype, s.ttl, s[0].minimum) for s in response.authority] == [(6, 30, 30)]


async def test_a_rule_on_the_source_tells_clients_apart() -> None:
    async with world() as w:
        assert await w.answer("branch.example") == ("NOERROR", ["A 192.0.2.1"])
        assert await w.answer("branch.example", source="127.0.0.2") == ("NOERROR", ["A 203.0.113.40"])
        assert await w.answer("branch.example", source="127.0.0.3") == ("NOERROR", ["A 192.0.2.1"])


async def test_views() -> None:
    nets: dict[str, Any] = {"steered": (ip_network("127.0.0.1"),), "allowed": (ip_network("127.0.0.0/30"),)}
    async with world(**nets) as w:
        assert await w.answer("steered.example") == ("NOERROR", ["A 192.0.2.1"])
        assert await w.answer("steered.example", source="127.0.0.2") == ("NOERROR", ["A 203.0.113.99"])
        assert await w.answer("mask.icloud.com", source="127.0.0.2") == ("NXDOMAIN", [])
        refused = await w.ask("steered.example", source="127.0.0.9", use_edns=0)
        assert (refused.rcode(), [int(o.code) for o in refused.options]) == (5, [18])


async def test_ttls_are_capped_counted_down_and_end() -> None:
    async with world() as w:
        assert (await w.ask("steered.example")).answer[0].ttl == 30
        assert (await w.ask("pinned.example")).answer[0].ttl == 300
        w.clock.now += 269
        assert (await w.ask("pinned.example")).answer[0].ttl == 31
        assert w.upstream.asked.count(("pinned.example.", "A")) == 1
        w.clock.now += 31
        assert (await w.ask("pinned.example")).answer[0].ttl == 300
        assert w.upstream.asked.count(("pinned.example.", "A")) == 2


async def test_what_is_asked_again_near_its_end_is_renewed_before_it() -> None:
    async with world() as w:
        await w.ask("pinned.example")
        w.clock.now += 299
        assert (await w.ask("pinned.example")).answer[0].ttl == 1  # nobody waits for it
        await eventually(lambda: w.upstream.asked.count(("pinned.example.", "A")) == 2)
        await eventually(lambda: w.server.lookup.waiting == 0)
        w.upstream.chaos.drop = -1
        w.clock.now += 1
        assert (await w.ask("pinned.example")).answer[0].ttl == 299
        assert w.server.counters()["cache:refreshed"] == 1


async def test_an_expired_answer_is_given_while_upstreams_take_their_time() -> None:
    """And what they say in the end is kept for who comes next."""
    async with world() as w:
        await w.ask("pinned.example")
        w.clock.now += 301
        w.upstream.chaos.delay_s = 2.2  # of 2.5 s that an attempt may take at most
        stale = await w.ask("pinned.example", use_edns=0)
        assert ([s.ttl for s in stale.answer], [int(o.code) for o in stale.options]) == ([30], [3])
        assert w.server.counters()["cache:stale"] == 1
        w.upstream.chaos.delay_s = 0
        await eventually(lambda: w.server.lookup.waiting == 0)
        assert (await w.ask("pinned.example")).answer[0].ttl == 300


async def test_a_bypass_ends_to_the_second_and_a_swap_counts_at_once() -> None:
    async with world() as w:
        w.clock.now = 1_893_455_999.0
        assert await w.answer("till.example") == ("NOERROR", ["A 203.0.113.50"])
        w.clock.now += 1
        assert await w.answer("till.example") == ("NOERROR", ["A 192.0.2.1"])
        w.live.swap(policy_of([*RULES, {"name": "new", "domains": ["steered.example"]}]))
        assert await w.answer("steered.example") == ("NOERROR", ["A 203.0.113.99"])


async def test_a_long_answer_is_cut_by_udp_and_whole_by_tcp() -> None:
    async with world() as w:
        cut = await w.ask("huge.pinned.example", "TXT", use_edns=0, payload=4096)
        assert cut.flags & dns.flags.TC
        assert cut.answer == []
        whole = await w.ask("huge.pinned.example", "TXT", tcp=True)
        assert len(whole.answer[0]) == 20


@pytest.mark.parametrize("switch", ["drop", "wrong_id", "wrong_question", "truncate", "lower_case"])
async def test_an_upstream_that_misbehaves_once_is_survived(switch: str) -> None:
    async with world() as w:
        setattr(w.upstream.chaos, switch, 1)
        assert await w.answer("pinned.example") == ("NOERROR", ["A 203.0.113.10"])


async def test_garbage_from_upstream_is_servfail() -> None:
    async with world() as w:
        w.upstream.chaos.garbage = -1
        assert await w.answer("pinned.example") == ("SERVFAIL", [])
        assert "internal:error" not in w.server.counters()


async def test_dead_upstreams_are_passed_over_and_stale_answers_serve() -> None:
    async with world(dead=2) as w:
        assert await w.answer("pinned.example") == ("NOERROR", ["A 203.0.113.10"])
        w.clock.now += 301
        for trouble in ({"rcode": 2}, {"rcode": None, "drop": -1}):
            for switch, value in trouble.items():
                setattr(w.upstream.chaos, switch, value)
            stale = await w.ask("pinned.example", use_edns=0)
            assert (stale.answer[0].ttl, codes(stale)) == (30, [3])
            w.clock.now += 3
        w.clock.now += 3600
        assert await w.answer("pinned.example") == ("SERVFAIL", [])


async def test_followed_chains_are_per_client_and_only_where_the_default_stands() -> None:
    async with world(follow_cname=True) as w:
        assert (await w.answer("cdn.steered.example"))[1] == ["A 192.0.2.1"]
        await w.ask("www.pinned.example")
        assert (await w.answer("cdn.steered.example"))[1] == ["A 203.0.113.20"]
        assert (await w.answer("cdn.steered.example", source="127.0.0.2"))[1] == ["A 192.0.2.1"]
        w.clock.now += 300
        assert (await w.answer("cdn.steered.example"))[1] == ["A 192.0.2.1"]


async def test_pipelined_questions_in_one_segment_and_byte_by_byte() -> None:
    async with world() as w:
        frames = b""
        for ident, name in enumerate(("pinned.example", "steered.example", "localhost")):
            query = dns.message.make_query(name, "A", id=ident).to_wire()
            frames += len(query).to_bytes(2, "big") + query
        for size in (len(frames), 1):
            reader, writer = await asyncio.open_connection("127.0.0.1", w.port)
            for at in range(0, len(frames), size):
                writer.write(frames[at : at + size])
                await writer.drain()
            found = {}
            for _ in range(3):
                length = int.from_bytes(await asyncio.wait_for(reader.readexactly(2), 5), "big")
                response = dns.message.from_wire(await reader.readexactly(length))
                found[response.id] = str(response.answer[0][0])
            assert found == {0: "203.0.113.10", 1: "192.0.2.1", 2: "127.0.0.1"}
            writer.close()


DIG = {
    "steered.example A": ("NOERROR", ["EDE: 4 (Forged Answer)", "steered.example. 30 IN A 192.0.2.1"]),
    "sTeErEd.example A": ("NOERROR", ["sTeErEd.example. 30 IN A 192.0.2.1"]),
    "+tcp steered.example A": ("NOERROR", ["steered.example. 30 IN A 192.0.2.1", "(TCP)"]),
    "+noedns steered.example HTTPS": ("NOERROR", ["steered.example. 30 IN SOA", "ANSWER: 0"]),
    "+edns=1 +noednsnegotiation steered.example A": ("BADVERS", ["EDNS: version: 0", "ANSWER: 0"]),
    "+ednsopt=65001:00ff +cookie +nsid +subnet=192.0.2.0/24 steered.example A": ("NOERROR", ["192.0.2.1"]),
    "+ednsflags=0x40 +dnssec steered.example A": ("NOERROR", ["flags: do; udp: 1232", "192.0.2.1"]),
    "+cdflag +adflag steered.example A": ("NOERROR", ["flags: qr rd ra cd;"]),
    "+norecurse steered.example A": ("NOERROR", ["flags: qr ra;"]),
    "+opcode=notify steered.example SOA": ("NOTIMP", ["opcode: NOTIFY"]),
    "+opcode=update steered.example SOA": ("NOTIMP", ["opcode: UPDATE"]),
    "huge.pinned.example TXT": ("NOERROR", ["Truncated, retrying in TCP mode", "ANSWER: 20", "(TCP)"]),
    "+ignore huge.pinned.example TXT": ("NOERROR", ["flags: qr tc rd ra", "ANSWER: 0"]),
    "+ignore +bufsize=512 pinned.example A": ("NOERROR", ["203.0.113.10"]),
    "steered.example ANY +notcp": ("NOERROR", ['HINFO "RFC8482" ""']),
    "steered.example DS": ("NOERROR", ["ANSWER: 0", "SOA"]),
    "+tcp steered.example AXFR": ("", ["Transfer failed"]),
    "version.bind CH TXT": ("NOERROR", ['CH TXT "steering ']),
    "steered.example CH TXT": ("REFUSED", ["ANSWER: 0"]),
    "www.pinned.example A": (
        "NOERROR",
        ["www.pinned.example. 300 IN CNAME cdn.steered.example.", "cdn.steered.example. 300 IN A 203.0.113.20"],
    ),
}


@pytest.mark.needs("dig")
async def test_dig_is_content() -> None:
    async with world() as w:

        async def dig(asked: str) -> str:
            command = ["dig", "@127.0.0.1", "-p", str(w.port), "+tries=1", "+time=5", *asked.split()]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
            return " ".join(done.stdout.split())

        outputs = dict(zip(DIG, await asyncio.gather(*map(dig, DIG)), strict=True))
        for asked, (rcode, expected) in DIG.items():
            found = outputs[asked]
            assert [text for text in (f"status: {rcode}" if rcode else "", *expected) if text not in found] == [], found
            assert "WARNING" not in found.replace("WARNING: EDNS query returned status", "")
            assert "malformed" not in found


@pytest.mark.needs("dig")
async def test_the_examples_of_the_readme() -> None:
    text = (ROOT / "dns" / "README.md").read_text("utf-8")
    examples = [line.partition("#")[0].split() for line in text.splitlines() if line.startswith("dig ")]
    assert len(examples) == 4
    async with world() as w:
        for example in examples:
            command = [str(w.port) if word == "8053" else word for word in example]
            done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=True)
            assert "status: NOERROR" in done.stdout
            assert ("ANSWER: 0" in done.stdout) is (example[-1] == "HTTPS")


async def test_the_query_log_is_a_setting() -> None:
    async with world(query_log=True) as w:
        await w.ask("pinned.example")
        assert [(line.host, line.effect, line.rule) for line in w.lines] == [("pinned.example", "real", "pinned")]
        assert w.server.counters()["real:pinned"] == 1
    async with world() as w:
        await w.ask("pinned.example")
        assert w.lines == []


async def test_counters_tell_rules_and_what_was_done() -> None:
    async with world() as w:
        for name in ("pinned.example", "steered.example", "steered.example", "bad.pinned.example", "mask.icloud.com"):
            await w.ask(name)
        await w.ask("steered.example", "MX")
        await w.ask("steered.example", source="127.0.0.2")
        found = {key: n for key, n in w.server.counters().items() if n and not key.startswith(("cache", "upstream"))}
        assert found == {
            "real:pinned": 1,
            "inspector:default": 3,
            "block:blocked": 1,
            "nxdomain:canary": 1,
            "real:type": 1,
        }


async def test_the_query_log_tells_rule_why_and_what_is_pending() -> None:
    async with world(query_log=True) as w:
        questions = (("program.example", "A"), ("mask.icloud.com", "A"), ("steered.example", "HTTPS"))
        replies = [await w.ask(*question) for question in questions]
        replies.append(await w.ask("bad.pinned.example", tcp=True))
        await w.ask("steered.example", "TYPE65280")
        assert [(x.client, x.host, x.effect, x.rule, x.pending, x.detail) for x in w.lines] == [
            ("127.0.0.1", "program.example", "inspector", None, ("program",), "A"),
            ("127.0.0.1", "mask.icloud.com", "nxdomain", None, (), "A"),
            ("127.0.0.1", "steered.example", "inspector", None, (), "HTTPS"),
            ("127.0.0.1", "bad.pinned.example", "block", "blocked", (), "A"),
            ("127.0.0.1", "steered.example", "real", None, (), "TYPE65280"),
        ]
        assert [line.sent for line in w.lines[:4]] == [len(reply.wire or b"") for reply in replies]
        assert w.lines[4].sent == 0  # asked for: the answer came later
