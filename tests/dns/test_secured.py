"""DNS over TLS by real clients, and its connections' beginning and end."""

import asyncio
import errno
import socket
import subprocess
from pathlib import Path

import dns.asyncquery
import dns.message
import pytest

from steering_dns.secured import Contexts, TlsListener
from tests.dns.secure import Secured, certificate, secured
from tests.kit import eventually


async def ask(s: Secured, name: str) -> list[str]:
    query = dns.message.make_query(name, "A")
    reply = await dns.asyncquery.tls(
        query, "127.0.0.1", port=s.tls_port, timeout=8, ssl_context=s.client, server_hostname="dns.test"
    )
    return [r.to_text() for section in reply.answer for r in section]


async def run(*command: str) -> str:
    done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=20, check=False)
    return " ".join((done.stdout + done.stderr).split())


async def test_questions_over_tls(tmp_path: Path) -> None:
    async with secured(tmp_path) as s:
        found = await asyncio.gather(*(ask(s, name) for name in ("steered.example", "pinned.example")))
        assert found == [["192.0.2.1"], ["203.0.113.10"]]


@pytest.mark.needs("kdig", "dig", "openssl")
async def test_by_kdig_dig_and_openssl(tmp_path: Path) -> None:
    async with secured(tmp_path) as s:
        at = ("@127.0.0.1", "-p", str(s.tls_port), "+tls")
        strict = f"+tls-ca={s.cert}"
        openssl = ("openssl", "s_client", "-connect", f"127.0.0.1:{s.tls_port}", "-CAfile", str(s.cert), "-alpn", "dot")
        found = await asyncio.gather(
            run("kdig", *at, strict, "+tls-hostname=dns.test", "pinned.example", "huge.pinned.example", "TXT"),
            run("kdig", *at, strict, "+tls-hostname=other.test", "pinned.example"),
            run("dig", *at, "pinned.example"),
            run(*openssl, "-verify_hostname", "dns.test", "-tls1_2"),
            run(*openssl, "-verify_hostname", "dns.test", "-tls1_1"),
        )
        assert ["203.0.113.10" in text for text in found[:3]] == [True, False, True]
        assert "x" * 250 + "19" in found[0]
        assert "Verify return code: 0 (ok)" in found[3]
        assert "ALPN protocol: dot" in found[3]
        assert "ALPN protocol: dot" not in found[4]


async def test_the_answers_of_one_segment_leave_in_one(tmp_path: Path) -> None:
    async with secured(tmp_path) as s:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", s.tls_port, ssl=s.client, server_hostname="dns.test"
        )
        query = dns.message.make_query("steered.example", "A").to_wire()
        writer.write((len(query).to_bytes(2, "big") + query) * 50)
        first = await reader.read(65_536)
        size = 2 + int.from_bytes(first[:2], "big")
        assert len(first) == 50 * size
        writer.close()


async def test_a_failed_handshake_leaves_nothing(tmp_path: Path) -> None:
    async with secured(tmp_path) as s:
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\0\2\1\0", b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", s.tls_port)
            writer.write(sent)
            writer.write_eof()
            await asyncio.wait_for(reader.read(), 5)
            writer.close()
        await eventually(lambda: s.world.server.counters()["tcp:connections"] == 0)
        assert await ask(s, "steered.example") == ["192.0.2.1"]


async def test_without_descriptors_it_waits_and_goes_on(tmp_path: Path) -> None:
    context = Contexts().tls
    context.load_cert_chain(*certificate(tmp_path, "dns.test"))
    made: list[asyncio.Protocol] = []

    def make() -> asyncio.Protocol:
        made.append(asyncio.Protocol())
        return made[-1]

    class Full(socket.socket):
        refusals = 1

        def accept(self) -> tuple[socket.socket, object]:
            if self.refusals:
                self.refusals -= 1
                raise OSError(errno.EMFILE, "full")
            return super().accept()

    with Full(socket.AF_INET, socket.SOCK_STREAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.listen()
        listener = TlsListener(sock, context, make)
        _, writer = await asyncio.open_connection("127.0.0.1", sock.getsockname()[1])
        await eventually(lambda: len(made) == 1)
        listener.close()
        writer.close()
