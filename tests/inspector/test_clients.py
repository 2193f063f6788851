"""Real clients through the inspector: curl, openssl, Python's requests, node, git; and large bodies at flat memory."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from steering_inspector.settings import Limits
from tests.inspector.clients import Rig, running, until
from tests.inspector.origin import Head, inspector_ca, origin_ca, whole

# Raise to 5368709120 (5 GB) for a soak; CI streams enough to tell flat from growing.
BIG = int(os.environ.get("STEERING_TEST_BIG_BYTES", str(256 * 1024 * 1024)))


async def run(
    *command: str, give: bytes | None = None, timeout_s: float = 100, **environment: str
) -> tuple[int, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=subprocess.DEVNULL if give is None else subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},  # no proxy or CA settings of whoever runs this
    )
    async with asyncio.timeout(timeout_s):
        out, err = await process.communicate(give)
    assert process.returncode is not None
    return process.returncode, out, err


async def curl(rig: Rig, url: str, *more: str, trust: Path | None = None) -> tuple[int, bytes, bytes]:
    ca = str(trust or inspector_ca().file)
    return await run("curl", "-sS", "-x", rig.proxy, "--cacert", ca, *more, url)


async def test_curl_opens_tunnels_and_forwards() -> None:
    async with running() as rig:
        assert await curl(rig, rig.url("www.example")) == (0, b"hello\n", b"")
        assert (await curl(rig, rig.url("pinned.example"), trust=origin_ca().file))[:2] == (0, b"hello\n")
        assert (await curl(rig, rig.url("pinned.example")))[0] == 60
        assert (await curl(rig, rig.url("blocked.example"), "-o", "/dev/null", "-w", "%{http_code}"))[1] == b"403"
        assert (await curl(rig, f"http://www.example:{rig.plain.port}/hello"))[1] == b"hello\n"
        code, out, _ = await curl(rig, rig.url("www.example", "/echo"), "-d", "a" * 5000)
        assert (code, out) == (0, b"a" * 5000)
        code, out, _ = await curl(rig, rig.url("www.example", "/echo"), "-H", "Transfer-Encoding: chunked", "-d", "abc")
        assert (code, out) == (0, b"abc")
        code, out, _ = await curl(rig, rig.url("www.example"), "-I")
        assert code == 0 and b"Content-Length: 6" in out


async def test_a_curl_that_does_not_trust_us_says_why_by_an_alert() -> None:
    async with running() as rig:
        assert (await curl(rig, rig.url("www.example"), trust=origin_ca().file))[0] == 60
        await until(lambda: bool(rig.failures))
        (failure,) = rig.failures
        assert (failure.sni, failure.alert) == ("www.example", "TLSV1_ALERT_UNKNOWN_CA")


async def test_curl_pinning_a_key_leaves_evidence() -> None:
    pin = "sha256//AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="
    async with running() as rig:
        assert (await curl(rig, rig.url("www.example"), "--pinnedpubkey", pin))[0] == 90
        await until(lambda: bool(rig.failures))
        assert [(f.sni, f.alert) for f in rig.failures] == [("www.example", "CLOSED-UNUSED")]


async def test_openssl_by_sni_sees_a_leaf_for_just_that_name() -> None:
    async with running() as rig:
        code, out, _ = await run(
            "openssl", "s_client", "-connect", f"127.0.0.1:{rig.tls}", "-servername", "www.example", "-quiet",
            "-verify_return_error", "-verify_hostname", "www.example", "-CAfile", str(inspector_ca().file),
            give=b"GET /hello HTTP/1.1\r\nHost: www.example\r\nConnection: close\r\n\r\n",
        )  # fmt: skip
        assert out.endswith(b"hello\n"), (code, out)


@pytest.mark.parametrize(
    ("arguments", "reason", "alert"),
    [
        (("-servername", "www.example", "-alpn", "h2"), "no-http1", b"no application protocol"),
        (("-noservername",), "no-sni", b"unrecognized name"),
        (("-servername", "mask.icloud.com"), "reserved", b"access denied"),
    ],
)
async def test_what_cannot_be_opened_is_refused_by_an_alert(
    arguments: tuple[str, ...], reason: str, alert: bytes
) -> None:
    async with running() as rig:
        _, _, err = await run("openssl", "s_client", "-connect", f"127.0.0.1:{rig.tls}", *arguments)
        assert alert in err
        (line,) = await rig.settled()
        assert (line.effect, line.reason) == ("refuse", reason)


async def test_requests_keeps_a_session() -> None:
    script = (
        "import requests, sys\n"
        "s = requests.Session(); s.proxies = {'https': sys.argv[1]}; s.verify = sys.argv[2]\n"
        "for _ in range(3): print(s.get(sys.argv[3]).text, end='')\n"
        "print(s.post(sys.argv[3].replace('hello', 'echo'), data=iter([b'a', b'b'])).text)\n"
    )
    async with running() as rig:
        _, out, err = await run(
            sys.executable,
            "-W", "ignore", "-c", script, rig.proxy, str(inspector_ca().file), rig.url("www.example"),
        )  # fmt: skip
        assert out == b"hello\nhello\nhello\nab\n", err
        assert rig.origin.connections <= 2


async def test_node_connects_by_sni() -> None:
    script = (
        "const https = require('https'), fs = require('fs');"
        "const [port, ca] = process.argv.slice(1);"
        "https.get({host: '127.0.0.1', port, servername: 'www.example', ca: fs.readFileSync(ca), path: '/hello',"
        " headers: {Host: 'www.example'}}, r => r.pipe(process.stdout));"
    )
    async with running() as rig:
        code, out, err = await run("node", "-e", script, str(rig.tls), str(inspector_ca().file))
        assert (code, out) == (0, b"hello\n"), err


async def test_git_clones(tmp_path: Path) -> None:
    """Over the dumb protocol: many requests on kept-alive connections, some of them 404."""
    work, bare = tmp_path / "work", tmp_path / "bare.git"
    author = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    await run("git", "init", "-q", str(work))
    (work / "file").write_text("content\n")
    await run("git", "-C", str(work), "add", "file")
    await run("git", "-C", str(work), *author, "commit", "-q", "-m", "one")
    await run("git", "clone", "-q", "--bare", str(work), str(bare))
    await run("git", "-C", str(bare), "update-server-info")

    async def file(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
        path = tmp_path / head.target.partition("?")[0].lstrip("/")
        if path.is_file():
            writer.write(whole(path.read_bytes()))
        else:
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        return None

    async with running() as rig:
        rig.origin.replies["/hello"] = file
        url = rig.url("www.example", "/bare.git")
        code, _, err = await run(
            "git", "-c", f"http.proxy={rig.proxy}", "-c", f"http.sslCAInfo={inspector_ca().file}",
            "clone", "-q", url, str(tmp_path / "clone"),
        )  # fmt: skip
        assert code == 0, err
        assert (tmp_path / "clone" / "file").read_text() == "content\n"


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("host", ["www.example", "pinned.example"])
async def test_a_large_body_holds_memory_flat(host: str) -> None:
    trust = origin_ca().file if host == "pinned.example" else inspector_ca().file
    async with running(limits=Limits()) as rig:
        small = rig.url(host, f"/big?{8 * 1024 * 1024}")
        assert (await curl(rig, small, "-o", "/dev/null", trust=trust))[0] == 0
        before = resident_bytes()
        big = rig.url(host, f"/big?{BIG}")
        code, out, err = await curl(rig, big, "-o", "/dev/null", "-w", "%{size_download}", trust=trust)
        assert (code, out) == (0, str(BIG).encode()), err
        assert resident_bytes() - before < 24 * 1024 * 1024


async def test_a_large_upload_holds_memory_flat() -> None:
    async with running() as rig:
        before = resident_bytes()
        script = f'head -c {BIG} /dev/zero | exec curl -sS -x {rig.proxy} --cacert {inspector_ca().file} -T - "$0"'
        url = rig.url("www.example", "/swallow")

        async def swallow(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            total = 0
            while size := int((await reader.readuntil(b"\r\n")), 16):
                left = size
                while left:
                    left -= len(await reader.read(min(left, 65536)))
                await reader.readexactly(2)
                total += size
            await reader.readexactly(2)
            writer.write(whole(str(total).encode()))
            return None

        rig.origin.replies["/swallow"] = swallow
        code, out, err = await run("sh", "-c", script, url)
        assert (code, out) == (0, str(BIG).encode()), err
        assert resident_bytes() - before < 24 * 1024 * 1024
