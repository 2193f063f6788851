"""Real browsers on a network with nothing but our service: what they show, and whose certificate they saw.

The same table is read by three browsers.  Two are given the PAC's URL; one knows nothing of us and is led by its
resolver alone.  That a page went past the inspector is seen in the resolver's log: a browser asks for a name itself
only where it was told DIRECT, and is given the real answer only where a rule bypasses.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import pytest

from tests.inspector.origin import origin_ca
from tests.wire.chromium import Chromium, Page, chromium
from tests.wire.firefox import Firefox, firefox
from tests.wire.internet import GATEWAY
from tests.wire.world import CLIENT, INSPECTION_CA, ORIGIN_CA, ORIGIN_TEXT, PAC_URL, World

pytestmark = pytest.mark.needs("unshare", "certutil")


class Browser(Protocol):
    async def load(self, url: str, timeout_s: float = 30) -> Page: ...


@pytest.fixture(scope="module")
def chromium_by_pac(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    folder = tmp_path_factory.mktemp("chromium-pac")
    with world.space.holding(
        chromium(folder, f"--proxy-pac-url={PAC_URL}", certificates=(world.service.ca, origin_ca().file))
    ) as it:
        yield it


@pytest.fixture(scope="module")
def chromium_by_dns(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    folder = tmp_path_factory.mktemp("chromium-dns")
    with world.space.holding(
        chromium(folder, "--no-proxy-server", certificates=(world.service.ca, origin_ca().file))
    ) as it:
        yield it


@pytest.fixture(scope="module")
def firefox_by_pac(world: World, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Firefox]:
    folder = tmp_path_factory.mktemp("firefox-pac")
    preferences = {"network.proxy.type": 2, "network.proxy.autoconfig_url": PAC_URL}
    with world.space.holding(firefox(folder, preferences, certificates=(world.service.ca, origin_ca().file))) as it:
        yield it


# Fixture -> the address from which it reaches the inspector: the explicit proxy is on loopback, the transparent one
# where steered names lead.
BROWSERS = [
    pytest.param("chromium_by_pac", CLIENT, marks=pytest.mark.needs("chromium")),
    pytest.param("firefox_by_pac", CLIENT, marks=pytest.mark.needs("firefox")),
    pytest.param("chromium_by_dns", GATEWAY, marks=pytest.mark.needs("chromium")),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a URL must show.  issuer: "" for plain HTTP.  action, rule: at the inspector, or at DNS where bypassed."""

    host: str
    scheme: str
    status: int
    issuer: str
    text: tuple[str, ...]
    point: str
    action: str
    rule: str | None


BLOCKED_TEXT = ("This site is blocked", "blocked.example", "No gambling")

# One name a line: a browser that knows a name already does not ask for it again.
TABLE = [
    Shown(
        host="inspected.example", scheme="https", status=200, issuer=INSPECTION_CA, text=(ORIGIN_TEXT,),
        point="inspector", action="open", rule=None,
    ),
    Shown(
        host="app.pin.example", scheme="https", status=200, issuer=ORIGIN_CA, text=(ORIGIN_TEXT,),
        point="dns", action="real", rule="Pinned app",
    ),
    Shown(
        host="www.inspected.example", scheme="http", status=200, issuer="", text=(ORIGIN_TEXT,),
        point="inspector", action="open", rule=None,
    ),
    Shown(
        host="pin.example", scheme="http", status=200, issuer="", text=(ORIGIN_TEXT,),
        point="dns", action="real", rule="Pinned app",
    ),
    Shown(
        host="blocked.example", scheme="https", status=403, issuer=INSPECTION_CA, text=BLOCKED_TEXT,
        point="inspector", action="block", rule="No gambling",
    ),
    Shown(
        host="blocked.example", scheme="http", status=403, issuer="", text=BLOCKED_TEXT,
        point="inspector", action="block", rule="No gambling",
    ),
    Shown(
        host="expired.example", scheme="https", status=502, issuer=INSPECTION_CA,
        text=("certificate has expired", "CN=test origins", "origin-expired"),
        point="inspector", action="open", rule=None,
    ),
]  # fmt: skip


@pytest.mark.parametrize("shown", TABLE, ids=lambda shown: f"{shown.scheme} {shown.host}")
@pytest.mark.parametrize(("browser", "client"), BROWSERS)
def test_page(browser: str, client: str, shown: Shown, world: World, request: pytest.FixtureRequest) -> None:
    it: Browser = request.getfixturevalue(browser)
    place = world.lines.now()
    page = world.space.run(it.load(f"{shown.scheme}://{shown.host}/"))
    assert (page.error, page.status, page.issuer) == ("", shown.status, shown.issuer)
    assert page.subject == (shown.host if shown.scheme == "https" else "")
    assert [words for words in shown.text if words not in page.text] == []
    source = client if shown.point == "inspector" else CLIENT
    line = world.lines.after(place, point=shown.point, client=source, host=shown.host, action=shown.action)
    assert line["rule"] == shown.rule


@pytest.mark.needs("chromium")
def test_a_browser_without_our_ca_refuses_what_is_inspected_and_shows_what_is_bypassed(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("chromium-without")
    with world.space.holding(
        chromium(folder, f"--proxy-pac-url={PAC_URL}", certificates=(origin_ca().file,))
    ) as browser:
        assert world.space.run(browser.load("https://inspected.example/")).error == "net::ERR_CERT_AUTHORITY_INVALID"
        assert world.space.run(browser.load("https://app.pin.example/")).issuer == ORIGIN_CA
