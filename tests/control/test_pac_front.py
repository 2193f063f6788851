"""What stands in front of aiohttp answers as aiohttp behind it does, or leaves it to aiohttp."""

import asyncio
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steering.control import pac_front
from steering.control.pac_front import Answers, PacConnection, read_plain
from steering.control.web import Asked
from tests.control.rigs import WebRig, enforced_of, web_rig
from tests.kit import eventually
from tests.policy.work import calls

GET = b"GET /proxy.pac HTTP/1.1\r\nHost: p.example\r\n"
ASKED = Asked(zipped=False, tags=frozenset())

# Head -> what it asks for; None: it is left to aiohttp.
HEADS: dict[bytes, Asked | None] = {
    GET + b"\r\n": ASKED,
    GET.replace(b"proxy.pac", b"wpad.dat") + b"\r\n": ASKED,
    GET + b"Accept-Encoding: gzip, deflate\r\n\r\n": replace(ASKED, zipped=True),
    GET + b"accept-encoding:gzip;q=0\r\n\r\n": ASKED,
    GET + b'If-None-Match: "a", W/"b"\r\n\r\n': replace(ASKED, tags=frozenset(('"a"', '"b"'))),
    GET + b"Connection: Keep-Alive\r\nUser-Agent: x\r\n\r\n": ASKED,
    GET + b"X: " + b"a" * 1002 + b"\r\n\r\n": ASKED,
    GET + b"X: " + b"a" * 1003 + b"\r\n\r\n": None,
    GET + b"Connection: close\r\n\r\n": None,
    GET + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n": None,
    GET + b"Content-Length: 0\r\n\r\n": None,
    GET + b"Transfer-Encoding: chunked\r\n\r\n": None,
    GET + b"Expect: 100-continue\r\n\r\n": None,
    GET + b"Host: p.example\r\n\r\n": None,
    GET + b"Accept-Encoding: gzip\r\naccept-encoding: br\r\n\r\n": None,
    GET + b"X:\r\n\r\n": None,
    GET + b"X : a\r\n\r\n": None,
    GET + b" folded\r\n\r\n": None,
    GET + b"X: a\nb\r\n\r\n": None,
    GET + b"X: \xc3\xa9\r\n\r\n": None,
    GET + b"X: a\0\r\n\r\n": None,
    GET: None,
    GET + b"\r\n" + GET + b"\r\n": None,
    GET + b"\r\nbody": None,
    b"\r\n" + GET + b"\r\n": None,
    b"GET /proxy.pac HTTP/1.1\r\n\r\n": None,
    b"GET /proxy.pac HTTP/1.0\r\nHost: p.example\r\n\r\n": None,
    b"get /proxy.pac HTTP/1.1\r\nHost: p.example\r\n\r\n": None,
    b"HEAD /proxy.pac HTTP/1.1\r\nHost: p.example\r\n\r\n": None,
    b"GET /proxy.pac? HTTP/1.1\r\nHost: p.example\r\n\r\n": None,
    b"GET /Proxy.pac HTTP/1.1\r\nHost: p.example\r\n\r\n": None,
    b"GET /proxyxpac HTTP/1.1\r\nHost: p.example\r\n\r\n": None,
    b"GET //proxy.pac HTTP/1.1\r\nHost: p.example\r\n\r\n": None,
    b"GET /readyz HTTP/1.1\r\nHost: p.example\r\n\r\n": None,
    b"GET http://p.example/proxy.pac HTTP/1.1\r\nHost: p.example\r\n\r\n": None,
    b"": None,
}


@pytest.mark.parametrize("head", HEADS)
def test_what_is_plainly_a_request_for_a_pac(head: bytes) -> None:
    assert read_plain(head) == HEADS[head]


@pytest.mark.parametrize("over", [-1, 0, 1])
def test_the_limit_of_a_head(over: int) -> None:
    head = GET + b"A: " + b"a" * 1000 + b"\r\nB: \r\n\r\n"
    head = head.replace(b"B: ", b"B: " + b"b" * (pac_front.MAX_HEAD_BYTES - len(head) + over), 1)
    assert len(head) == pac_front.MAX_HEAD_BYTES + over
    assert (read_plain(head) is None) == (over > 0)


@dataclass
class Answered:
    status: bytes
    fields: dict[bytes, bytes]
    body: bytes


async def answered(reader: asyncio.StreamReader) -> Answered:
    async with asyncio.timeout(20):
        status, *lines = (await reader.readuntil(b"\r\n\r\n"))[:-4].split(b"\r\n")
        fields = {name.lower(): value for name, _, value in (line.partition(b": ") for line in lines)}
        return Answered(status, fields, await reader.readexactly(int(fields.get(b"content-length", b"0"))))


async def ask(port: int, *chunks: bytes) -> Answered:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for chunk in chunks:
        writer.write(chunk)
        await asyncio.sleep(0)
    found = await answered(reader)
    writer.close()
    return found


@asynccontextmanager
async def rig_of(folder: Path) -> AsyncIterator[WebRig]:
    async with web_rig(folder, enforced_of()) as rig:
        yield rig


async def test_it_answers_as_what_stands_behind_it(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        tag = (await ask(rig.port, GET + b"\r\n")).fields[b"etag"]
        for more in (
            b"",
            b"Accept-Encoding: gzip\r\n",
            b"If-None-Match: " + tag + b"\r\n",
            b"If-None-Match: *\r\n",
            b'If-None-Match: "another"\r\n',
            b"Accept-Encoding: gzip\r\nIf-None-Match: " + tag + b"\r\n",
            b"Accept-Encoding: gzip\r\nIf-None-Match: W/" + tag[:-1] + b'-gzip"\r\n',
        ):
            assert read_plain(GET + more + b"\r\n") is not None
            front, behind = [await ask(port, GET + more + b"\r\n") for port in (rig.port, rig.port_behind)]
            front.fields[b"date"] = behind.fields[b"date"]  # a second may have passed
            assert front == behind, more


@given(st.binary(max_size=12), st.integers(0, len(GET)))
def test_nothing_but_a_pac_is_read_out_of_noise(noise: bytes, at: int) -> None:
    read = read_plain(GET[:at] + noise + GET[at:] + b"\r\n")
    assert read is None or read == ASKED


async def test_everything_else_is_answered_too_and_what_comes_in_pieces(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        whole = await ask(rig.port, GET + b"\r\n")
        pieces = await ask(rig.port, *(bytes((byte,)) for byte in GET + b"\r\n"))
        assert (pieces.status, pieces.body) == (whole.status, whole.body)
        assert (await ask(rig.port, b"GET /healthz HTTP/1.1\r\nHost: p.example\r\n\r\n")).body == b'{"status": "ok"}'
        served = rig.served
        pacs, served.pacs = served.pacs, None
        assert (await ask(rig.port, GET + b"\r\n")).status == b"HTTP/1.1 503 Service Unavailable"
        served.pacs = pacs


async def test_one_connection_for_all_of_it(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        plain, zipped = GET + b"\r\n", GET + b"Accept-Encoding: gzip\r\n\r\n"
        health = b"GET /healthz HTTP/1.1\r\nHost: p.example\r\n\r\n"
        found = []
        for sent in (plain, zipped, plain + zipped, health, plain):
            writer.write(sent)
            found += [await answered(reader) for _ in range(sent.count(b"GET "))]
        first = found[0]
        assert [gzip.decompress(each.body) == first.body for each in (found[1], found[3])] == [True, True]
        assert [found[2].body, found[5].body] == [first.body] * 2
        assert found[4].body == b'{"status": "ok"}'
        writer.close()


async def test_new_pacs_are_served_on_kept_connections(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        bodies = []
        for enforced in (enforced_of(), enforced_of([{"name": "new", "domains": ["new.example"]}]), enforced_of()):
            rig.served.pacs = enforced.pacs
            writer.write(GET + b"\r\n")
            bodies.append((await answered(reader)).body)
        assert bodies[0] == bodies[2] != bodies[1] and b"new.example" in bodies[1]
        writer.close()


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and what is asked of it."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.acts: list[str] = []
        self.unsent = 0

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return ("127.0.0.1", 5) if name == "peername" else default

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        self.acts.append("pause")

    def resume_reading(self) -> None:
        self.acts.append("resume")

    def close(self) -> None:
        self.acts.append("close")

    def abort(self) -> None:
        self.acts.append("abort")


@dataclass
class Held:
    """A connection whose wire is in our hands."""

    rig: WebRig
    wire: Wire = field(default_factory=Wire)
    opened: set[PacConnection] = field(default_factory=set)

    def connection(self) -> PacConnection:
        made = PacConnection(self.rig.served, Answers(), asyncio.Protocol, self.opened)
        made.connection_made(self.wire)
        return made


async def test_who_asks_and_does_not_read_is_not_listened_to(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        held = Held(rig)
        connection = held.connection()
        connection.data_received(GET + b"\r\n")
        connection.pause_writing()
        connection.resume_writing()
        assert (len(held.wire.written), held.wire.acts) == (1, ["pause", "resume"])
        connection.connection_lost(None)
        assert held.opened == set()


# What is unsent at each look -> how it ends.
ENDS: dict[str, tuple[list[int], str]] = {
    "nothing asked": ([0], "close"),
    "nobody reads": ([500, 500], "abort"),
    "somebody reads slowly": ([500, 400, 300, 0], "close"),
}


@pytest.mark.parametrize("case", ENDS)
async def test_a_connection_on_which_nothing_moves_is_ended(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsent, end = ENDS[case]
    monkeypatch.setattr(pac_front, "IDLE_S", 0.05)
    async with rig_of(tmp_path) as rig:
        held = Held(rig)
        looks = iter(unsent)
        monkeypatch.setattr(held.wire, "get_write_buffer_size", lambda: next(looks, unsent[-1]))
        connection = held.connection()
        await eventually(lambda: held.wire.acts, what="its end")
        assert held.wire.acts == [end]
        assert next(looks, None) is None, "it was looked at as often as something had moved"
        connection.connection_lost(None)


async def test_the_end_of_the_service_ends_them(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
        writer.write(GET + b"\r\n")
        await answered(reader)
    assert await reader.read() == b""
    writer.close()


async def test_a_request_that_was_seen_before_is_not_read_again(tmp_path: Path) -> None:
    async with rig_of(tmp_path) as rig:
        held = Held(rig)
        connection = held.connection()
        monotony = GET + b'Accept-Encoding: gzip\r\nIf-None-Match: "x"\r\n\r\n'
        connection.data_received(monotony)
        # The answers of a second are made anew in the next: the fewest of three has had none of that.
        fewest = min(sum(calls(lambda: connection.data_received(monotony)).values()) for _ in range(3))
        assert fewest <= 15
        connection.connection_lost(None)


def test_what_is_remembered_is_bounded() -> None:
    answers = Answers()
    for number in range(2 * pac_front.MAX_REMEMBERED + 1):
        head = GET + f'If-None-Match: "{number}"\r\n\r\n'.encode()
        assert answers.asked(head) == replace(ASKED, tags=frozenset((f'"{number}"',)))
        assert answers.remembered <= pac_front.MAX_REMEMBERED
