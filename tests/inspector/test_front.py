"""The listener for helpers over real connections: who is let in, what is believed, what it changes, how it ends."""

import asyncio
import datetime
import socket
import ssl
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID

from steering.policy import UNSEEN, Policy, Program
from steering.policy.access import Access
from steering.policy.facts import System
from steering.policy.hosts import Address
from steering.policy.live import Live
from steering.streams.carried import Carried
from steering.streams.link import Link
from steering_inspector.server import Inspector
from steering_inspector.settings import InspectorSettings, Limits
from tests.inspector.clients import Wire, issuer, policy_of, until
from tests.inspector.devices import (
    ALICES,
    BOBS,
    CURL,
    SLACK,
    DeviceCa,
    Introduced,
    TestDevice,
    alices,
    arrive,
    bobs,
    device_ca,
    introduce,
    listening,
    token_of,
)
from tests.inspector.origin import Head, inspector_ca, origin_ca, read_body
from tests.streams.links import Told

HOST = "www.example"
SLACKS = {"name": "slack", "domains": [HOST], "programs": ["linux:slack"]}
PLAIN = [{"name": "all of it", "domains": [HOST]}]


def refused_with(line: Access) -> tuple[str, str, int]:
    return line.effect, line.reason, line.status


# Being let in


async def test_a_device_is_greeted() -> None:
    async with listening() as rig:
        one, two = await introduce(rig, alices()), await introduce(rig, alices())
        assert one.fields == {
            "Steering-Nonce": one.nonce,
            "Steering-Revision": rig.live.policy.revision,
            "Steering-Source": "127.0.0.1",
            "Content-Length": "0",
        }
        first = one.nonce
        await one.greet()
        assert len({first, one.nonce, two.nonce}) == 3 and min(map(len, (first, two.nonce))) >= 22
        counters = rig.inspector.counters()
        assert (counters["connections"], counters["clients"], counters["devices"]) == (2, 1, 1)
        await one.close()
        await two.close()
        await until(lambda: rig.inspector.counters()["connections"] == 0)
        assert (rig.inspector.counters()["devices"], rig.log) == (0, [])


@pytest.mark.needs("openssl")
async def test_openssl_is_greeted_by_each_version_of_tls() -> None:
    """An independent client; its first connection's ticket is taken for the next, which is the same device's."""
    async with listening() as rig:
        ticket = device_ca().folder / "ticket.pem"
        for version, session in (("-tls1_2", "-sess_out"), ("-tls1_2", "-sess_in"), ("-tls1_3", "-sess_out")):
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{rig.endpoint}", "-quiet", version]
            command += ["-CAfile", str(device_ca().file), "-verify_return_error", session, str(ticket)]
            command += ["-cert", str(alices().file), "-key", str(alices().file)]
            asked = b"OPTIONS * HTTP/1.1\r\nHost: steering\r\n\r\nCONNECT www.example:443 HTTP/1.1\r\nHost: a\r\n\r\n"
            run = await asyncio.to_thread(subprocess.run, command, input=asked, capture_output=True, timeout=20)
            assert run.stdout.startswith(b"HTTP/1.1 200 OK\r\nSteering-Nonce: "), run.stderr
            assert b"\r\nSteering-Reason: attestation-missing\r\n" in run.stdout


Context = Callable[[], ssl.SSLContext]
EKU = ExtendedKeyUsageOID.SERVER_AUTH
STRANGERS: dict[str, tuple[Context, str]] = {
    "no certificate": (lambda: device_ca().trusting(), "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
    "of another CA": (lambda: _trusting(DeviceCa("others").device(ALICES)), "CERTIFICATE_VERIFY_FAILED"),
    "of the inspection CA's name": (
        lambda: _trusting(DeviceCa("test inspector").device(ALICES)),
        "CERTIFICATE_VERIFY_FAILED",
    ),
    "for servers": (lambda: device_ca().device(ALICES, use=EKU).context, "CERTIFICATE_VERIFY_FAILED"),
    "expired": (
        lambda: device_ca().device(ALICES, ahead=datetime.timedelta(seconds=-1)).context,
        "CERTIFICATE_VERIFY_FAILED",
    ),
}


def _trusting(stranger: TestDevice) -> ssl.SSLContext:
    stranger.context.load_verify_locations(device_ca().file)
    return stranger.context


@pytest.mark.parametrize(("context", "detail"), STRANGERS.values(), ids=STRANGERS)
async def test_strangers_do_not_get_past_the_handshake(context: Context, detail: str) -> None:
    async with listening() as rig:
        # With TLS 1.3 a client learns it when it reads.
        try:
            wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.endpoint, ssl=context()))
            wire.writer.write(b"OPTIONS * HTTP/1.1\r\nHost: steering\r\n\r\n")
            assert await wire.at_end() == b""
            await wire.close()
        except (ssl.SSLError, ConnectionError):
            pass
        (line,) = await rig.settled()
        assert (line.effect, line.reason, line.detail) == ("refuse", "device-handshake", detail)
        assert rig.failures == []  # no evidence of a pinned certificate


async def test_a_certificate_that_names_no_device_is_told_so() -> None:
    async with listening() as rig:
        wire = await arrive(rig, device_ca().device("a laptop"))
        assert (await wire.answer())[0] == 403
        assert await wire.at_end() == b""
        (line,) = await rig.settled()
        assert refused_with(line) == ("refuse", "device-certificate", 403)
        await wire.close()


async def test_who_only_knocks_leaves_no_line() -> None:
    async with listening() as rig:
        with socket.create_connection(("127.0.0.1", rig.endpoint)):
            await until(lambda: rig.inspector.counters()["connections"] == 1)
        await until(lambda: rig.inspector.counters()["connections"] == 0)
        assert rig.log == []


async def test_a_handshake_has_its_time() -> None:
    async with listening(limits=Limits(handshake_s=0.1)) as rig:
        with socket.create_connection(("127.0.0.1", rig.endpoint)):
            (line,) = await rig.settled()
        assert (line.reason, line.detail) == ("device-handshake", "TIMEOUT")


async def test_plain_http_is_no_handshake() -> None:
    async with listening() as rig:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", rig.endpoint))
        await wire.send(b"OPTIONS * HTTP/1.1\r\nHost: steering\r\n\r\n")
        assert not (await wire.at_end()).startswith(b"HTTP/")
        (line,) = await rig.settled()
        assert (line.reason, line.detail) == ("device-handshake", "WRONG_VERSION_NUMBER")
        await wire.close()


async def test_helpers_come_from_any_network() -> None:
    async with listening(allowed=()) as rig:
        wire = await introduce(rig, alices())
        await wire.close()
        other = await rig.connect()
        await other.send(b"GET http://www.example/ HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert (await other.answer())[0] == 403
        await other.close()


async def test_each_device_has_so_many_connections() -> None:
    """By itself, not by an address that it shares with others."""
    async with listening(limits=Limits(max_connections_per_client=2)) as rig:
        held = [await introduce(rig, device) for device in (alices(), bobs(), alices())]
        third = await arrive(rig, alices())
        assert (await third.answer())[0] == 503
        (line,) = await rig.settled()
        assert refused_with(line) == ("refuse", "overloaded", 503)
        await third.close()
        await held[0].close()
        await until(lambda: rig.inspector.counters()["connections"] == 2)
        for wire in (*held[1:], await introduce(rig, alices())):
            await wire.close()


@pytest.mark.parametrize("mode", [None, ssl.CERT_NONE, ssl.CERT_OPTIONAL])
async def test_there_is_no_listener_that_asks_for_no_certificate(mode: ssl.VerifyMode | None) -> None:
    context = None if mode is None else DeviceCa("lax").listening()
    if context is not None and mode is not None:
        context.verify_mode = mode

    async def resolve(name: str) -> list[Address]:
        return []

    trust = origin_ca().trusting()
    inspector = Inspector(
        InspectorSettings(), Live(policy_of([])), inspector_ca(), trust, resolve, print, endpoint_tls=context
    )
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(ValueError, match="endpoint_tls"):
        inspector.start(endpoint=[listener])
    await inspector.close()


# What an attestation changes

USERS = {"name": "alice's", "domains": [HOST], "source": ["user:Alice"]}
GROUPS = {"name": "sales'", "domains": [HOST], "source": ["group:sales"]}
UNSAFE = {"name": "unsafe", "action": "inspect", "domains": [HOST], "programs": ["curl"]}
BANNED = {"name": "banned", "action": "block", "domains": [HOST], "programs": ["curl"]}
OWNED = {"name": "owned", "domains": [HOST], "programs": [{"name": "slack", "root_owned": True}]}
EVERYBODY = {"name": "everybody", "domains": [HOST]}
NOBODY_SEEN: dict[str, Any] = {"user": None, "program": UNSEEN}
FAKE = Program(system=System.LINUX, names=("slack",), root_owned=False)
MAC = Program(system=System.MACOS, names=("slack",))

# rules, device, claims -> effect, rule, pending
DECIDED: list[tuple[list[dict[str, Any]], Callable[[], TestDevice], dict[str, Any], tuple[str, str | None, str]]] = [
    ([SLACKS], alices, {}, ("tunnel", "slack", "")),
    ([SLACKS], alices, {"program": CURL}, ("open", None, "")),
    ([SLACKS], alices, {"program": MAC}, ("open", None, "")),
    ([SLACKS], alices, NOBODY_SEEN, ("open", None, "program")),
    ([OWNED], alices, {}, ("tunnel", "owned", "")),
    ([OWNED], alices, {"program": FAKE}, ("open", None, "")),
    ([USERS], alices, {}, ("tunnel", "alice's", "")),
    ([USERS], alices, {"user": "bob"}, ("open", None, "")),
    ([USERS], alices, NOBODY_SEEN, ("open", None, "user")),
    ([GROUPS], alices, {}, ("tunnel", "sales'", "")),
    ([GROUPS], alices, NOBODY_SEEN, ("tunnel", "sales'", "")),
    ([GROUPS], bobs, {}, ("open", None, "")),
    ([EVERYBODY, UNSAFE], alices, {}, ("tunnel", "everybody", "")),
    ([EVERYBODY, UNSAFE], alices, {"program": CURL}, ("open", "unsafe", "")),
    ([EVERYBODY, UNSAFE], alices, NOBODY_SEEN, ("open", "everybody", "program")),
    ([EVERYBODY, BANNED], alices, {"program": CURL}, ("block", "banned", "")),
]


def policy_with_groups(rules: list[dict[str, Any]]) -> Policy:
    return policy_of(rules, groups={"sales": {"networks": ["203.0.113.0/24"]}})


@pytest.mark.parametrize(("rules", "device", "claims", "expected"), DECIDED)
async def test_a_connection_is_decided_by_what_was_attested(
    rules: list[dict[str, Any]],
    device: Callable[[], TestDevice],
    claims: dict[str, Any],
    expected: tuple[str, str | None, str],
) -> None:
    async with listening() as rig:
        rig.live.swap(policy_with_groups(rules))
        wire = await introduce(rig, device())
        await wire.open_to(HOST, rig.origin.port, **claims)
        effect = expected[0]
        assert await issuer(wire) == ("test origins" if effect == "tunnel" else "test inspector")
        assert (await wire.get(HOST, "/hello"))[0] == (403 if effect == "block" else 200)
        await wire.close()
        (line,) = await rig.settled()
        assert (line.effect, line.rule, ",".join(line.pending)) == expected
        seen, user = claims.get("program", SLACK), claims.get("user", "alice")
        assert (line.user, line.program) == (user or "", seen.names[0] if isinstance(seen, Program) else "")
        assert (line.client, line.host) == ("127.0.0.1", HOST)


@pytest.mark.parametrize("rules", [[SLACKS], [USERS], [GROUPS], [EVERYBODY, UNSAFE]])
async def test_without_attestation_no_such_rule_bypasses(rules: list[dict[str, Any]]) -> None:
    """Whatever a client says of itself."""
    async with listening() as rig:
        rig.live.swap(policy_with_groups(rules))
        wire = await rig.connect()
        authority = f"{HOST}:{rig.origin.port}"
        token = token_of(alices(), authority)
        await wire.send(f"CONNECT {authority} HTTP/1.1\r\nHost: a\r\nSteering-Attestation: {token}\r\n\r\n".encode())
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
        await wire.start_tls(HOST)
        assert await issuer(wire) == "test inspector"
        assert (await wire.get(HOST, "/hello"))[0] == 200
        await wire.close()
        (line,) = await rig.settled()
        assert (line.effect, line.user, line.program) == ("open", "", "")


async def test_what_a_plain_request_is_decided_by() -> None:
    async with listening([SLACKS, BANNED]) as rig:
        url = f"http://{HOST}:{rig.plain.port}/hello"
        answers = []
        for program in (SLACK, CURL, UNSEEN):
            wire = await introduce(rig, alices())
            token = wire.token(f"{HOST}:{rig.plain.port}", program=program)
            answers.append((await wire.ask(url, f"Steering-Attestation: {token}"))[0])
            await wire.close()
        lines = await rig.settled(3)
        assert answers == [200, 403, 200]
        assert [(line.effect, line.rule, line.program) for line in lines] == [
            ("tunnel", "slack", "slack"),
            ("block", "banned", "curl"),
            ("open", None, ""),
        ]


# Refusals

Ask = Callable[[Introduced, str], tuple[str, ...]]
DISBELIEVED: dict[str, tuple[str, Ask]] = {
    "none": ("missing", lambda wire, to: ()),
    "forged": ("malformed", lambda wire, to: ("e30.e30.e30",)),
    "two": ("malformed", lambda wire, to: (wire.token(to), wire.token(to))),
    "another key": ("signature", lambda wire, to: (wire.token(to, key=bobs().key),)),
    "another device's": ("signature", lambda wire, to: (token_of(bobs(), to, nonce=wire.nonce),)),
    "for another device": ("device", lambda wire, to: (wire.token(to, device=BOBS),)),
    "for another authority": ("authority", lambda wire, to: (wire.token("other.example:443"),)),
    "for another connection": ("nonce", lambda wire, to: (wire.token(to, nonce="x" * 32),)),
    "old": ("expired", lambda wire, to: (wire.token(to, issued_at=time.time() - 70),)),
    "early": ("expired", lambda wire, to: (wire.token(to, issued_at=time.time() + 50),)),
}


@pytest.mark.parametrize(("reason", "tokens"), DISBELIEVED.values(), ids=DISBELIEVED)
async def test_what_is_not_believed_is_refused_by_name(reason: str, tokens: Ask) -> None:
    async with listening(PLAIN) as rig:
        wire = await introduce(rig, alices())
        authority = f"{HOST}:{rig.origin.port}"
        head = await wire.ask_connect(authority, *tokens(wire, authority))
        assert head.startswith(b"HTTP/1.1 403 ")
        assert f"\r\nSteering-Reason: attestation-{reason}\r\n".encode() in head
        await wire.at_end()
        await wire.close()
        (line,) = await rig.settled()
        assert refused_with(line) == ("refuse", f"attestation-{reason}", 403)
        assert (line.host, line.detail, line.user, line.program) == (HOST, f"CONNECT {authority}", "", "")
        assert (rig.origin.connections, rig.resolved) == (0, [])
        assert rig.inspector.counters()[f"reason:attestation-{reason}"] == 1


async def test_a_token_is_good_on_its_own_connection_alone() -> None:
    async with listening(PLAIN) as rig:
        one, two = await introduce(rig, alices()), await introduce(rig, alices())
        authority = f"{HOST}:{rig.origin.port}"
        token = one.token(authority)
        assert (await two.ask_connect(authority, token)).startswith(b"HTTP/1.1 403 ")
        assert (await one.ask_connect(authority, token)).startswith(b"HTTP/1.1 200 ")
        for wire in (one, two):
            await wire.close()
        assert (await rig.settled())[0].reason == "attestation-nonce"


async def test_a_token_is_good_once() -> None:
    async with listening(PLAIN) as rig:
        wire = await introduce(rig, alices())
        url, token = f"http://{HOST}:{rig.plain.port}/hello", wire.token(f"{HOST}:{rig.plain.port}")
        assert (await wire.ask(url, f"Steering-Attestation: {token}"))[0] == 200
        assert (await wire.ask(url, f"Steering-Attestation: {token}"))[0] == 403
        lines = await rig.settled(2)
        assert [line.reason for line in lines] == ["", "attestation-nonce"]
        await wire.close()


async def test_plain_requests_stay_with_what_was_attested() -> None:
    async with listening() as rig:
        wire = await introduce(rig, alices())
        url = f"http://{HOST}:{rig.plain.port}/hello"
        token = wire.token(f"{HOST}:{rig.plain.port}")
        assert (await wire.ask(url, f"Steering-Attestation: {token}"))[0] == 200
        assert (await wire.ask(url))[0] == 200
        status, head, _ = await wire.ask(f"http://other.example:{rig.plain.port}/hello")
        assert (status, b"Steering-Reason: attestation-authority\r\n" in head) == (403, True)
        assert await wire.at_end() == b""
        await wire.close()
        lines = await rig.settled(3)
        assert [(line.host, line.reason, line.user, line.program) for line in lines] == [
            (HOST, "", "alice", "slack"),
            (HOST, "", "alice", "slack"),
            ("other.example", "attestation-authority", "alice", "slack"),
        ]
        assert "other.example" not in rig.resolved


async def test_there_is_no_connect_behind_a_plain_request() -> None:
    async with listening(PLAIN) as rig:
        wire = await introduce(rig, alices())
        token = wire.token(f"{HOST}:{rig.plain.port}")
        await wire.ask(f"http://{HOST}:{rig.plain.port}/hello", f"Steering-Attestation: {token}")
        assert b"attestation-missing" in await wire.ask_connect(f"{HOST}:{rig.origin.port}")
        await wire.close()


async def test_the_inspectors_own_refusals_stand() -> None:
    """Ports and reserved names, for a genuine attestation as well."""
    async with listening() as rig:
        for authority, reason in ((f"{HOST}:25", "port"), ("printer.internal:443", "reserved")):
            wire = await introduce(rig, alices())
            head = await wire.ask_connect(authority, wire.token(authority))
            if reason == "port":
                assert (head[:13], f"Steering-Reason: {reason}\r\n".encode() in head) == (b"HTTP/1.1 403 ", True)
            await wire.close()
        lines = await rig.settled(1)
        assert (lines[0].reason, lines[0].program) == ("port", "slack")


# Revocation


async def test_a_revoked_device_is_refused_at_once() -> None:
    async with listening(PLAIN, revoked=frozenset({ALICES})) as rig:
        wire = await arrive(rig, alices())
        status, head, _ = await wire.answer()
        assert (status, b"Steering-Reason: device-revoked\r\n" in head) == (403, True)
        assert await wire.at_end() == b""
        (line,) = await rig.settled()
        assert refused_with(line) == ("refuse", "device-revoked", 403)
        await wire.close()
        rig.inspector.replace_revoked(frozenset())
        wire = await introduce(rig, alices())
        await wire.close()


async def test_revocation_ends_what_is_open() -> None:
    """A warm connection, a tunnel, an opened connection, one whose ClientHello is awaited; not another device's."""
    async with listening([{"name": "b", "domains": ["pinned.example"]}]) as rig:
        kinds = [await introduce(rig, alices()) for _ in range(4)]
        other = await introduce(rig, bobs())
        tunnel, opened, silent, _warm = kinds
        await tunnel.open_to("pinned.example", rig.origin.port)
        await opened.open_to(HOST, rig.origin.port)
        for wire, host in ((tunnel, "pinned.example"), (opened, HOST)):
            assert (await wire.get(host, "/hello"))[0] == 200
        authority = f"{HOST}:{rig.origin.port}"
        assert (await silent.ask_connect(authority, silent.token(authority))).startswith(b"HTTP/1.1 200 ")
        await rig.settled(1)
        rig.log.clear()
        rig.inspector.replace_revoked(frozenset({ALICES}))
        for wire in kinds:
            assert await wire.at_end() == b""
            await wire.close()
        lines = await rig.settled(4)
        assert sorted((line.effect, line.host, line.reason) for line in lines) == [
            ("refuse", "", "device-revoked"),
            ("refuse", HOST, "device-revoked"),
            ("refuse", HOST, "device-revoked"),
            ("tunnel", "pinned.example", "device-revoked"),
        ]
        await other.greet()
        await other.close()


async def test_revocation_ends_a_request_under_way() -> None:
    async with listening() as rig:
        asked = asyncio.Event()

        async def silence(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
            asked.set()
            await asyncio.Event().wait()
            return None

        rig.plain.replies["/silence"] = silence
        wire = await introduce(rig, alices())
        token = wire.token(f"{HOST}:{rig.plain.port}")
        url = f"http://{HOST}:{rig.plain.port}/silence"
        await wire.send(f"GET {url} HTTP/1.1\r\nHost: a\r\nSteering-Attestation: {token}\r\n\r\n".encode())
        async with asyncio.timeout(10):
            await asked.wait()
        rig.inspector.replace_revoked(frozenset({ALICES, BOBS}))
        assert await wire.at_end() == b""
        (line,) = await rig.settled()
        assert (line.reason, line.program) == ("device-revoked", "slack")
        await wire.close()


# What lasts


async def test_a_tunnel_is_decided_anew_with_what_was_attested() -> None:
    async with listening([SLACKS]) as rig:
        wire = await introduce(rig, alices())
        await wire.open_to(HOST, rig.origin.port)
        rig.live.swap(policy_of([SLACKS, UNSAFE]))
        assert (await wire.get(HOST, "/hello"))[0] == 200
        rig.live.swap(policy_of([SLACKS | {"programs": ["linux:curl"]}]))
        assert await wire.at_end() == b""
        await wire.close()
        (line,) = await rig.settled()
        assert (line.effect, line.reason, line.program) == ("tunnel", "policy-change", "slack")


@pytest.mark.parametrize("bypassed", [True, False])
async def test_much_passes_through_either_way(bypassed: bool) -> None:
    size = 8_000_000
    async with listening(PLAIN if bypassed else []) as rig:
        wire = await introduce(rig, alices())
        await wire.open_to(HOST, rig.origin.port)
        body = bytes(range(256)) * (size // 256)
        await wire.send(f"POST /echo HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n".encode())
        sending = asyncio.create_task(wire.send(body))
        status, _, got = await wire.answer()
        await sending
        assert (status, got == body) == (200, True)
        await wire.close()
        (line,) = await rig.settled()
        assert (line.effect, line.received >= size, line.sent >= size) == ("tunnel" if bypassed else "open", True, True)


async def test_a_pinned_program_shows_through_its_helper() -> None:
    """The alert of the program's own TLS is evidence here as at the explicit proxy."""
    loop = asyncio.get_running_loop()
    async with listening() as rig:
        sock, told = socket.socket(), Told()
        sock.setblocking(False)
        await loop.sock_connect(sock, ("127.0.0.1", rig.endpoint))
        link = Link(sock, loop, Limits(), told)
        link.secure(alices().context, server_side=False, server_hostname="127.0.0.1")
        await until(lambda: told.secured == 1)
        told = Told()
        inner = Carried(link, loop, told)
        inner.write(b"OPTIONS * HTTP/1.1\r\nHost: steering\r\n\r\n")
        inner.resume()
        await until(lambda: told.got.endswith(b"\r\n\r\n"))
        nonce = told.got.split(b"Steering-Nonce: ")[1].split(b"\r\n")[0].decode()
        token = token_of(alices(), f"{HOST}:{rig.origin.port}", nonce=nonce)
        told.got = b""
        inner.write(f"CONNECT {HOST}:{rig.origin.port} HTTP/1.1\r\nHost: a\r\n".encode())
        inner.write(f"Steering-Attestation: {token}\r\n\r\n".encode())
        await until(lambda: told.got.endswith(b"\r\n\r\n"))
        inner.secure(origin_ca().trusting(), server_side=False, server_hostname=HOST)
        await until(lambda: bool(told.lost))
        (line,) = await rig.settled()
        assert (line.reason, line.detail, line.program) == ("client-handshake", "TLSV1_ALERT_UNKNOWN_CA", "slack")
        assert [(failure.sni, failure.alert) for failure in rig.failures] == [(HOST, "TLSV1_ALERT_UNKNOWN_CA")]


async def test_helpers_that_decide_by_another_revision_are_counted() -> None:
    async with listening(PLAIN) as rig:
        for revision in (rig.live.policy.revision, "another", "another"):
            wire = await introduce(rig, alices())
            await wire.open_to(HOST, rig.origin.port, revision=revision)
            await wire.close()
        counters = rig.inspector.counters()
        assert (counters["attested"], counters["attested:other-revision"]) == (3, 2)


# Our own fields


def _of_ours(head: bytes) -> list[bytes]:
    lines = [line.lower() for line in head.split(b"\r\n") if b":" in line]
    return [line for line in lines if line.startswith((b"steering", b"trailer steering"))]


@pytest.mark.parametrize("way", ["plain", "inside", "helper's plain", "helper's inside"])
async def test_our_own_fields_go_to_no_origin_and_come_from_none(way: str) -> None:
    fields = [b"Steering-Attestation: x.y", b"STEERING-Nonce: n", b"steering_source: 192.0.2.1", b"Steerings: kept"]
    async with listening() as rig:
        origin = rig.origin if "inside" in way else rig.plain

        async def boast(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
            await read_body(head, reader)
            writer.write(b"HTTP/1.1 200 OK\r\nSteering-Nonce: mine\r\nSteering_Reason: none\r\nX-Kept: yes\r\n")
            writer.write(b"Transfer-Encoding: chunked\r\n\r\n0\r\nSteering-Sum: 1\r\nX-Sum: 2\r\n\r\n")
            return None

        origin.replies["/boast"] = boast
        lines = b"".join(line + b"\r\n" for line in fields)
        target = "/boast" if "inside" in way else f"http://{HOST}:{origin.port}/boast"
        wire: Wire
        match way:
            case "plain":
                wire = await rig.connect()
            case "inside":
                wire = await rig.open(HOST)
            case "helper's inside":
                wire = helper = await introduce(rig, alices())
                await helper.open_to(HOST, origin.port)
            case _:
                wire = helper = await introduce(rig, alices())
                token = helper.token(f"{HOST}:{origin.port}")
                lines = lines.replace(b"x.y", token.encode())
        await wire.send(f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n".encode() + lines)
        await wire.send(b"\r\n0\r\nSteering-Sum: 1\r\nX-Sum: 2\r\n\r\n")
        status, head, _ = await wire.answer()
        assert (status, _of_ours(head)) == (200, [])
        assert b"\r\nX-Kept: yes\r\n" in head and b"trailer X-Sum: 2" in head
        (seen,) = origin.heads
        assert _of_ours(seen.raw) == [b"steerings: kept"]
        await wire.close()
