"""dig and dnspython ask the running service, from the addresses that the settings tell apart."""

from dataclasses import dataclass

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.wire.internet import ADDRESS, GATEWAY, INSIDE, NOBODY
from tests.wire.world import World, check_line

pytestmark = pytest.mark.needs("unshare", "dig")

STEERED, IN_LAB, LAST_STEERED = "127.0.0.1", "127.0.0.2", "127.0.0.3"
FIRST_TRUE, LAST_TRUE, FIRST_REFUSED = "127.0.0.4", "127.0.0.7", "127.0.0.8"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question to dig, and what must be in its answer.  answers: the records' data, in their order."""

    arguments: str
    status: str
    answers: tuple[str, ...] = ()
    source: str = STEERED


TABLE = {
    "steered": Asked(arguments="inspected.example", status="NOERROR", answers=(GATEWAY,)),
    "steered, by TCP": Asked(arguments="inspected.example +tcp", status="NOERROR", answers=(GATEWAY,)),
    "steered, without EDNS": Asked(arguments="inspected.example +noedns", status="NOERROR", answers=(GATEWAY,)),
    "steered, case kept": Asked(arguments="InSpEcTeD.eXaMpLe", status="NOERROR", answers=(GATEWAY,)),
    "steered, a family that the inspector lacks": Asked(arguments="inspected.example AAAA", status="NOERROR"),
    "steered, no HTTPS record": Asked(arguments="inspected.example HTTPS", status="NOERROR"),
    "steered, mail as it is": Asked(
        arguments="inspected.example MX", status="NOERROR", answers=("10 mail.inspected.example.",)
    ),
    "blocked": Asked(arguments="blocked.example", status="NOERROR", answers=(GATEWAY,)),
    "steered although nobody has the name": Asked(arguments="nowhere.example", status="NOERROR", answers=(GATEWAY,)),
    "bypassed": Asked(arguments="app.pin.example", status="NOERROR", answers=(ADDRESS,)),
    "bypassed, by TCP": Asked(arguments="app.pin.example +tcp", status="NOERROR", answers=(ADDRESS,)),
    "bypassed, HTTPS record": Asked(
        arguments="app.pin.example HTTPS", status="NOERROR", answers=('1 . alpn="http/1.1"',)
    ),
    "bypassed, the whole chain": Asked(
        arguments="chain.pin.example", status="NOERROR", answers=("cdn.example.", ADDRESS)
    ),
    "the chain's target alone": Asked(arguments="cdn.example", status="NOERROR", answers=(GATEWAY,)),
    "bypassed, nobody has the name": Asked(arguments="gone.pin.example", status="NXDOMAIN"),
    "bypassed by a program that nobody sees here": Asked(
        arguments="tool.example", status="NOERROR", answers=(GATEWAY,)
    ),
    "bypassed for others": Asked(arguments="lab.example", status="NOERROR", answers=(GATEWAY,)),
    "bypassed for this client": Asked(
        arguments="lab.example", status="NOERROR", answers=(ADDRESS,), source=IN_LAB
    ),
    "canary": Asked(arguments="use-application-dns.net", status="NXDOMAIN"),
    "canary of Apple": Asked(arguments="mask.icloud.com", status="NXDOMAIN"),
    "discovery of resolvers": Asked(arguments="_dns.resolver.arpa SVCB", status="NOERROR"),
    "loopback": Asked(arguments="localhost", status="NOERROR", answers=("127.0.0.1",)),
    "local use": Asked(arguments="printer.local", status="NXDOMAIN"),
    "an internal zone, private address and all": Asked(
        arguments="wiki.corp.example", status="NOERROR", answers=(INSIDE,)
    ),
    "a public name with a private address": Asked(
        arguments="rebound.example", status="NOERROR", source=FIRST_TRUE
    ),
    "a private address' name": Asked(arguments="-x 10.0.0.5", status="NOERROR", answers=("wiki.corp.example.",)),
    "our own name": Asked(arguments="steering.example", status="NOERROR", answers=(NOBODY,)),
    "the last steered client": Asked(
        arguments="inspected.example", status="NOERROR", answers=(GATEWAY,), source=LAST_STEERED
    ),
    "the first client that is told the truth": Asked(
        arguments="inspected.example", status="NOERROR", answers=(ADDRESS,), source=FIRST_TRUE
    ),
    "the last one": Asked(arguments="inspected.example", status="NOERROR", answers=(ADDRESS,), source=LAST_TRUE),
    "the first client that is refused": Asked(arguments="inspected.example", status="REFUSED", source=FIRST_REFUSED),
    "refused by TCP": Asked(arguments="app.pin.example +tcp", status="REFUSED", source=FIRST_REFUSED),
}  # fmt: skip


@pytest.mark.parametrize("asked", TABLE.values(), ids=list(TABLE))
def test_dig(asked: Asked, world: World) -> None:
    ended = world.command(
        "dig", "@127.0.0.1", "-b", asked.source, "+noall", "+answer", "+comments", *asked.arguments.split()
    )
    assert f"status: {asked.status}," in ended.out
    records = [line.split(None, 4) for line in ended.out.splitlines() if line and not line.startswith(";")]
    assert tuple(record[4] for record in records) == asked.answers
    assert ";; Warning" not in ended.out
    flags = ended.out.partition("flags:")[2].partition(";")[0].split()
    assert "qr" in flags and "ad" not in flags


def test_edns_by_dnspython(world: World) -> None:
    """One OPT with our size, an answer's why (RFC 8914), and BADVERS for what we do not speak."""
    query = dns.message.make_query("inspected.example.", "A", use_edns=0, payload=4096)
    reply = world.space.run(_ask(query))
    assert (reply.id, reply.edns, reply.payload, reply.rcode()) == (query.id, 0, 1232, dns.rcode.NOERROR)
    assert [option.otype for option in reply.options] == [dns.edns.OptionType.EDE]
    assert [(rrset.ttl, [rdata.to_text() for rdata in rrset]) for rrset in reply.answer] == [(30, [GATEWAY])]
    future = world.space.run(_ask(dns.message.make_query("inspected.example.", "A", use_edns=1)))
    assert (future.rcode(), future.answer) == (dns.rcode.BADVERS, [])


def test_no_data_comes_with_an_soa(world: World) -> None:
    """Without one no resolver behind us could cache that there is nothing (RFC 2308)."""
    for rtype in ("AAAA", "HTTPS"):
        reply = world.space.run(_ask(dns.message.make_query("inspected.example.", rtype)))
        assert (reply.rcode(), reply.answer) == (dns.rcode.NOERROR, [])
        assert [rrset.rdtype for rrset in reply.authority] == [dns.rdatatype.SOA]


async def _ask(query: dns.message.Message) -> dns.message.Message:
    return dns.query.udp(query, "127.0.0.1", timeout=10)


def test_upstream_is_never_asked_for_what_is_steered(world: World) -> None:
    world.command("dig", "@127.0.0.1", "inspected.example", "HTTPS")
    assert "HTTPS" not in world.upstream.types_asked("inspected.example.")


def test_access_line(world: World) -> None:
    place = world.lines.now()
    world.command("dig", "@127.0.0.1", "-b", IN_LAB, "+noedns", "lab.example")
    line = world.lines.after(place, point="dns", host="lab.example")
    received = len(dns.message.make_query("lab.example.", "A", use_edns=-1).to_wire())
    check_line(
        line | {"detail": "", "sent": 0}, point="dns", client=IN_LAB, host="lab.example", action="real",
        rule="Laboratory", why="rule 'Laboratory': lab.example", received=received,
    )  # fmt: skip
