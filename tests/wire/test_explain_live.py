"""What ``steering explain --live`` says of a host is what curl, dig and the PAC find.

Explain is asked once on the command line, which takes a while to start, else where that asks.  The PAC that the client
is served runs in Node, dig asks the resolver and curl the inspector, each from the same address; the access line says
what was done.
"""

import json
from dataclasses import dataclass
from typing import Any

import pytest

from tests.wire.internet import ADDRESS, GATEWAY
from tests.wire.peers import issuer_in, pac_returns
from tests.wire.world import INSPECTION_CA, ORIGIN_CA, PROXY, World

pytestmark = pytest.mark.needs("unshare", "curl", "dig", "node")

PLAIN, IN_LAB = "127.0.0.1", "127.0.0.2"
THROUGH = "PROXY 127.0.0.1:3128"


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A host, the client's address, and what explain must say of the points."""

    host: str
    pac: str
    dns: str | None
    inspector: str
    source: str = PLAIN


TABLE = [
    Case(host="inspected.example", pac=THROUGH, dns="inspector", inspector="open"),
    Case(host="app.pin.example", pac="DIRECT", dns="real", inspector="tunnel"),
    Case(host="pin.example", pac="DIRECT", dns="real", inspector="tunnel"),
    Case(host="notpin.example", pac=THROUGH, dns="inspector", inspector="open"),
    Case(host="pin.example.example", pac=THROUGH, dns="inspector", inspector="open"),
    Case(host="blocked.example", pac=THROUGH, dns="inspector", inspector="block"),
    Case(host="lab.example", pac=THROUGH, dns="inspector", inspector="open"),
    Case(host="lab.example", pac="DIRECT", dns="real", inspector="tunnel", source=IN_LAB),
    Case(host="tool.example", pac=THROUGH, dns="inspector", inspector="open"),
    Case(host="use-application-dns.net", pac=THROUGH, dns="nxdomain", inspector="refuse"),
    Case(host="resolver.arpa", pac=THROUGH, dns="nodata", inspector="refuse"),
    Case(host="captive.apple.com", pac=THROUGH, dns="real", inspector="open"),
    Case(host="wiki.corp.example", pac="DIRECT", dns="real", inspector="refuse"),
    Case(host="steering.example", pac="DIRECT", dns="real", inspector="refuse"),
    Case(host=ADDRESS, pac=THROUGH, dns=None, inspector="open"),
    Case(host="10.1.2.3", pac="DIRECT", dns=None, inspector="refuse"),
]


def test_the_command_prints_what_the_service_answers(world: World) -> None:
    ended = world.steering("explain", "https://lab.example/x", "--live", "--json", "--source", IN_LAB)
    assert ended.code == 0, ended.err
    answer = world.service.ask("POST", "/explain", {"target": "lab.example", "source": IN_LAB})
    assert json.loads(ended.out) == answer
    match = {"rule": "Laboratory", "action": "bypass", "matched": "yes", "on": "lab.example"}
    assert (answer["rule"], answer["pending"], answer["matches"]) == ("Laboratory", [], [match])


# What a client sees of the inspector's doings; an error of the origin's makes it no other.
ISSUER = {"open": INSPECTION_CA, "block": INSPECTION_CA, "tunnel": ORIGIN_CA, "refuse": ""}


@pytest.mark.parametrize("case", TABLE, ids=lambda case: f"{case.host} from {case.source}")
def test_explained_as_done(case: Case, world: World) -> None:
    points = world.service.ask("POST", "/explain", {"target": case.host, "source": case.source})["points"]
    assert (points["pac"], points["dns"], points["inspector"]) == (case.pac, case.dns, case.inspector)

    assert pac_returns(world, case.host, case.source) == case.pac
    assert case.dns is None or _by_dns(world, case) == case.dns
    assert _by_inspector(world, case) == (case.inspector, ISSUER[case.inspector])


# Addresses in an answer -> what explain calls it; others are the real ones.
DNS = {(): "nodata", (GATEWAY,): "inspector"}


def _by_dns(world: World, case: Case) -> str:
    ended = world.command("dig", "@127.0.0.1", "-b", case.source, "+noall", "+answer", "+comments", case.host)
    if "status: NXDOMAIN" in ended.out:
        return "nxdomain"
    assert "status: NOERROR" in ended.out
    addresses = [line.split()[4] for line in ended.out.splitlines() if "\tA\t" in line]
    return DNS.get(tuple(addresses), "real")


def _by_inspector(world: World, case: Case) -> tuple[str, str]:
    place = world.lines.now()
    ended = world.curl("-v", "--interface", case.source, "-x", PROXY, f"https://{case.host}/")
    line: dict[str, Any] = world.lines.after(place, point="inspector", host=case.host, client=case.source)
    return line["action"], issuer_in(ended.err)
