"""Every kind of connection, by what its access line says, where it was dialled and what the inspector was asked."""

import asyncio
import struct
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

import pytest

from steering.endpoint.identify.identity import Identity
from steering.policy.access import Access
from tests.endpoint.proxy.rig import (
    CURL,
    LOOPBACK,
    NOBODY,
    RULES,
    SLACK,
    Named,
    Rig,
    Wire,
    bound,
    client_hello,
    limits,
    running,
)
from tests.kit import eventually

Line = tuple[str, str, str | None, str]  # host, effect, rule, reason
BOTH = [{"name": "both", "domains": ["pin.example", "app.example"]}]


def line_of(access: Access) -> Line:
    return access.host, access.effect, access.rule, access.reason


async def one_line(rig: Rig) -> Access:
    (line,) = await rig.settled()
    return line


@pytest.mark.parametrize(
    ("rules", "who", "authority", "sni", "line", "resolved", "attested"),
    [
        (RULES, CURL, "pin.example", "pin.example", ("pin.example", "direct", "pinned", ""), ["pin.example"], []),
        (RULES, CURL, "www.example", "www.example", ("www.example", "proxy", None, ""), [], ["www.example"]),
        (RULES, SLACK, "app.example", "app.example", ("app.example", "direct", "slack", ""), ["app.example"], []),
        (RULES, CURL, "app.example", "app.example", ("app.example", "proxy", None, ""), [], ["app.example"]),
        (RULES, NOBODY, "app.example", "app.example", ("app.example", "proxy", None, ""), [], ["app.example"]),
        (
            RULES, SLACK, "block.example", "block.example", ("block.example", "proxy", "banned", ""), [],
            ["block.example"],
        ),
        # A lying CONNECT is decided by both names; where both are bypassed, the authority is dialled.
        (RULES, CURL, "pin.example", "www.example", ("www.example", "proxy", None, ""), [], ["pin.example"]),
        (RULES, CURL, "www.example", "pin.example", ("www.example", "proxy", None, ""), [], ["www.example"]),
        (BOTH, CURL, "pin.example", "app.example", ("pin.example", "direct", "both", ""), ["pin.example"], []),
        # An address is decided, resolved and dialled by its SNI, never dialled itself.
        (RULES, CURL, "192.0.2.7", "pin.example", ("pin.example", "direct", "pinned", ""), ["pin.example"], []),
        (RULES, CURL, "192.0.2.7", "www.example", ("www.example", "proxy", None, ""), [], ["192.0.2.7"]),
        (
            [*RULES, {"name": "watched", "action": "inspect", "addresses": ["192.0.2.0/24"]}],
            CURL, "192.0.2.7", "pin.example", ("192.0.2.7", "proxy", "watched", ""), [], ["192.0.2.7"],
        ),
        (RULES, CURL, "192.0.2.7", "", ("192.0.2.7", "proxy", None, ""), [], ["192.0.2.7"]),
        # Reserved names are for this network.
        (RULES, CURL, "printer", "pin.example", ("printer", "direct", None, ""), ["printer"], []),
        (RULES, CURL, "127.0.0.1", "", ("127.0.0.1", "direct", None, ""), [], []),
    ],
)  # fmt: skip
async def test_tls_in_a_connect(
    rules: list[dict[str, Any]],
    who: Any,
    authority: str,
    sni: str,
    line: Line,
    resolved: list[str],
    attested: list[str],
) -> None:
    async with running(rules=rules, identifier=Named(who)) as rig:
        rig.inspector.forward = dict.fromkeys(attested, rig.tls.port)
        wire = await rig.open(f"{authority}:{rig.tls.port}", sni)
        assert (await wire.get(sni)).endswith(b"hello\n")
        await wire.close()
        found = await one_line(rig)
        assert line_of(found) == line
        assert found.received > 200 and found.sent > 500
        assert rig.resolved == resolved
        assert [asked.line for asked in rig.inspector.asked] == [
            f"CONNECT {name}:{rig.tls.port} HTTP/1.1" for name in attested
        ]
        for asked in rig.inspector.asked:
            assert asked.claims.authority == f"{attested[0]}:{rig.tls.port}"
            assert asked.claims.program == who.program
            assert asked.claims.user == "alice"
            assert asked.claims.revision == rig.works.live.bundle.revision  # type: ignore[union-attr]
        assert not rig.inspector.errors


@pytest.mark.parametrize(
    ("rules", "host", "path", "line", "through"),
    [
        (RULES, "pin.example", "/head", ("pin.example", "direct", "pinned", ""), False),
        (RULES, "www.example", "/head", ("www.example", "proxy", None, ""), True),
        (RULES, "app.example", "/head", ("app.example", "direct", "slack", ""), False),
        (RULES, "block.example", "/head", ("block.example", "proxy", "banned", ""), True),
    ],
)
@pytest.mark.parametrize("form", ["absolute", "connect", "connect-address", "socks"])
async def test_plain_http(
    rules: list[dict[str, Any]], host: str, path: str, line: Line, through: bool, form: str
) -> None:
    async with running(rules=rules, identifier=Named(SLACK)) as rig:
        port = rig.plain.port
        wire = await rig.connect()
        target = f"http://{host}:{port}{path}" if form == "absolute" else path
        if form == "connect" and through:
            # By CONNECT to a name only port 80 is taken for what may be plain HTTP; others go as they are.
            rig.inspector.forward[host] = port
        if form.startswith("connect"):
            await wire.ask_connect(f"{'192.0.2.1' if form == 'connect-address' else host}:{port}")
        if form == "socks":
            await wire.send(b"\x05\x01\x00")
            assert await wire.reader.readexactly(2) == b"\x05\x00"
            await wire.send(b"\x05\x01\x00\x03" + bytes((len(host),)) + host.encode() + port.to_bytes(2, "big"))
            assert await wire.reader.readexactly(10) == b"\x05\x00" + b"\0\x01" + bytes(6)
        fields = f"Host: {host}:{port}\r\nConnection: keep-alive\r\nSteering-Attestation: forged\r\n"
        await wire.send(f"GET {target} HTTP/1.1\r\n{fields}\r\n".encode())
        answer = await wire.answer()
        await wire.close()
        found = await one_line(rig)
        assert line_of(found) == line
        assert bool(rig.inspector.asked) == through
        if not (through and form == "connect"):
            assert b"\r\nConnection: close\r\n" in answer.partition(b"\r\n\r\n")[0] + b"\r\n"
            assert b"teering-" not in answer
            assert rig.inspector.asked == [] or rig.inspector.asked[0].line == f"GET http://{host}:{port}/head HTTP/1.1"


async def test_web_sockets_and_socks_on_port_80_are_plain_requests_for_the_inspector() -> None:
    async with running() as rig:
        rig.inspector.forward["www.example"] = rig.plain.port
        wire = await rig.connect()
        await wire.ask_connect("www.example:80")
        await wire.send(b"GET /head HTTP/1.1\r\nHost: www.example\r\n\r\n")
        assert b"GET /head HTTP/1.1" in await wire.answer()
        await wire.close()
        assert [asked.line for asked in rig.inspector.asked] == ["GET http://www.example/head HTTP/1.1"]


Act = Callable[[Rig, Wire], Awaitable[None]]


def sending(data: bytes, *, finish: bool = False) -> Act:
    async def act(rig: Rig, wire: Wire) -> None:
        await wire.send(data.replace(b"PORT", str(rig.plain.port).encode()))
        if finish:
            wire.writer.write_eof()

    return act


def request(text: str) -> Act:
    return sending(text.replace("\n", "\r\n").encode() + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("act", "status", "line"),
    [
        (request("GET http://dead.example/ HTTP/1.1"), 502, ("dead.example", "refuse", "dead", "no-address")),
        (request("GET http://pin.example:1/ HTTP/1.1"), 502, ("pin.example", "refuse", "pinned", "unreachable")),
        (request("CONNECT 127.0.0.1 HTTP/1.1"), 400, ("", "refuse", None, "bad-request")),
        (request("GET http://a/ HTTP/1.1\nTransfer-Encoding: x"), 400, ("", "refuse", None, "bad-request")),
        (request("GET /proxy.pac HTTP/1.1\nHost: evil.example"), 421, ("", "refuse", None, "misdirected")),
        (sending(b"GET http://www.exam"), 408, ("", "refuse", None, "timeout")),
        (sending(b"\x16\x03\x01"), 408, ("", "refuse", None, "timeout")),
    ],
)
async def test_refusals(act: Act, status: int, line: Line) -> None:
    rules = [*RULES, {"name": "dead", "domains": ["dead.example"]}]
    async with running(rules=rules, within=limits(head_s=0.5)) as rig:
        wire = await rig.connect()
        await act(rig, wire)
        answer = await wire.rest()
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"Connection: close" in answer
        await wire.close()
        assert line_of(await one_line(rig)) == line


@pytest.mark.parametrize(
    ("greeting", "reply", "line"),
    [
        (b"\x05\x01\x02", b"\x05\xff", ("", "refuse", None, "bad-request")),
        (
            b"\x05\x01\x00\x05\x02\x00\x01\x7f\0\0\x01\0\x50",
            b"\x05\x00\x05\x07\0\x01",
            ("", "refuse", None, "bad-request"),
        ),
    ],
)
async def test_socks_refusals(greeting: bytes, reply: bytes, line: Line) -> None:
    async with running() as rig:
        wire = await rig.connect()
        await wire.send(greeting)
        assert (await wire.rest()).startswith(reply)
        await wire.close()
        assert line_of(await one_line(rig)) == line


async def test_who_says_nothing_leaves_no_line() -> None:
    async with running(within=limits(head_s=0.2)) as rig:
        wire = await rig.connect()
        assert await wire.rest() == b""
        await wire.close()
        assert rig.lines == []


@pytest.mark.parametrize("bypassed", [True, False])
@pytest.mark.parametrize(
    ("act", "echoed"),
    [
        (sending(b"\x00\x01 something", finish=True), b"\x00\x01 something"),
        (sending(b"\x16\x03\x01\x00\x05abcde", finish=True), b"\x16\x03\x01\x00\x05abcde"),
        (sending(b"GE", finish=True), b"GE"),
        (sending(b"SSH-2.0-x\r\n", finish=True), b"SSH-2.0-x\r\n"),
        (sending(b"", finish=True), b""),
    ],
)
async def test_what_is_no_tls_is_decided_by_the_authority_alone(bypassed: bool, act: Act, echoed: bytes) -> None:
    got: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.append(await reader.read())
        writer.write(b"the end")  # half-closed: the other way is still open
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, running() as rig:
        rig.inspector.refuse = 403
        host = "pin.example" if bypassed else "192.0.2.1"
        wire = await rig.connect()
        await wire.ask_connect(f"{host}:{server.sockets[0].getsockname()[1]}")
        await act(rig, wire)
        assert await wire.rest() == (b"the end" if bypassed else b"")
        await wire.close()
        found = await one_line(rig)
        if bypassed:
            assert (line_of(found), found.received, found.sent) == (
                ("pin.example", "direct", "pinned", ""), len(echoed), 7,
            )  # fmt: skip
            assert got == [echoed]
        else:
            assert line_of(found) == ("192.0.2.1", "refuse", None, "inspector-refused")


async def test_a_silent_client_is_decided_by_the_authority_alone() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 ready\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, running(within=limits(hello_s=0.1)) as rig:
        wire = await rig.connect()
        await wire.ask_connect(f"pin.example:{server.sockets[0].getsockname()[1]}")
        assert await wire.reader.readline() == b"220 ready\r\n"
        await wire.close()
        assert line_of(await one_line(rig)) == ("pin.example", "direct", "pinned", "")


@pytest.mark.parametrize("form", ["connect", "plain"])
async def test_where_split_dns_leads_to_the_inspector_it_is_told(form: str) -> None:
    async with running() as rig:
        rig.addresses["pin.example"] = [ip_address("127.0.0.9")]
        if form == "connect":
            wire = await rig.open(f"pin.example:{rig.tls.port}", "pin.example")
            await wire.get("pin.example")
        else:
            wire = await rig.connect()
            await wire.send(f"GET http://pin.example:{rig.plain.port}/hello HTTP/1.1\r\n\r\n".encode())
            await wire.answer()
        await wire.close()
        assert line_of(await one_line(rig)) == ("pin.example", "proxy", "pinned", "")
        assert len(rig.inspector.asked) == 1


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]", "[::ffff:0.0.0.0]", "localhost", "me.pin.example", "[::1]", "[::]"],
)
@pytest.mark.parametrize("form", ["CONNECT {0}:{1}", "GET http://{0}:{1}/proxy.pac"])
async def test_the_helper_does_not_connect_to_itself(host: str, form: str) -> None:
    six = bound("::1")
    async with running(more=[six]) as rig:
        rig.addresses["me.pin.example"] = [ip_address("::ffff:127.0.0.1")]
        rig.addresses["localhost"] = [ip_address("::1"), LOOPBACK]
        port = six.getsockname()[1] if host in ("[::1]", "[::]", "localhost") else rig.port
        wire = await rig.connect()
        await wire.send(f"{form.format(host, port)} HTTP/1.1\r\n\r\n".encode())
        head = await wire.head()
        if head.startswith(b"HTTP/1.1 200"):  # a name is resolved when it is known what goes there
            await wire.send(b"\x00")
            assert await wire.rest() == b""
        else:
            assert head.startswith(b"HTTP/1.1 403 ")
        await wire.close()
        assert (await one_line(rig)).reason == "own-listener"


@pytest.mark.parametrize(
    "asked", ["CONNECT pin.example:443", "CONNECT 192.0.2.1:443", "GET http://pin.example/", "GET http://localhost/"]
)
async def test_without_a_policy_nothing_is_passed(asked: str) -> None:
    async with running(bundle=False) as rig:
        wire = await rig.connect()
        await wire.send(f"{asked} HTTP/1.1\r\n\r\n".encode())
        assert (await wire.rest()).startswith(b"HTTP/1.1 503 ")
        await wire.close()
        assert (await one_line(rig)).reason == "no-policy"
        assert rig.resolved == []


@pytest.mark.parametrize(
    ("mode", "host", "effect", "reason"),
    [
        ("closed", "www.example", "refuse", "inspector-unreachable"),
        ("open", "www.example", "direct", "inspector-unreachable"),
        ("open", "block.example", "refuse", "inspector-unreachable"),
        ("closed", "pin.example", "direct", ""),
        ("open", "pin.example", "direct", ""),
    ],
)
@pytest.mark.parametrize("form", ["connect", "plain"])
@pytest.mark.parametrize("how", ["nobody listens", "it closes"])
async def test_an_inspector_that_cannot_be_reached(
    mode: str, host: str, effect: str, reason: str, form: str, how: str
) -> None:
    async with running(bundle=False) as rig:
        if how == "nobody listens":
            dead = bound()
            rig.inspector.port = dead.getsockname()[1]
            dead.close()
        else:
            rig.inspector.greeting = b"HTTP/1.1 403 Forbidden\r\n\r\n"
        rig.swap(inspector_unreachable=mode)
        wire = await rig.connect()
        if form == "connect":
            await wire.send(f"CONNECT {host}:{rig.tls.port} HTTP/1.1\r\n\r\n".encode())
            head = await wire.head()
            if effect == "direct":
                await wire.start_tls(host)
                assert (await wire.get(host)).endswith(b"hello\n")
        else:
            await wire.send(f"GET http://{host}:{rig.plain.port}/hello HTTP/1.1\r\n\r\n".encode())
            head = await wire.head()
        assert head.startswith(b"HTTP/1.1 502 " if effect == "refuse" else b"HTTP/1.1 200 ")
        await wire.close()
        found = await one_line(rig)
        assert (found.effect, found.reason) == (effect, reason)


@pytest.mark.parametrize(
    ("sni", "effect"), [("www.example", "direct"), ("other.example", "direct"), ("block.example", "refuse")]
)
async def test_what_is_blocked_does_not_hide_in_a_tunnel_past_a_dead_inspector(sni: str, effect: str) -> None:
    async with running(bundle=False) as rig:
        dead = bound()
        rig.inspector.port = dead.getsockname()[1]
        dead.close()
        rig.swap(inspector_unreachable="open")
        wire = await rig.connect()
        await wire.send(f"CONNECT www.example:{rig.tls.port} HTTP/1.1\r\n\r\n".encode())
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")  # before that nobody says what is inside
        await wire.send(client_hello(sni))
        if effect == "refuse":
            assert await wire.rest() == b""
        else:
            assert await wire.reader.read(1)
        await wire.close()
        found = await one_line(rig)
        assert (found.effect, found.reason) == (effect, "inspector-unreachable")
        assert rig.resolved == ([] if effect == "refuse" else ["www.example"])


async def test_plain_http_in_a_tunnel_does_not_get_past_a_dead_inspector() -> None:
    async with running(bundle=False) as rig:
        dead = bound()
        rig.inspector.port = dead.getsockname()[1]
        dead.close()
        rig.swap(inspector_unreachable="open")
        wire = await rig.connect()
        await wire.send(f"CONNECT www.example:{rig.tls.port} HTTP/1.1\r\n\r\n".encode())
        assert (await wire.head()).startswith(b"HTTP/1.1 200 ")
        await wire.send(b"GET / HTTP/1.1\r\nHost: block.example\r\n\r\n")
        assert await wire.rest() == b""
        await wire.close()
        found = await one_line(rig)
        assert (found.effect, found.reason) == ("refuse", "inspector-unreachable")


@pytest.mark.parametrize(("who", "effect"), [(SLACK, "refuse"), (NOBODY, "refuse"), (CURL, "direct")])
async def test_who_may_be_blocked_does_not_get_past_a_dead_inspector(who: Identity, effect: str) -> None:
    rules = [{"name": "no slack", "action": "block", "domains": ["www.example"], "programs": ["slack"]}]
    async with running(bundle=False, identifier=Named(who)) as rig:
        dead = bound()
        rig.inspector.port = dead.getsockname()[1]
        dead.close()
        rig.swap(rules, inspector_unreachable="open")
        wire = await rig.connect()
        await wire.send(f"GET http://www.example:{rig.plain.port}/hello HTTP/1.1\r\n\r\n".encode())
        assert (await wire.head()).startswith(b"HTTP/1.1 200 " if effect == "direct" else b"HTTP/1.1 502 ")
        await wire.close()
        found = await one_line(rig)
        assert (found.effect, found.reason) == (effect, "inspector-unreachable")


@pytest.mark.parametrize(
    ("host", "quick", "slow", "asked", "outcome"),
    [
        ("app.example", None, SLACK, ["fast", "full"], "direct"),
        ("app.example", None, CURL, ["fast", "full"], "proxy"),
        ("app.example", None, NOBODY, ["fast", "full"], "unknown-program"),
        ("app.example", NOBODY, SLACK, ["fast"], "unknown-program"),
        ("app.example", SLACK, NOBODY, ["fast"], "direct"),
        ("pin.example", None, NOBODY, ["fast"], "direct"),
        ("www.example", None, NOBODY, ["fast"], "proxy"),
    ],
)
async def test_an_unknown_program_can_be_refused(
    host: str, quick: Any, slow: Any, asked: list[str], outcome: str
) -> None:
    who = Named(quick, slow)
    async with running(identifier=who, unknown_process="block") as rig:
        wire = await rig.connect()
        await wire.send(f"GET http://{host}:{rig.plain.port}/hello HTTP/1.1\r\n\r\n".encode())
        head = await wire.head()
        await wire.close()
        found = await one_line(rig)
        assert (found.reason or found.effect) == outcome
        assert head.startswith(b"HTTP/1.1 403 " if outcome == "unknown-program" else b"HTTP/1.1 200 ")
        assert who.asked == asked


@pytest.mark.parametrize(
    ("rules", "log_programs", "asked"),
    [
        ([{"name": "a", "domains": ["pin.example"]}], False, []),
        ([{"name": "a", "domains": ["pin.example"]}], True, ["fast"]),
        ([{"name": "a", "domains": ["pin.example"], "programs": ["curl"]}], False, ["fast"]),
        ([{"name": "a", "domains": ["pin.example"], "source": ["user:alice"]}], False, ["fast"]),
    ],
)
async def test_nobody_is_identified_where_no_rule_asks(
    rules: list[dict[str, Any]], log_programs: bool, asked: list[str]
) -> None:
    who = Named(CURL)
    async with running(rules=rules, identifier=who, log_programs=log_programs) as rig:
        wire = await rig.open(f"pin.example:{rig.tls.port}", "pin.example")
        await wire.close()
        assert (await one_line(rig)).effect == "direct"
        assert who.asked == asked


async def test_an_inspector_that_closed_a_waiting_connection_is_asked_on_another() -> None:
    async with running() as rig:
        await eventually(lambda: rig.inspector.connections >= rig.works.limits.warm)
        rig.inspector.quitting = True
        wire = await rig.connect()
        await wire.send(f"CONNECT www.example:{rig.tls.port} HTTP/1.1\r\n\r\n".encode())
        assert (await wire.head()).startswith(b"HTTP/1.1 502 ")
        await wire.close()
        rig.inspector.quitting = False
        wire = await rig.open(f"www.example:{rig.tls.port}", "www.example")
        assert (await wire.get("www.example")).endswith(b"hello\n")
        await wire.close()


async def test_what_the_inspector_answers_instead_is_shown() -> None:
    async with running() as rig:
        rig.inspector.refuse = 403
        wire = await rig.connect()
        await wire.send(b"CONNECT www.example:443 HTTP/1.1\r\n\r\n")
        assert (await wire.rest()) == b"HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nsorry"
        await wire.close()


async def test_nothing_passes_behind_a_plain_request() -> None:
    async with running() as rig:
        wire = await rig.connect()
        first = f"POST http://pin.example:{rig.plain.port}/echo HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
        await wire.send(first.encode() + b"GET /secret HTTP/1.1\r\nHost: other.example\r\n\r\n")
        assert (await wire.answer()).endswith(b"hello")
        await wire.send(b"GET /secret HTTP/1.1\r\nHost: other.example\r\n\r\n")
        await wire.close()
        await one_line(rig)
        assert [head.target for head in rig.plain.heads] == ["/echo"]


@pytest.mark.parametrize("host", ["pin.example", "www.example"])
async def test_a_web_socket(host: str) -> None:
    async with running() as rig:
        wire = await rig.connect()
        await wire.send(
            f"GET http://{host}:{rig.plain.port}/ws HTTP/1.1\r\nConnection: keep-alive, Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Key: eA==\r\n\r\n".encode()
        )
        head = await wire.head()
        assert head.startswith(b"HTTP/1.1 101 ") and b"Upgrade: websocket" in head
        await wire.send(b"frames")
        assert await wire.reader.readexactly(6) == b"frames"
        await wire.close()
        assert (await one_line(rig)).received == 6


@pytest.mark.parametrize(("over", "status"), [(-1, 200), (0, 200), (1, 431)])
async def test_the_size_of_a_head(over: int, status: int) -> None:
    async with running(within=limits(max_head_bytes=4096)) as rig:
        begin = f"GET http://pin.example:{rig.plain.port}/hello HTTP/1.1\r\nX: ".encode()
        wire = await rig.connect()
        await wire.send(begin + b"a" * (4096 + over - len(begin) - 4) + b"\r\n\r\n")
        assert (await wire.head()).startswith(b"HTTP/1.1 %d " % status)
        await wire.close()


@pytest.mark.parametrize("host", ["pin.example", "192.0.2.1"])
async def test_a_client_that_resets(host: str) -> None:
    async with running() as rig:
        rig.inspector.forward[host] = rig.tls.port
        wire = await rig.open(f"{host}:{rig.tls.port}", "pin.example" if host == "pin.example" else "www.example")
        wire.writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        wire.writer.transport.abort()
        await one_line(rig)
        await eventually(lambda: rig.proxy.counters()["connections"] == 0)


async def test_a_client_that_goes_while_it_is_served_closes_everything() -> None:
    async with running() as rig:
        wire = await rig.connect()
        await wire.send(b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n")
        await wire.head()
        await wire.close()
        await rig.settled()
        await eventually(lambda: rig.proxy.counters()["connections"] == 0)
