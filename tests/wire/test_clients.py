"""Programs of other make as clients of the running service: inspected, bypassed, refused, and what the log says.

The access lines are compared whole, but for the time and the duration.
"""

import asyncio
import html
import re
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.wire.internet import GATEWAY, HOME, files_below, offer
from tests.wire.peers import PEERS, PROXY_ADDRESS, Fetched, git_clone, git_environment
from tests.wire.world import CLIENT, INSPECTION_CA, ORIGIN_CA, PROXY, World, check_line

pytestmark = pytest.mark.needs("unshare", "curl")

ORIGIN_TEXT = "This is the origin."
INSPECTED, BYPASSED = "inspected.example", "app.pin.example"
ISSUERS = {INSPECTED: INSPECTION_CA, BYPASSED: ORIGIN_CA}
BY_DEFAULT = "no rule matches: inspected by default"


NEEDS = {"requests": "curl"}  # a package of the test suite itself


@pytest.mark.parametrize("host", ISSUERS)
@pytest.mark.parametrize("peer", [pytest.param(p, marks=pytest.mark.needs(NEEDS.get(p, p))) for p in PEERS])
def test_fetch(peer: str, host: str, world: World) -> None:
    place = world.lines.now()
    fetched = PEERS[peer](world, host)
    assert fetched.issuer == ISSUERS[host]
    assert ORIGIN_TEXT in fetched.text
    line = world.lines.after(place, point="inspector", host=host, detail="" if host == BYPASSED else "GET /")
    if host == BYPASSED:
        # What a tunnel carries is counted with the TLS around it, and differs by library.
        assert line.pop("sent") > 500 and line.pop("received") > 200
        carried = {"sent": 0, "received": 0}
        check_line(line | carried, host=host, action="tunnel", rule="Pinned app", why="rule 'Pinned app': pin.example")
    else:
        sent = line.pop("sent")
        assert sent > len(ORIGIN_TEXT)
        check_line(line | {"sent": 0}, host=host, action="open", why=BY_DEFAULT, detail="GET /", status=200)


@pytest.mark.needs("git")
@pytest.mark.parametrize("host", ISSUERS)
def test_git_clone(host: str, world: World, tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    for command in (
        ("init", "-q", "-b", "main", "work"),
        ("-C", "work", "-c", "user.name=a", "-c", "user.email=a@a.example", "commit", "-q", "--allow-empty", "-m", "1"),
        ("clone", "-q", "--bare", "work", str(bare)),
        ("-C", str(bare), "update-server-info"),
    ):
        ended = world.command("git", *command, folder=tmp_path, environment=git_environment(world))
        assert ended.code == 0, ended.err
    offer(world.origin, files_below(bare, "/bare.git"))
    place = world.lines.now()
    assert git_clone(world, host, "/bare.git", tmp_path / "clone") == Fetched(issuer=ISSUERS[host], text="1\n")
    first = "" if host == BYPASSED else "GET /bare.git/info/refs?service=git-upload-pack"
    world.lines.after(place, point="inspector", host=host, detail=first)


@dataclass(frozen=True, slots=True, kw_only=True)
class Curl:
    """One way to use curl.  out: what ``-w`` prints after the body.  action, detail: in the access line."""

    arguments: tuple[str, ...]
    host: str
    out: str
    action: str
    detail: str = ""


_WRITE = ("-w", "%{http_code} %{http_version} %{size_download}", "-o", "/dev/null")
HOME_BYTES = len(HOME)

CURLS = {
    "plain HTTP": Curl(
        arguments=("-x", PROXY, "http://inspected.example/"),
        host=INSPECTED, out=f"200 1.1 {HOME_BYTES}", action="open", detail="GET /",
    ),
    "plain HTTP, bypassed": Curl(
        arguments=("-x", PROXY, "http://app.pin.example/"),
        host=BYPASSED, out=f"200 1.1 {HOME_BYTES}", action="tunnel", detail="GET /",
    ),
    "HTTP/1.0": Curl(
        arguments=("--http1.0", "-x", PROXY, "http://inspected.example/"),
        host=INSPECTED, out=f"200 1.1 {HOME_BYTES}", action="open", detail="GET /",
    ),
    "HTTP/1.0 inside TLS": Curl(
        arguments=("--http1.0", "--no-alpn", "-x", PROXY, "https://inspected.example/"),
        host=INSPECTED, out=f"200 1.1 {HOME_BYTES}", action="open", detail="GET /",
    ),
    "CONNECT by HTTP/1.0": Curl(
        arguments=("--proxy1.0", PROXY_ADDRESS, "https://inspected.example/"),
        host=INSPECTED, out=f"200 1.1 {HOME_BYTES}", action="open", detail="GET /",
    ),
    "HTTP/2 offered, inspected": Curl(
        arguments=("--http2", "-x", PROXY, "https://inspected.example/"),
        host=INSPECTED, out=f"200 1.1 {HOME_BYTES}", action="open", detail="GET /",
    ),
    "HTTP/2 offered, bypassed": Curl(
        arguments=("--http2", "-x", PROXY, "https://app.pin.example/"),
        host=BYPASSED, out=f"200 1.1 {HOME_BYTES}", action="tunnel",
    ),
    "tunnel forced": Curl(
        arguments=("-p", "-x", PROXY, "https://inspected.example/"),
        host=INSPECTED, out=f"200 1.1 {HOME_BYTES}", action="open", detail="GET /",
    ),
    "HEAD": Curl(
        arguments=("-I", "-x", PROXY, "https://inspected.example/"),
        host=INSPECTED, out="200 1.1 0", action="open", detail="HEAD /",
    ),
    "by the resolver, TLS": Curl(
        arguments=("--noproxy", "*", "https://inspected.example/"),
        host=INSPECTED, out=f"200 1.1 {HOME_BYTES}", action="open", detail="GET /",
    ),
    "by the resolver, plain": Curl(
        arguments=("--noproxy", "*", "http://inspected.example/"),
        host=INSPECTED, out=f"200 1.1 {HOME_BYTES}", action="open", detail="GET /",
    ),
    "transparent, bypassed all the same": Curl(
        # Somebody who still holds an old answer of the resolver.
        arguments=("--resolve", f"app.pin.example:443:{GATEWAY}", "https://app.pin.example/"),
        host=BYPASSED, out=f"200 1.1 {HOME_BYTES}", action="tunnel",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CURLS.values(), ids=list(CURLS))
def test_curl(case: Curl, world: World) -> None:
    place = world.lines.now()
    ended = world.curl(*_WRITE, *case.arguments)
    assert (ended.code, ended.out) == (0, case.out), ended.err
    line = world.lines.after(place, point="inspector", host=case.host, action=case.action, detail=case.detail)
    assert line["reason"] == ""


@pytest.mark.xfail(reason="a client that offers http/1.0 alone is refused as if it offered no HTTP/1")
def test_http_1_0_in_alpn(world: World) -> None:
    place = world.lines.now()
    ended = world.curl(*_WRITE, "--http1.0", "-x", PROXY, "https://inspected.example/")
    world.lines.after(place, point="inspector", host=INSPECTED)
    assert (ended.code, ended.out) == (0, f"200 1.1 {HOME_BYTES}")


@pytest.mark.parametrize("host", ISSUERS)
def test_upload_that_waits_for_100_continue(host: str, world: World, tmp_path: Path) -> None:
    body = bytes(range(256)) * 8192
    file = tmp_path / "upload"
    file.write_bytes(body)
    place = world.lines.now()
    ended = world.curl(
        "-v", "-x", PROXY, "-T", str(file), "-H", "Expect: 100-continue", "--expect100-timeout", "20",
        f"https://{host}/digest",
    )  # fmt: skip
    assert ended.out == sha256(body).hexdigest()
    assert "HTTP/1.1 100 Continue" in ended.err
    line = world.lines.after(place, point="inspector", host=host, detail="" if host == BYPASSED else "PUT /digest")
    assert line["received"] >= len(body)


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


LOOPBACK_WHY = "loopback: browsers never send it to a proxy, whatever a PAC says"

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
        request=_get("http://rebound.example/"), status=502,
        heading="The site's name could not be looked up: rebound.example",
        host="rebound.example", reason="name-failed", action="open", why=BY_DEFAULT, detail="GET /",
    ),
    "a blocked name": Refused(
        request=_get("http://blocked.example/x?y"), status=403, heading="This site is blocked: blocked.example",
        host="blocked.example", reason="blocked", action="block", rule="No gambling",
        why="rule 'No gambling': blocked.example", detail="GET /x?y",
    ),
}  # fmt: skip


# Not so yet: the line and the page lack the host of a plain request that is refused before it is sent on, and a name
# that does not exist is told as one that could not be looked up.
NOT_YET = {
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


@pytest.mark.parametrize(
    "case",
    [
        *(pytest.param(case, id=name) for name, case in REFUSED.items()),
        *(pytest.param(case, id=name, marks=pytest.mark.xfail(reason="see NOT_YET")) for name, case in NOT_YET.items()),
    ],
)
def test_refused(case: Refused, world: World) -> None:
    place = world.lines.now()
    head, body = world.space.run(ask(case.request))
    assert head.split()[1] == str(case.status)
    assert f"Steering-Reason: {case.reason}\r\n" in head
    assert case.heading in (body if "text/plain" in head else _plain(body))
    assert case.rule is None or case.rule in body
    line = world.lines.after(place, host=case.host, reason=case.reason)
    check_line(
        line, host=case.host, action=case.action, rule=case.rule, why=case.why, reason=case.reason,
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
    check_line(line, host=host, action="open", why=BY_DEFAULT, reason=reason, detail="GET /", status=502)


def test_a_client_from_a_network_that_is_not_allowed(world: World) -> None:
    place = world.lines.now()
    ended = world.curl("--interface", "127.0.0.8", "-x", PROXY, "http://inspected.example/")
    assert ORIGIN_TEXT not in ended.out
    line = world.lines.after(place, point="inspector", client="127.0.0.8")
    check_line(line, client="127.0.0.8", action="refuse", reason="client", status=403)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hello:
    """openssl s_client straight to the transparent listener.  words: of it, when it is refused or connected."""

    arguments: tuple[str, ...]
    words: str
    host: str
    action: str
    reason: str = ""


HELLOS = {
    "inspected": Hello(
        arguments=("-servername", INSPECTED), words=f"issuer=O = Steering, CN = {INSPECTION_CA}",
        host=INSPECTED, action="open",
    ),
    "bypassed": Hello(
        arguments=("-servername", BYPASSED), words=f"issuer=CN = {ORIGIN_CA}", host=BYPASSED, action="tunnel",
    ),
    "without SNI": Hello(
        arguments=("-noservername",), words="unrecognized name", host="", action="refuse", reason="no-sni",
    ),
    "HTTP/2 alone": Hello(
        arguments=("-servername", INSPECTED, "-alpn", "h2"), words="no application protocol",
        host=INSPECTED, action="refuse", reason="no-http1",
    ),
    "HTTP/2 alone, bypassed": Hello(
        arguments=("-servername", BYPASSED, "-alpn", "h2"), words=f"issuer=CN = {ORIGIN_CA}",
        host=BYPASSED, action="tunnel",
    ),
    "a reserved name": Hello(
        arguments=("-servername", "resolver.arpa"), words="access denied",
        host="resolver.arpa", action="refuse", reason="reserved",
    ),
}  # fmt: skip


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("case", HELLOS.values(), ids=list(HELLOS))
def test_transparent_tls(case: Hello, world: World) -> None:
    place = world.lines.now()
    request = b"GET /transparent HTTP/1.1\r\nHost: inspected.example\r\nConnection: close\r\n\r\n"
    ended = world.command(
        "openssl", "s_client", "-connect", f"{GATEWAY}:443", "-CAfile", world.both_cas, "-ign_eof", *case.arguments,
        given=request,
    )  # fmt: skip
    assert case.words in ended.out + ended.err
    found = {"client": GATEWAY, "host": case.host, "action": case.action, "reason": case.reason}
    world.lines.after(place, point="inspector", **found)
