"""Programs of other make as clients of the running service: inspected, bypassed, and what the log says.

The access lines are compared whole, but for the time and the duration.
"""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest

from tests.wire.internet import ADDRESS, GATEWAY, HOME, files_below, offer
from tests.wire.peers import PEERS, PROXY_ADDRESS, Fetched, git_clone, git_environment
from tests.wire.world import BY_DEFAULT, INSPECTION_CA, ORIGIN_CA, ORIGIN_TEXT, PROXY, World, check_line

pytestmark = pytest.mark.needs("unshare", "curl")

INSPECTED, BYPASSED = "inspected.example", "app.pin.example"
ISSUERS = {INSPECTED: INSPECTION_CA, BYPASSED: ORIGIN_CA}


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
        check_line(line | {"sent": 0, "id": ""}, host=host, action="open", why=BY_DEFAULT, detail="GET /", status=200)


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
    first = "" if host == BYPASSED else "GET /bare.git/info/refs?..."
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
    "plain HTTP to an address": Curl(
        arguments=("-x", PROXY, f"http://{ADDRESS}/"),
        host=ADDRESS, out=f"200 1.1 {HOME_BYTES}", action="open", detail="GET /",
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
