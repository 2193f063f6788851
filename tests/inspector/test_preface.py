"""From CONNECT or a ClientHello to a tunnel, an opened session or a refusal with its reason."""

import asyncio
import ssl
from ipaddress import ip_address
from typing import Any

import pytest

from steering.policy.hosts import Address
from steering_inspector.settings import Limits
from tests.inspector.clients import Wire, dial_tls, issuer, issuer_of, running, until
from tests.inspector.origin import fixed, inspector_ca, origin_ca, running_origin


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


@pytest.mark.parametrize(
    ("alpn", "settings", "issuer_"),
    [
        (("h2", "http/1.1"), {}, "test inspector"),
        ((), {}, "test inspector"),
        (("h2",), {"allow_no_http1": True}, "test origins"),
    ],
)
async def test_alpn_decides_who_is_met(alpn: tuple[str, ...], settings: dict[str, Any], issuer_: str) -> None:
    async with running(**settings) as rig:
        link, told = await dial_tls(rig, rig.tls, sni="www.example", alpn=alpn)
        assert (told.secured, issuer_of(link)) == (1, issuer_)
        link.close()


@pytest.mark.parametrize(
    ("connect", "sni", "alpn", "reason", "alert"),
    [
        ("", "www.example", ("h2",), "no-http1", "TLSV1_ALERT_NO_APPLICATION_PROTOCOL"),
        ("www.example", "www.example", ("h2",), "no-http1", "TLSV1_ALERT_NO_APPLICATION_PROTOCOL"),
        ("blocked.example", "blocked.example", ("h2",), "blocked", "TLSV1_ALERT_ACCESS_DENIED"),
        ("", None, ("http/1.1",), "no-sni", "TLSV1_UNRECOGNIZED_NAME"),
        ("www.example", None, ("http/1.1",), "no-sni", "TLSV1_UNRECOGNIZED_NAME"),
        ("www.example", "mask.icloud.com", ("http/1.1",), "reserved", "TLSV1_ALERT_ACCESS_DENIED"),
    ],
)
async def test_refusals_within_tls_are_alerts(
    connect: str, sni: str | None, alpn: tuple[str, ...], reason: str, alert: str
) -> None:
    async with running() as rig:
        authority = f"{connect}:{rig.origin.port}" if connect else ""
        link, told = await dial_tls(rig, rig.explicit if connect else rig.tls, connect=authority, sni=sni, alpn=alpn)
        (error,) = told.lost
        # OpenSSL has no name for 120 in some versions.
        assert getattr(error, "reason", None) in (alert, None)
        (line,) = await rig.settled()
        assert line.reason == reason and line.effect == ("block" if reason == "blocked" else "refuse")
        assert rig.origin.connections == 0
        link.close()


async def test_a_connect_without_sni_is_opened_under_its_own_name_where_that_is_set() -> None:
    async with running(allow_no_sni=True) as rig:
        link, _ = await dial_tls(rig, rig.explicit, connect=f"www.example:{rig.origin.port}")
        assert issuer_of(link) == "test inspector"
        link.close()
        link, told = await dial_tls(rig, rig.tls)  # names no origin at all
        assert told.lost
        link.close()


async def test_a_connect_to_an_address_without_sni_is_opened_and_the_origin_proves_it() -> None:
    """The origin's certificate names 10.9.8.7, at which this one does not live."""
    async with running() as rig:
        rig.addresses["10.9.8.7"] = [ip_address("127.0.0.1")]
        link, told = await dial_tls(rig, rig.explicit, connect=f"10.9.8.7:{rig.origin.port}")
        assert issuer_of(link) == "test inspector"
        link.write(f"GET /hello HTTP/1.1\r\nHost: 10.9.8.7:{rig.origin.port}\r\n\r\n".encode())
        await until(lambda: told.got.endswith(b"hello\n"))
        assert told.got.startswith(b"HTTP/1.1 200 ")
        link.close()
        link, told = await dial_tls(rig, rig.explicit, connect=f"10.9.8.8:{rig.origin.port}")
        link.write(f"GET /hello HTTP/1.1\r\nHost: 10.9.8.8:{rig.origin.port}\r\n\r\n".encode())
        await until(lambda: told.over)
        assert b"Steering-Reason: origin-wrong-name" in told.got
        link.close()


@pytest.mark.parametrize(
    ("first", "reason", "answer"),
    [
        (b"SSH-2.0-OpenSSH_9.2\r\n", "not-tls", b""),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "not-tls", b""),
        (b"\x16\x03\x01\x00\x04\x02\x00\x00\x00", "malformed-hello", b"\x15\x03\x03\x00\x02\x02\x32"),
    ],
)
async def test_what_is_no_hello_within_connect(first: bytes, reason: str, answer: bytes) -> None:
    async with running() as rig:
        wire = await rig.connect()
        authority = f"www.example:{rig.origin.port}"
        await wire.send(f"CONNECT {authority} HTTP/1.1\r\nHost: a\r\n\r\n".encode() + first)  # in one packet
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
        assert await wire.at_end() == answer
        await wire.close()
        (line,) = await rig.settled()
        assert (line.effect, line.reason, line.host) == ("refuse", reason, "www.example")


@pytest.mark.parametrize(
    ("host", "allow", "reason"),
    [("www.example", True, "not-tls"), ("pinned.example", True, ""), ("pinned.example", False, "")],
)
async def test_other_protocols_pass_where_that_is_set_and_where_they_are_bypassed(
    host: str, allow: bool, reason: str
) -> None:
    async with running_origin(None) as plain:
        plain.replies["/hello"] = fixed(b"HELLO\n")
        async with running(allow_non_tls=allow, connect_ports=frozenset({plain.port})) as rig:
            wire = await rig.connect()
            await wire.send(f"CONNECT {host}:{plain.port} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            await wire.head()
            await wire.send(b"GET /hello HTTP/1.1\r\n\r\n")
            assert await wire.at_end() == b"HELLO\n"
            await wire.close()
            (line,) = await rig.settled()
            assert (line.effect, line.reason, line.host) == ("tunnel", reason, host)


@pytest.mark.parametrize(("size", "reason"), [(599, "hello-timeout"), (600, "hello-timeout"), (601, "malformed-hello")])
async def test_a_hello_at_the_limit(size: int, reason: str) -> None:
    """One that claims to be longer than may be: refused as soon as it is, awaited until then."""
    async with running(limits=Limits(max_hello_bytes=600, hello_s=0.5)) as rig:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.tls))
        await wire.send((b"\x16\x03\x01\x20\x00\x01\x00\x1f\xfc" + bytes(700))[:size])
        await wire.at_end()
        await wire.close()
        assert [line.reason for line in await rig.settled()] == [reason]


async def test_who_leaves_before_the_hello_leaves_a_line_only_if_something_was_said() -> None:
    async with running() as rig:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.tls))
        await wire.close()  # a health check: nothing to tell
        wire = await rig.connect()
        await wire.send(f"CONNECT www.example:{rig.origin.port} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await wire.head()
        await wire.close()
        (line,) = await rig.settled()
        assert (line.reason, line.host) == ("closed-before-hello", "www.example")
        await until(lambda: not rig.inspector.counters()["connections"])


async def test_a_handshake_that_stands_still_is_cut_and_is_evidence_of_its_own_kind() -> None:
    hello = ssl.MemoryBIO()
    tls = inspector_ca().trusting().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="www.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    async with running(limits=Limits(handshake_s=0.5)) as rig:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.tls))
        await wire.send(hello.read())
        assert (await wire.at_end())[:1] == b"\x16"
        await wire.close()
        (line,) = await rig.settled()
        assert (line.reason, line.detail) == ("client-handshake", "TIMEOUT")
        assert [failure.alert for failure in rig.failures] == ["TIMEOUT"]


async def test_without_a_leaf_nothing_is_opened() -> None:
    class Broken:
        def get(self, host: str, now: float) -> ssl.SSLContext:
            raise OSError(28, "No space left on device")

    async with running() as rig:
        rig.inspector.replace_leaves(Broken())
        link, told = await dial_tls(rig, rig.tls, sni="www.example")
        assert getattr(told.lost[0], "reason", None) == "TLSV1_ALERT_INTERNAL_ERROR"
        (line,) = await rig.settled()
        assert (line.reason, line.status) == ("ca-unavailable", 503)
        link.close()


@pytest.mark.parametrize(
    ("leads_to", "reason", "status"),
    [
        ([], "name-unknown", 502),
        ([ip_address("127.0.0.3")], "origin-unreachable", 502),
        ([ip_address("10.1.1.1")], "destination", 403),
    ],
)
async def test_a_tunnel_that_leads_nowhere_leaves_its_reason(leads_to: list[Address], reason: str, status: int) -> None:
    async with running() as rig:
        rig.addresses["pinned.example"] = leads_to
        link, told = await dial_tls(rig, rig.tls, sni="pinned.example")
        assert told.over and not told.secured
        (line,) = await rig.settled()
        assert (line.effect, line.rule, line.reason, line.status) == ("tunnel", "pinned", reason, status)
        link.close()


async def test_a_tunnel_whose_name_is_not_resolved_in_time_leaves_one_line() -> None:
    async with running(limits=Limits(dial_s=0.3)) as rig:
        rig.unanswered.add("pinned.example")
        link, told = await dial_tls(rig, rig.tls, sni="pinned.example")
        assert told.over
        await until(lambda: not rig.inspector.counters()["connections"])
        assert [(line.reason, line.status) for line in rig.log] == [("origin-timeout", 504)]
        link.close()


async def test_hellos_in_pieces_are_decided_alike() -> None:
    """In two packets, as those of browsers come, and in a dozen."""
    hello = ssl.MemoryBIO()
    tls = origin_ca().trusting().wrap_bio(ssl.MemoryBIO(), hello, server_hostname="pinned.example")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    data = hello.read()
    async with running() as rig:
        for step in (len(data) // 2 + 1, len(data) // 12):
            wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.tls))
            for at in range(0, len(data), step):
                await wire.send(data[at : at + step])
                await asyncio.sleep(0)
            assert (await wire.reader.readexactly(1)) == b"\x16"
            await wire.close()
        assert [line.effect for line in await rig.settled(2)] == ["tunnel", "tunnel"]
