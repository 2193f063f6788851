"""A change of the rules, as clients see it: new connections, connections that last, and a browser.

A world of its own, whose rules every test sets anew.
"""

import asyncio
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import pytest

from tests.inspector.origin import origin_ca
from tests.kit import wait_until
from tests.wire.chromium import chromium
from tests.wire.internet import ADDRESS, GATEWAY
from tests.wire.peers import issuer_in, pac_returns
from tests.wire.world import INSPECTION_CA, ORIGIN_CA, ORIGIN_TEXT, PAC_URL, PROXY, World, running_world

pytestmark = pytest.mark.needs("unshare", "curl", "dig", "node")

PINNED = {"name": "Pinned", "domains": ["pin.example"]}
LATER = {"name": "Later", "domains": ["later.example"]}
BLOCKED = {"name": "Blocked since", "action": "block", "domains": ["later.example", "inspected.example"]}

# What ``points`` finds.
INSPECTED = ("PROXY 127.0.0.1:3128", GATEWAY, INSPECTION_CA)
BYPASSED = ("DIRECT", ADDRESS, ORIGIN_CA)


@pytest.fixture(scope="module")
def changing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with running_world(tmp_path_factory.mktemp("changing"), [PINNED]) as world:
        yield world


class Kept:
    """One TLS connection to the transparent inspector; use ``with``.  issuer: of the certificate that it was shown."""

    def __init__(self, world: World, host: str) -> None:
        self._world = world
        self._host = host
        context = ssl.create_default_context(cafile=str(world.both_cas))
        connecting = asyncio.open_connection(GATEWAY, 443, ssl=context, server_hostname=host)
        self._reader, self._writer = world.space.run(connecting)
        certificate: Mapping[str, Any] = self._writer.get_extra_info("peercert")
        self.issuer = dict(pair for part in certificate["issuer"] for pair in part)["commonName"]

    def get(self) -> tuple[int, str]:
        """Status and body of ``GET /``."""
        return self._world.space.run(self._get())

    async def _get(self) -> tuple[int, str]:
        self._writer.write(f"GET / HTTP/1.1\r\nHost: {self._host}\r\nAccept: text/plain\r\n\r\n".encode())
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        length = int(head.lower().partition("content-length:")[2].split()[0])
        return int(head.split()[1]), (await self._reader.readexactly(length)).decode()

    def wait_closed(self) -> None:
        """Return once the other side has ended the connection without another byte."""
        assert self._world.space.run(self._rest()) == b""

    async def _rest(self) -> bytes:
        try:
            return await self._reader.read()
        except ConnectionResetError:
            return b""

    def __enter__(self) -> "Kept":
        return self

    def __exit__(self, *exc: object) -> None:
        self._world.space.run(self._close())

    async def _close(self) -> None:
        self._writer.close()
        with suppress(OSError):
            await self._writer.wait_closed()


def points(world: World, host: str) -> tuple[str, str, str]:
    """What the PAC says, the resolver's answer, and who signed the certificate that the proxy shows."""
    pac = pac_returns(world, host, "127.0.0.1")
    answer = world.command("dig", "@127.0.0.1", "+short", host).out.strip()
    return pac, answer, issuer_in(world.curl("-v", "-x", PROXY, f"https://{host}/").err)


def test_new_connections_follow_a_change_at_every_point_without_being_told(changing: World) -> None:
    changing.service.enforce([PINNED])
    assert points(changing, "later.example") == INSPECTED
    changing.service.write_rules([PINNED, LATER])
    wait_until(lambda: points(changing, "later.example") == BYPASSED, what="the bypass everywhere")
    changing.service.write_rules([PINNED])
    wait_until(lambda: points(changing, "later.example") == INSPECTED, what="its end everywhere")


def test_tunnels_end_with_their_rule_and_others_stay(changing: World) -> None:
    changing.service.enforce([PINNED, LATER])
    with Kept(changing, "later.example") as ends, Kept(changing, "app.pin.example") as stays:
        assert (ends.issuer, stays.issuer) == (ORIGIN_CA, ORIGIN_CA)
        assert ORIGIN_TEXT in ends.get()[1] and ORIGIN_TEXT in stays.get()[1]
        place = changing.lines.now()
        changing.service.enforce([PINNED])
        ends.wait_closed()
        line = changing.lines.after(place, host="later.example", action="tunnel")
        assert (line["rule"], line["reason"]) == ("Later", "policy-change")
        assert ORIGIN_TEXT in stays.get()[1]
    assert changing.lines.after(place, host="app.pin.example", action="tunnel")["reason"] == ""


def test_requests_on_an_opened_connection_are_decided_by_the_new_rules(changing: World) -> None:
    changing.service.enforce([PINNED])
    with Kept(changing, "later.example") as kept:
        assert kept.issuer == INSPECTION_CA
        assert kept.get()[0] == 200
        changing.service.enforce([PINNED])
        assert kept.get()[0] == 200, "a reload that changes nothing ends nothing"
        place = changing.lines.now()
        changing.service.enforce([PINNED, BLOCKED])
        status, page = kept.get()
    assert (status, "Rule: Blocked since\n" in page) == (403, True)
    line = changing.lines.after(place, host="later.example", status=403)
    assert (line["action"], line["rule"], line["reason"]) == ("block", "Blocked since", "blocked")


def test_an_opened_connection_ends_when_a_bypass_begins(changing: World) -> None:
    """It cannot become a tunnel; whoever asks again gets one."""
    changing.service.enforce([PINNED])
    with Kept(changing, "later.example") as kept:
        assert (kept.issuer, kept.get()[0]) == (INSPECTION_CA, 200)
        changing.service.enforce([PINNED, LATER])
        kept.wait_closed()
    with Kept(changing, "later.example") as again:
        assert (again.issuer, again.get()[0]) == (ORIGIN_CA, 200)


def test_a_broken_file_changes_nothing(changing: World) -> None:
    changing.service.enforce([PINNED, LATER])
    before = points(changing, "later.example")
    changing.service.write_rules(b'{"version": 1, "rules": [{"name": "Later"')
    wait_until(lambda: changing.service.status()["state"] == "degraded", what="the error in the status")
    assert "rules.json:1:" in changing.service.status()["error"]
    assert points(changing, "later.example") == before
    assert changing.service.enforce([PINNED])["state"] == "ok"


@pytest.mark.needs("chromium", "certutil")
def test_a_browser_is_shown_the_new_rules(changing: World, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Its PAC may be old and its connections open: the page is blocked all the same."""
    changing.service.enforce([PINNED])
    folder = tmp_path_factory.mktemp("chromium-reload")
    certificates = (changing.service.ca, origin_ca().file)
    with changing.space.holding(chromium(folder, f"--proxy-pac-url={PAC_URL}", certificates=certificates)) as browser:
        assert changing.space.run(browser.load("https://inspected.example/")).status == 200
        changing.service.enforce([PINNED, BLOCKED])
        page = changing.space.run(browser.load("https://inspected.example/"))
        assert (page.status, page.issuer) == (403, INSPECTION_CA)
        assert "Blocked since" in page.text
