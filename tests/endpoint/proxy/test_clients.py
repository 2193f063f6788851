"""Programs of others through the local proxy: curl, Python requests, openssl and Chromium.

Also real programs behind a real identifier: the same file under two names.
"""

import asyncio
import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from steering.endpoint.identify.linux import open_linux
from tests.endpoint.proxy.rig import Named, Rig, running
from tests.inspector.origin import origin_ca
from tests.wire.chromium import chromium

ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}


async def run(*arguments: str | Path, given: bytes = b"") -> tuple[int, str, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *map(str, arguments), stdin=pipe, stdout=pipe, stderr=pipe, env=ENVIRONMENT
    )
    try:
        async with asyncio.timeout(40):
            out, err = await process.communicate(given)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    return process.returncode or 0, out.decode(errors="replace"), err.decode(errors="replace")


async def curl(*arguments: str | Path) -> str:
    code, out, err = await run("curl", "-sS", "--noproxy", "", "--cacert", origin_ca().file, *arguments)
    assert code == 0, err
    return out


def _forms(rig: Rig) -> dict[str, Sequence[str]]:
    return {
        "proxy": ("-x", rig.url),
        "tunnel": ("-p", "-x", rig.url),
        "socks5h": ("--socks5-hostname", f"127.0.0.1:{rig.port}"),
    }


@pytest.mark.needs("curl")
@pytest.mark.parametrize("host", ["pin.example", "www.example"])
@pytest.mark.parametrize("form", ["proxy", "tunnel", "socks5h"])
async def test_curl_over_tls(host: str, form: str) -> None:
    async with running() as rig:
        out = await curl(*_forms(rig)[form], f"https://{host}:{rig.tls.port}/hello")
        assert out == "hello\n"
        (line,) = await rig.settled()
        assert (line.host, line.effect) == (host, "direct" if host == "pin.example" else "proxy")


@pytest.mark.needs("curl")
async def test_curl_that_resolves_for_itself_is_decided_by_sni() -> None:
    async with running() as rig:
        out = await curl(
            "--socks5", f"127.0.0.1:{rig.port}", "--resolve", f"pin.example:{rig.tls.port}:192.0.2.1",
            f"https://pin.example:{rig.tls.port}/hello",
        )  # fmt: skip
        assert (out, rig.resolved) == ("hello\n", ["pin.example"])


@pytest.mark.needs("curl")
@pytest.mark.parametrize("host", ["pin.example", "www.example"])
@pytest.mark.parametrize("form", ["proxy", "socks5h"])
async def test_curl_by_plain_http(host: str, form: str, tmp_path: Path) -> None:
    upload = tmp_path / "upload"
    upload.write_bytes(os.urandom(300_000))
    async with running() as rig:
        how = _forms(rig)[form]
        base = f"http://{host}:{rig.plain.port}"
        assert await curl(*how, f"{base}/hello") == "hello\n"
        assert await curl(*how, "--data", "a=b", f"{base}/echo") == "a=b"
        assert await curl(*how, "-H", "Transfer-Encoding: chunked", "--data", "x" * 100, f"{base}/echo") == "x" * 100
        assert await curl(*how, f"{base}/chunked") == "hello\n"
        await curl(*how, "--data-binary", f"@{upload}", f"{base}/echo", "-o", tmp_path / "echoed")
        assert (tmp_path / "echoed").read_bytes() == upload.read_bytes()
        # Two requests by one curl: the first connection is not used again.
        assert await curl(*how, f"{base}/hello", f"{base}/hello") == "hello\nhello\n"
        await rig.settled(7)
        assert {line.effect for line in rig.lines} == {"direct" if host == "pin.example" else "proxy"}


@pytest.mark.needs("curl")
async def test_curl_is_told_why_it_is_refused() -> None:
    rules = [{"name": "dead", "domains": ["dead.example"]}]
    async with running(rules=rules) as rig:
        out = await curl("-x", rig.url, "http://dead.example/")
        assert "its address could not be found" in out


_REQUESTS = """
import sys, requests
session = requests.Session()
session.trust_env = False
session.proxies = {"http": sys.argv[1], "https": sys.argv[1]}
session.verify = sys.argv[2]
for url in sys.argv[3:]:
    print(session.post(url, data="hello", timeout=20).text, end=";")
"""


async def test_requests() -> None:
    async with running() as rig:
        urls = [
            f"{scheme}://{host}:{port}/echo"
            for scheme, port in (("http", rig.plain.port), ("https", rig.tls.port))
            for host in ("pin.example", "www.example", "pin.example")
        ]
        code, out, err = await run(sys.executable, "-c", _REQUESTS, rig.url, origin_ca().file, *urls)
        assert (code, out) == (0, "hello;" * 6), err
        assert not rig.inspector.errors


@pytest.mark.needs("openssl")
@pytest.mark.parametrize("host", ["pin.example", "www.example"])
async def test_openssl(host: str) -> None:
    async with running() as rig:
        _, out, err = await run(
            "openssl", "s_client", "-proxy", f"127.0.0.1:{rig.port}", "-connect", f"{host}:{rig.tls.port}",
            "-servername", host, "-CAfile", origin_ca().file, "-verify_return_error", "-ign_eof",
            given=f"GET /until-close HTTP/1.1\r\nHost: {host}\r\n\r\n".encode(),
        )  # fmt: skip
        assert "Verify return code: 0 (ok)" in out, err
        assert "until the end" in out


@pytest.mark.needs("chromium", "certutil")
async def test_chromium_by_the_local_pac(tmp_path: Path) -> None:
    async with running() as rig:
        rig.inspector.forward["www.example"] = rig.tls.port
        pac = f"--proxy-pac-url={rig.url}/proxy.pac"
        async with chromium(tmp_path, pac, certificates=(origin_ca().file,)) as browser:
            for host in ("pin.example", "www.example"):
                page = await browser.load(f"https://{host}:{rig.tls.port}/hello")
                assert (page.status, page.text.strip()) == (200, "hello"), page
            page = await browser.load(f"http://pin.example:{rig.plain.port}/hello")
            assert (page.status, page.text.strip()) == (200, "hello"), page
        await rig.settled(3)
        assert {(line.host, line.effect) for line in rig.lines if line.host.endswith(".example")} == {
            ("pin.example", "direct"),
            ("www.example", "proxy"),
        }


_FETCH = """
import json, socket, ssl, sys
port, origin, host, file, version = sys.argv[1:]
family = {"v4": socket.AF_INET, "mapped": socket.AF_INET6, "v6": socket.AF_INET6}[version]
sock = socket.socket(family)
sock.connect(({"v4": "127.0.0.1", "mapped": "::ffff:127.0.0.1", "v6": "::1"}[version], int(port)))
sock.sendall(f"CONNECT {host}:{origin} HTTP/1.1\\r\\n\\r\\n".encode())
assert sock.recv(1000).startswith(b"HTTP/1.1 200")
tls = ssl.create_default_context(cafile=file).wrap_socket(sock, server_hostname=host)
tls.sendall(f"GET /until-close HTTP/1.1\\r\\nHost: {host}\\r\\n\\r\\n".encode())
body = b""
while data := tls.recv(1000):
    body += data
print(json.dumps(body.decode()))
"""


@pytest.mark.needs("root", "linux")
@pytest.mark.parametrize("version", ["v4", "mapped", "v6"])
async def test_the_same_file_under_two_names(version: str, tmp_path: Path) -> None:
    """By a real identifier: the name that a rule speaks of goes direct, the other does not."""
    from tests.endpoint.proxy.rig import bound

    interpreter = Path(sys.executable).resolve()
    six = bound("::1")
    identifier = open_linux()
    try:
        async with running(identifier=identifier, more=[six]) as rig:
            port = six.getsockname()[1] if version == "v6" else rig.port
            for name in ("slack", "slacker"):
                program = tmp_path / name
                shutil.copy(interpreter, program)
                ENVIRONMENT["PYTHONHOME"] = sys.base_prefix
                try:
                    code, out, err = await run(
                        program, "-c", _FETCH, str(port), str(rig.tls.port), "app.example", origin_ca().file, version
                    )
                finally:
                    del ENVIRONMENT["PYTHONHOME"]
                assert code == 0, err
                assert "until the end" in json.loads(out)
            await rig.settled(2)
            assert [(line.program, line.effect, line.rule) for line in rig.lines] == [
                ("slack", "direct", "slack"),
                ("slacker", "proxy", None),
            ]
            assert [asked.claims.program.names for asked in rig.inspector.asked] == [("slacker",)]  # type: ignore[union-attr]
    finally:
        identifier.close()


def test_the_rig_says_who_it_is_told() -> None:
    assert Named().notes == ()
