"""What the inspector refuses: a page that says why, a named reason, and an access line, compared whole."""

import asyncio
import html
import re
from dataclasses import dataclass

import pytest

from tests.wire.world import BY_DEFAULT, CLIENT, ORIGIN_TEXT, PROXY, World, check_line

pytestmark = pytest.mark.needs("unshare", "curl")

INSPECTED = "inspected.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """What is written to the explicit proxy; the first line of the page; the access line.

    action: "refuse" where the connection was not taken, the decision's where it was and failed then.
    """

    request: str
    status: int
    heading: str
    host: str
    reason: str
    action: str = "refuse"
    rule: str | None = None
    why: str = ""
    detail: str = ""


def _get(url: str) -> str:
    return f"GET {url} HTTP/1.1\r\nHost: {url.split('/')[2]}\r\nAccept: text/plain\r\n\r\n"


def _connect(authority: str) -> str:
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\nAccept: text/plain\r\n\r\n"


LOOPBACK_WHY = "this machine itself: browsers never send it to a proxy, whatever a PAC says"

REFUSED = {
    "CONNECT to a port that is not open": Refused(
        request=_connect("inspected.example:22"), status=403, heading="This port is not open: inspected.example",
        host=INSPECTED, reason="port", detail="CONNECT inspected.example:22",
    ),
    "CONNECT to ourselves": Refused(
        request=_connect("127.0.0.1:443"), status=403, heading="Not reached from here: 127.0.0.1",
        host="127.0.0.1", reason="reserved", why=LOOPBACK_WHY, detail="CONNECT 127.0.0.1:443",
    ),
    "CONNECT to the metadata of a cloud": Refused(
        request=_connect("169.254.169.254:443"), status=403, heading="Not reached from here: 169.254.169.254",
        host="169.254.169.254", reason="reserved", why="link-local addresses do not leave the wire",
        detail="CONNECT 169.254.169.254:443",
    ),
    "CONNECT to a name without a dot": Refused(
        request=_connect("intranet:443"), status=403, heading="Not reached from here: intranet",
        host="intranet", reason="reserved", why="a name without a dot is completed by the client's search list",
        detail="CONNECT intranet:443",
    ),
    "CONNECT inside": Refused(
        request=_connect("10.1.2.3:443"), status=403, heading="Not reached from here: 10.1.2.3",
        host="10.1.2.3", reason="reserved", why="an internal zone or network of the configuration",
        detail="CONNECT 10.1.2.3:443",
    ),
    "a name that leads to our own listener": Refused(
        request=_get("http://gateway.example/"), status=403, heading="Not reached from here: gateway.example",
        host="gateway.example", reason="destination", action="open", why=BY_DEFAULT, detail="GET /",
    ),
    "an origin that does not listen": Refused(
        request=_get("http://closed.example/"), status=502, heading="The site cannot be reached: closed.example",
        host="closed.example", reason="origin-unreachable", action="open", why=BY_DEFAULT, detail="GET /",
    ),
    "a public name that leads inside": Refused(
        request=_get("http://rebound.example/"), status=403, heading="Not reached from here: rebound.example",
        host="rebound.example", reason="destination", action="open", why=BY_DEFAULT, detail="GET /",
    ),
    "a blocked name": Refused(
        request=_get("http://blocked.example/x?y"), status=403, heading="This site is blocked: blocked.example",
        host="blocked.example", reason="blocked", action="block", rule="No gambling",
        why="rule 'No gambling': blocked.example", detail="GET /x?...",
    ),
    "plain, to ourselves": Refused(
        request=_get("http://127.0.0.1:8080/metrics"), status=403, heading="Not reached from here: 127.0.0.1",
        host="127.0.0.1", reason="reserved", why=LOOPBACK_WHY, detail="GET /metrics",
    ),
    "plain, to a name without a dot": Refused(
        request=_get("http://intranet/"), status=403, heading="Not reached from here: intranet",
        host="intranet", reason="reserved", why="a name without a dot is completed by the client's search list",
        detail="GET /",
    ),
    "plain, to a port of mail": Refused(
        request=_get("http://inspected.example:25/"), status=403, heading="This port is not open: inspected.example",
        host=INSPECTED, reason="port", detail="GET /",
    ),
    "a name that nobody has": Refused(
        request=_get("http://nowhere.example/"), status=502, heading="There is no such site: nowhere.example",
        host="nowhere.example", reason="name-unknown", action="open", why=BY_DEFAULT, detail="GET /",
    ),
}  # fmt: skip


async def ask(request: str, source: str = CLIENT) -> tuple[str, str]:
    """Head and body of what the explicit proxy answers before it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", 3128, local_addr=(source, 0))
    writer.write(request.encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head, body


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in REFUSED.items()])
def test_refused(case: Refused, world: World) -> None:
    place = world.lines.now()
    head, body = world.space.run(ask(case.request))
    assert head.split()[1] == str(case.status)
    assert f"Steering-Reason: {case.reason}\r\n" in head
    assert case.heading in (body if "text/plain" in head else _plain(body))
    assert case.rule is None or case.rule in body
    line = world.lines.after(place, host=case.host, reason=case.reason)
    assert len(line["id"]) == 12 and line["id"] in body
    assert line["sent"] == len(head) + 4 + len(body)
    told = line | {"id": "", "sent": 0}
    check_line(
        told, host=case.host, action=case.action, rule=case.rule, why=case.why, reason=case.reason,
        detail=case.detail, status=case.status,
    )  # fmt: skip


def _plain(page: str) -> str:
    """The title of a page, which begins with the heading."""
    title = re.search("<title>(.*)</title>", page)
    return html.unescape(title[1]) if title else ""


BAD_CERTIFICATES = {
    "expired.example": ("origin-expired", "The site's certificate has expired", "CN=test origins"),
    "wrong-name.example": ("origin-wrong-name", "The site's certificate is for another name", "other.example"),
    "stranger.example": ("origin-unknown-issuer", "Nobody we trust vouches for this site", "CN=nobody's authority"),
}


@pytest.mark.parametrize(("host", "expected"), BAD_CERTIFICATES.items(), ids=list(BAD_CERTIFICATES))
def test_an_origin_with_a_bad_certificate_is_told_inside_the_clients_tls(
    host: str, expected: tuple[str, str, str], world: World
) -> None:
    reason, title, certificate = expected
    place = world.lines.now()
    ended = world.curl("-x", PROXY, "-H", "Accept: text/plain", "-w", "%{http_code}", f"https://{host}/")
    assert ended.code == 0, ended.err
    assert f"{title}: {host}\n" in ended.out and certificate in ended.out and ended.out.endswith("502")
    line = world.lines.after(place, point="inspector", host=host)
    told = line | {"id": "", "sent": 0}
    check_line(told, host=host, action="open", why=BY_DEFAULT, reason=reason, detail="GET /", status=502)


def test_a_client_from_a_network_that_is_not_allowed(world: World) -> None:
    place = world.lines.now()
    ended = world.curl("--interface", "127.0.0.8", "-x", PROXY, "http://inspected.example/")
    assert ORIGIN_TEXT not in ended.out
    line = world.lines.after(place, point="inspector", client="127.0.0.8")
    check_line(line, client="127.0.0.8", action="refuse", reason="client", status=403)
