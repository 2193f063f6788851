"""What the control service serves over TCP, byte for byte where it matters."""

import asyncio
import gzip
import json
import plistlib
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from steering.control.openapi import OPENAPI
from steering.control.web import SECURITY_HEADERS
from tests.control.rigs import WebRig, enforced_of, web_rig

PAC = "application/x-ns-proxy-autoconfig"
JSON = "application/json; charset=utf-8"
TEXT = "text/plain; charset=utf-8"

# By the requester's address, and by a group that a token claims.
SOURCES = [
    {"name": "office", "source": ["127.0.0.2"], "domains": ["office.example"]},
    {"name": "sales", "source": ["group:sales"], "domains": ["sales.example"]},
    {"name": "all", "domains": ["all.example"]},
]
GROUPS = {"sales": {"networks": ["192.0.2.0/24"], "users": []}, "10/8": {"networks": ["10.0.0.0/8"], "users": []}}

# Path -> code and content type, with a policy in force.
PATHS: dict[str, tuple[int, str]] = {
    "/proxy.pac": (200, PAC),
    "/proxy.pac?x=1": (200, PAC),
    "/wpad.dat": (200, PAC),
    "/wpad.dat?": (200, PAC),
    "/wpad.dat%00": (200, PAC),
    "/wpad.da": (200, PAC),
    "/wpad.d": (404, TEXT),
    "/WPAD.DAT": (404, TEXT),
    "//proxy.pac": (404, TEXT),
    "/p/none/proxy.pac": (404, TEXT),
    "/p//proxy.pac": (404, TEXT),
    "/p/proxy.pac": (404, TEXT),
    "/p/none": (404, TEXT),
    "/ca.pem": (200, "application/x-pem-file"),
    "/ca.crt": (200, "application/x-x509-ca-cert"),
    "/ca.crl": (200, "application/pkix-crl"),
    "/ca.mobileconfig": (200, "application/x-apple-aspen-config"),
    "/ca.key": (404, TEXT),
    "/ca/ca.key": (404, TEXT),
    "/../ca/ca.key": (404, TEXT),
    "/healthz": (200, JSON),
    "/readyz": (200, JSON),
    "/metrics": (200, "text/plain; version=1.0.0; charset=utf-8"),
    "/api/v1/openapi.json": (200, JSON),
    "/api/v1/status": (200, JSON),
    "/api/v1/rules": (404, TEXT),
    "/status": (404, TEXT),
    "/reload": (404, TEXT),
    "/tokens": (404, TEXT),
    "/": (200, "text/html; charset=utf-8"),
}
OPEN_TO_ANY_HOST = ("/proxy.pac", "/wpad.dat", "/ca.pem", "/ca.crt", "/ca.crl", "/healthz", "/readyz")
HELD_TO_OUR_NAMES = ("/", "/metrics", "/api/v1/status", "/api/v1/openapi.json", "/nothing")


@dataclass
class Answer:
    status: int
    fields: dict[str, str]
    body: bytes


async def ask(
    rig: WebRig, path: str, fields: Mapping[str, str] | None = None, method: str = "GET", source: str = "127.0.0.1"
) -> Answer:
    """A request as written, from ``source``; nothing is decoded."""
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port, local_addr=(source, 0))
    given = {"Host": f"127.0.0.1:{rig.port}", "Connection": "close"} | dict(fields or {})
    lines = "".join(f"{name}: {value}\r\n" for name, value in given.items())
    writer.write(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode("latin-1"))
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    status, *found = head.decode("latin-1").split("\r\n")
    split = [line.partition(": ") for line in found]
    return Answer(int(status.split()[1]), {name.lower(): value for name, _, value in split}, body)


@asynccontextmanager
async def ready(folder: Path) -> AsyncIterator[WebRig]:
    async with web_rig(folder, enforced_of(SOURCES, groups=GROUPS)) as rig:
        yield rig


async def test_every_path(tmp_path: Path) -> None:
    async with ready(tmp_path) as rig:
        found = {path: await ask(rig, path) for path in PATHS}
    assert {path: (a.status, a.fields["content-type"]) for path, a in found.items()} == PATHS
    for path, answer in found.items():
        assert SECURITY_HEADERS.items() <= {n: answer.fields.get(n.lower()) for n in SECURITY_HEADERS}.items(), path
        assert int(answer.fields["content-length"]) == len(answer.body), path


async def test_head_is_get_without_the_body(tmp_path: Path) -> None:
    async with ready(tmp_path) as rig:
        for path in PATHS:
            get, head = await ask(rig, path), await ask(rig, path, method="HEAD")
            changing = {"date", "content-length"} if path == "/metrics" else {"date"}
            assert head.body == b"" and head.status == get.status, path
            assert {k: v for k, v in head.fields.items() if k not in changing} == {
                k: v for k, v in get.fields.items() if k not in changing
            }, path


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
async def test_nothing_else_is_asked_of_it(tmp_path: Path, method: str) -> None:
    async with ready(tmp_path) as rig:
        answers = [await ask(rig, path, method=method) for path in ("/proxy.pac", "/", "/tokens", "/nothing")]
    assert {(a.status, a.fields["allow"]) for a in answers} == {(405, "GET, HEAD")}


async def test_etag_and_304(tmp_path: Path) -> None:
    async with ready(tmp_path) as rig:
        first = await ask(rig, "/proxy.pac")
        tag = first.fields["etag"]
        for asked in (tag, f"W/{tag}", f'"x", {tag}', "*"):
            again = await ask(rig, "/wpad.dat", {"If-None-Match": asked})
            assert (again.status, again.body, again.fields["etag"]) == (304, b"", tag), asked
        for asked in ('"x"', tag.strip('"'), ""):
            assert (await ask(rig, "/proxy.pac", {"If-None-Match": asked})).status == 200, asked
    assert first.fields["cache-control"] == "private, max-age=300"
    assert first.fields["vary"] == "Accept-Encoding"


async def test_gzip_where_it_is_taken(tmp_path: Path) -> None:
    async with ready(tmp_path) as rig:
        plain = await ask(rig, "/proxy.pac")
        for accepted in ("gzip", "gzip, deflate, br, zstd", "GZIP", "br;q=1.0, gzip;q=0.8", "gzip;q=0.01"):
            zipped = await ask(rig, "/proxy.pac", {"Accept-Encoding": accepted})
            assert zipped.fields.get("content-encoding") == "gzip", accepted
            assert gzip.decompress(zipped.body) == plain.body
            assert zipped.fields["etag"] != plain.fields["etag"]
        for accepted in ("", "br", "gzip;q=0", "gzip; q=0.000", "identity", "xgzip"):
            answer = await ask(rig, "/proxy.pac", {"Accept-Encoding": accepted})
            assert "content-encoding" not in answer.fields and answer.body == plain.body, accepted
        tag = zipped.fields["etag"]
        again = await ask(rig, "/proxy.pac", {"Accept-Encoding": "gzip", "If-None-Match": tag})
        assert again.status == 304


async def test_who_asks_is_the_peers_address(tmp_path: Path) -> None:
    async with ready(tmp_path) as rig:
        office = await ask(rig, "/proxy.pac", source="127.0.0.2")
        other = await ask(rig, "/proxy.pac", source="127.0.0.3")
        forged = {
            "X-Forwarded-For": "127.0.0.2",
            "Forwarded": "for=127.0.0.2",
            "X-Real-IP": "127.0.0.2",
            "Client-IP": "127.0.0.2",
            "True-Client-IP": "127.0.0.2",
        }
        liar = await ask(rig, "/proxy.pac", forged, source="127.0.0.3")
    assert b"office" in office.body and b"office" not in other.body
    assert liar.body == other.body
    assert all(b"all" in answer.body for answer in (office, other))


async def test_a_token_claims_its_group_and_no_address(tmp_path: Path) -> None:
    async with ready(tmp_path) as rig:
        token = rig.tokens.add("sales")
        path = f"/p/{token}/proxy.pac"
        for source in ("127.0.0.2", "127.0.0.3"):
            answer = await ask(rig, path, source=source)
            assert answer.status == 200 and b"sales" in answer.body and b"office" not in answer.body
        rig.tokens.revoke("sales")
        assert (await ask(rig, path)).status == 404
        gone = rig.tokens.add("a group that the rules no longer have")
        assert (await ask(rig, f"/p/{gone}/proxy.pac")).status == 404


async def test_before_a_policy_is_enforced(tmp_path: Path) -> None:
    async with web_rig(tmp_path) as rig:
        token = rig.tokens.add("sales")
        paths = ("/proxy.pac", "/wpad.dat", f"/p/{token}/proxy.pac", "/p/none/proxy.pac", "/readyz")
        answers = [await ask(rig, path) for path in paths]
        assert [a.status for a in answers] == [503] * 5
        assert json.loads(answers[-1].body) == {"status": "starting", "revision": "", "error": None}
        assert (await ask(rig, "/healthz")).status == 200
        assert (await ask(rig, "/ca.pem")).status == 200


async def test_degraded_is_ready_and_says_where_and_not_what(tmp_path: Path) -> None:
    async with ready(tmp_path) as rig:
        rig.status.state, rig.status.error, rig.status.summary = "degraded", "secret.example is ...", "rules.json:3:5"
        for path in ("/readyz", "/api/v1/status"):
            answer = await ask(rig, path)
            assert answer.status == 200
            assert json.loads(answer.body) == {"status": "degraded", "revision": "r1", "error": "rules.json:3:5"}


async def test_the_page_and_the_api_answer_to_our_names_alone(tmp_path: Path) -> None:
    """DNS rebinding: a page of evil.example whose name was pointed at us may not read them."""
    async with ready(tmp_path) as rig:
        for host in (
            "evil.example",
            "evil.example:8080",
            "steering.example.evil.example",
            "",
            "127.0.0.1.evil.example",
        ):
            assert {(await ask(rig, path, {"Host": host})).status for path in HELD_TO_OUR_NAMES} == {421}, host
            assert {(await ask(rig, path, {"Host": host})).status for path in OPEN_TO_ANY_HOST} == {200}, host
        for host in ("steering.example", "STEERING.example:80", "localhost:1", "127.0.0.1", "[::1]:8080", "[::1]"):
            assert (await ask(rig, "/", {"Host": host})).status == 200, host
        rig.served.hosts = frozenset({"steering.example"})
        for host, expected in (("127.0.0.1:8080", 200), ("127.0.0.2:8080", 421), ("localhost", 421), ("", 421)):
            assert (await ask(rig, "/metrics", {"Host": host})).status == expected, host


async def test_no_cookie_and_no_cors(tmp_path: Path) -> None:
    async with ready(tmp_path) as rig:
        for path in ("/", "/proxy.pac", "/api/v1/status", "/metrics"):
            fields = (await ask(rig, path, {"Origin": "https://evil.example"})).fields
            assert not [name for name in fields if name.startswith("access-control") or name == "set-cookie"], path


async def test_too_much_is_refused(tmp_path: Path) -> None:
    async with ready(tmp_path) as rig:
        assert (await ask(rig, "/" + "x" * 20_000)).status == 400
        assert (await ask(rig, "/", {"X": "y" * 20_000})).status == 400


@pytest.mark.needs("openssl")
async def test_the_ca_in_all_its_forms(tmp_path: Path) -> None:
    async with ready(tmp_path) as rig:
        pem, der, crl, profile = [
            (await ask(rig, path)).body for path in ("/ca.pem", "/ca.crt", "/ca.crl", "/ca.mobileconfig")
        ]
        disposition = (await ask(rig, "/ca.crt")).fields["content-disposition"]
    assert disposition == 'attachment; filename="steering-ca.crt"'
    (tmp_path / "pem").write_bytes(pem)

    async def openssl(*arguments: str, given: bytes = b"") -> str:
        done = await asyncio.to_thread(
            subprocess.run, ["openssl", *arguments], input=given, capture_output=True, check=True
        )
        return (done.stdout + done.stderr).decode()

    assert await openssl("x509", "-in", str(tmp_path / "pem"), "-outform", "PEM") == pem.decode()
    assert await openssl("x509", "-inform", "DER", "-outform", "PEM", given=der) == pem.decode()
    shown = await openssl("crl", "-inform", "DER", "-noout", "-text", "-CAfile", str(tmp_path / "pem"), given=crl)
    assert "verify OK" in shown and "No Revoked Certificates" in shown
    payload = plistlib.loads(profile)["PayloadContent"][0]
    assert (payload["PayloadType"], payload["PayloadContent"]) == ("com.apple.security.root", der)
    assert b"PRIVATE" not in pem + der + crl + profile


def openapi_paths() -> dict[str, dict[str, object]]:
    paths = OPENAPI["paths"]
    assert isinstance(paths, dict)
    return paths


async def test_openapi_describes_what_is_served(tmp_path: Path) -> None:
    """Every path and content type of it; what WPAD clients mangle is /wpad.dat."""
    mangled = {"/wpad.dat%00", "/wpad.da", "/wpad.dat?", "/proxy.pac?x=1"}
    served = {path for path, (status, _) in PATHS.items() if status == 200} - mangled
    described = openapi_paths()
    assert served == set(described) - {"/p/{token}/proxy.pac"}
    for path in served:
        content = described[path]["get"]["responses"]["200"]["content"]  # type: ignore[index]
        assert list(content) == [PATHS[path][1].partition(";")[0]], path
    async with ready(tmp_path) as rig:
        assert json.loads((await ask(rig, "/api/v1/openapi.json")).body) == OPENAPI
