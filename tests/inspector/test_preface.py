"""From CONNECT or a ClientHello to a tunnel, an opened session or a refusal with its reason."""

import asyncio
import ssl

import pytest

from tests.inspector.clients import Wire, issuer, running
from tests.inspector.origin import inspector_ca, origin_ca


async def test_a_bypass_is_tunnelled_unopened() -> None:
    async with running() as rig:
        wire = await rig.open("pinned.example")
        assert await issuer(wire) == "test origins"
        assert (await wire.get("pinned.example", "/hello"))[2] == b"hello\n"
        await wire.close()
        (line,) = await rig.settled()
        assert (line.effect, line.rule, line.host) == ("tunnel", "pinned", "pinned.example")
        assert line.sent > 0 and line.received > 0
        assert b"Via" not in rig.origin.heads[0].raw


async def test_transparent_connections_go_by_sni_and_by_host() -> None:
    async with running() as rig:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.tls))
        await wire.start_tls("www.example")
        assert (await wire.get("www.example", "/hello"))[2] == b"hello\n"
        await wire.close()
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.tls))
        await wire.start_tls("pinned.example")
        assert await issuer(wire) == "test origins"
        await wire.close()
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.http))
        assert (await wire.get("www.example", "/hello"))[2] == b"hello\n"
        await wire.close()
        assert rig.resolved == ["www.example", "pinned.example", "www.example"]


async def test_connect_and_sni_are_both_decided() -> None:
    async with running() as rig:
        wire = await rig.open("www.example", connect="pinned.example")
        assert await issuer(wire) == "test inspector"
        assert (await wire.get("www.example", "/hello"))[0] == 200
        await wire.close()
        wire = await rig.open("pinned.example", connect="www.example")
        assert await issuer(wire) == "test inspector"
        await wire.close()
        wire = await rig.open("pinned.example", connect="203.0.113.7")
        assert await issuer(wire) == "test origins"
        await wire.close()
        assert rig.resolved == ["www.example", "pinned.example"]


@pytest.mark.parametrize(
    ("request_", "status", "reason"),
    [
        (b"CONNECT www.example:22 HTTP/1.1\r\nHost: www.example:22\r\n\r\n", 403, "port"),
        (b"CONNECT www.example HTTP/1.1\r\nHost: www.example\r\n\r\n", 400, "bad-request"),
        (b"CONNECT 10.1.2.3:443 HTTP/1.1\r\nHost: 10.1.2.3\r\n\r\n", 200, ""),
        (b"CONNECT 127.1:443 HTTP/1.1\r\nHost: 127.1\r\n\r\n", 400, "bad-request"),
        (b"CONNECT 169.254.169.254:443 HTTP/1.1\r\nHost: a\r\n\r\n", 403, "reserved"),
        (b"CONNECT mask.icloud.com:443 HTTP/1.1\r\nHost: a\r\n\r\n", 403, "reserved"),
        (b"GET / HTTP/1.1\r\nHost: www.example\r\n\r\n", 400, "bad-request"),
        (b"GET http://mail.example:25/ HTTP/1.1\r\nHost: www.example\r\n\r\n", 403, "port"),
        (b"GET http://a.example/ HTTP/1.1\r\nHost: a.example\r\nVia: 1.1 STEERING\r\n\r\n", 508, "loop"),
    ],
)
async def test_refusals_name_their_reason(request_: bytes, status: int, reason: str) -> None:
    async with running() as rig:
        wire = await rig.connect()
        await wire.send(request_)
        head = await wire.head()
        assert int(head.split(b" ")[1]) == status
        await wire.close()
        if reason:
            (line,) = await rig.settled()
            assert (line.effect, line.reason, line.status) == ("refuse", reason, status)


async def test_without_a_ca_only_bypasses_pass() -> None:
    async with running(can_open=False) as rig:
        wire = await rig.open("pinned.example")
        assert await issuer(wire) == "test origins"
        await wire.close()
        wire = await rig.connect()
        await wire.send(f"CONNECT www.example:{rig.origin.port} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        assert (await wire.head()).startswith(b"HTTP/1.1 503 ")
        await wire.close()
        rig.inspector.replace_leaves(inspector_ca())
        wire = await rig.open("www.example")
        assert (await wire.get("www.example", "/hello"))[0] == 200
        await wire.close()


async def test_a_client_that_refuses_our_certificate_is_evidence() -> None:
    async with running() as rig:
        wire = await rig.connect()
        await wire.send(f"CONNECT www.example:{rig.origin.port} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await wire.head()
        with pytest.raises((ssl.SSLError, ConnectionError)):
            await wire.writer.start_tls(origin_ca().trusting(), server_hostname="www.example")
        await wire.close()
        (line,) = await rig.settled()
        assert line.reason == "client-handshake"
        assert [(f.sni, f.client) for f in rig.failures] == [("www.example", "127.0.0.1")]
