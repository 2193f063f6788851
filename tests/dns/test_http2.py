"""HTTP/2 against the h2 library, frame by frame where that would not send them, and on anything at all."""

import contextlib
import struct
from collections.abc import Iterable

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steering_dns import http2
from steering_dns.http2 import PREFACE, Code, ConnectionFault, Http2, frame

HEAD = [(":method", "POST"), (":scheme", "https"), (":authority", "dns.test"), (":path", "/dns-query")]
OK = b"\x88"
# The four pseudo-header fields of HEAD, without indexing and Huffman coding.
BLOCK = b"".join(b"\0" + bytes((len(n),)) + n.encode() + bytes((len(v),)) + v.encode() for n, v in HEAD)
SETTINGS = frame(http2.SETTINGS, 0, 0)
END = http2.END_HEADERS | http2.END_STREAM


class Peer:
    """A client by the h2 library, and our side of its connection."""

    def __init__(self) -> None:
        self.client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.server = Http2()
        self.client.initiate_connection()
        self.bodies: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self.other: list[h2.events.Event] = []

    def send(self, *, piece: int = 1 << 20) -> list[http2.Request]:
        """What the client has to say; what comes back is noted."""
        data, requests = self.client.data_to_send(), list[http2.Request]()
        for at in range(0, len(data), piece):
            requests += self.server.receive(data[at : at + piece])
        self.back()
        return requests

    def back(self) -> None:
        for event in self.client.receive_data(self.server.take()):
            match event:
                case h2.events.DataReceived():
                    assert event.data is not None and event.stream_id is not None
                    self.bodies[event.stream_id] = self.bodies.get(event.stream_id, b"") + event.data
                    self.client.acknowledge_received_data(event.flow_controlled_length or 0, event.stream_id)
                case h2.events.StreamEnded():
                    self.ended.add(event.stream_id or 0)
                case _:
                    self.other.append(event)

    def ask(self, body: bytes, fields: Iterable[tuple[str, str]] = HEAD) -> int:
        stream = self.client.get_next_available_stream_id()
        self.client.send_headers(stream, list(fields))
        self.client.send_data(stream, body, end_stream=True)
        return stream


@pytest.mark.parametrize("piece", [1, 5, 1 << 20])
def test_requests_and_responses(piece: int) -> None:
    peer = Peer()
    streams = [peer.ask(b"question %d" % i, [*HEAD, ("content-type", "a/b")]) for i in range(5)]
    requests = peer.send(piece=piece)
    assert [(r.stream, r.body, r.too_large) for r in requests] == [
        (s, b"question %d" % i, False) for i, s in enumerate(streams)
    ]
    assert [(n.decode(), v.decode()) for n, v in requests[0].fields] == [*HEAD, ("content-type", "a/b")]
    for request in reversed(requests):
        peer.server.respond(request.stream, OK, b"answer to " + request.body)
    peer.back()
    assert peer.bodies == {s: b"answer to question %d" % i for i, s in enumerate(streams)}
    assert peer.ended == set(streams)
    assert peer.server.waiting == 0


def test_fields_that_are_repeated_mean_the_same_until_the_table_changes() -> None:
    peer = Peer()
    for fields in ([("x", "1")], [("x", "1")], [("x", "1")], [("x", "2")], [("x", "1")], [("x", "2")], [("y", "3")]):
        for _ in range(2):
            peer.ask(b"q", [*HEAD, *fields])
            (request,) = peer.send()
            assert [(n.decode(), v.decode()) for n, v in request.fields] == [*HEAD, *fields]
            peer.server.respond(request.stream, OK, b"")


class Watched(hpack.Decoder):
    """A decoder that tells whether a block changed its table."""

    def changes(self, block: bytes) -> bool:
        def table() -> object:
            return self.header_table.maxsize, list(self.header_table.dynamic_entries)

        before = table()
        self.decode(block, raw=True)
        return before != table()


PIECES = st.one_of(
    st.integers(0x81, 0xC5).map(lambda b: bytes((b,))),
    st.sampled_from(
        [b"\x04\x01/", b"\x0f\x0d\x0242", b"\x00\x01x\x01y", b"\x10\x01x\x01y", b"\x5c\x0242", b"\x3f\x01"]
    ),
    st.binary(max_size=6),
)


@given(st.lists(PIECES, max_size=8).map(b"".join))
@settings(max_examples=500)
def test_a_block_that_is_remembered_leaves_the_table_alone(block: bytes) -> None:
    decoder = Watched()
    decoder.decode(b"\x40\x01a\x01b" * 8, raw=True)
    with contextlib.suppress(hpack.HPACKError):
        assert not (decoder.changes(block) and http2.leaves_table(block))


def test_what_clients_repeat_is_remembered() -> None:
    """As nghttp2 sends it: indices, the path and the length of the body as literals."""
    assert http2.leaves_table(b"\x83\x87\x04\x0a/dns-query\xc1\x0f\x0d\x0240")
    assert not http2.leaves_table(b"\x83\x87\x44\x0a/dns-query")


def test_long_responses_wait_for_the_windows() -> None:
    peer = Peer()
    peer.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 10})
    first, second = peer.ask(b"a"), peer.ask(b"b")
    bodies = {request.stream: request.body * 60_000 for request in peer.send()}
    for stream, body in bodies.items():
        peer.server.respond(stream, OK, body)
    peer.back()
    assert peer.bodies == {first: b"a" * 10, second: b"b" * 10}
    for _ in range(40):
        peer.send()  # with the client's window updates
        peer.client.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 50_000})
    assert peer.bodies == bodies
    assert peer.ended == {first, second}


def test_bodies_up_to_a_message_are_taken() -> None:
    peer = Peer()
    stream = peer.client.get_next_available_stream_id()
    peer.client.send_headers(stream, HEAD)
    for size in (16_384, 16_384, 16_384, 16_383):
        peer.client.send_data(stream, b"x" * size)
        assert peer.send() == []
    peer.client.end_stream(stream)
    assert [len(r.body) for r in peer.send()] == [65_535]


def served(*frames: bytes) -> Http2:
    server = Http2()
    server.receive(PREFACE + SETTINGS + b"".join(frames))
    return server


def request(stream: int = 1, block: bytes = BLOCK, flags: int = END) -> bytes:
    return frame(http2.HEADERS, flags, stream, block)


GO_AWAY: dict[str, tuple[bytes, Code]] = {
    "no preface": (b"GET / HTTP/1.1\r\n\r\n", Code.PROTOCOL_ERROR),
    "no settings": (PREFACE + request(), Code.PROTOCOL_ERROR),
    "a frame too large": (PREFACE + SETTINGS + b"\0\x40\1" + b"\0" * 6, Code.FRAME_SIZE_ERROR),
    "settings of a stream": (PREFACE + frame(http2.SETTINGS, 0, 1), Code.PROTOCOL_ERROR),
    "settings cut": (PREFACE + frame(http2.SETTINGS, 0, 0, b"12345"), Code.FRAME_SIZE_ERROR),
    "settings acknowledged with more": (PREFACE + frame(http2.SETTINGS, 1, 0, b"123456"), Code.FRAME_SIZE_ERROR),
    "push that is no switch": (PREFACE + frame(http2.SETTINGS, 0, 0, b"\0\2\0\0\0\2"), Code.PROTOCOL_ERROR),
    "a window too large": (PREFACE + frame(http2.SETTINGS, 0, 0, b"\0\4\x80\0\0\0"), Code.FLOW_CONTROL_ERROR),
    "a frame size too small": (PREFACE + frame(http2.SETTINGS, 0, 0, b"\0\5\0\0\x3f\xff"), Code.PROTOCOL_ERROR),
    "an even stream": (PREFACE + SETTINGS + request(2), Code.PROTOCOL_ERROR),
    "no stream": (PREFACE + SETTINGS + request(0), Code.PROTOCOL_ERROR),
    "a stream again": (PREFACE + SETTINGS + request(3) + request(1), Code.STREAM_CLOSED),
    "data of no stream": (PREFACE + SETTINGS + frame(http2.DATA, 0, 0, b"x"), Code.PROTOCOL_ERROR),
    "data of an idle stream": (PREFACE + SETTINGS + frame(http2.DATA, 0, 1, b"x"), Code.PROTOCOL_ERROR),
    "more padding than data": (
        PREFACE + SETTINGS + request(1, flags=4) + frame(http2.DATA, http2.PADDED, 1, b"\2x"),
        Code.PROTOCOL_ERROR,
    ),
    "a push": (PREFACE + SETTINGS + frame(http2.PUSH_PROMISE, 0, 1, b"\0\0\0\2"), Code.PROTOCOL_ERROR),
    "a ping of a stream": (PREFACE + SETTINGS + frame(http2.PING, 0, 1, b"12345678"), Code.PROTOCOL_ERROR),
    "a short ping": (PREFACE + SETTINGS + frame(http2.PING, 0, 0, b"1234567"), Code.FRAME_SIZE_ERROR),
    "a reset of an idle stream": (PREFACE + SETTINGS + frame(http2.RST_STREAM, 0, 1, b"\0" * 4), Code.PROTOCOL_ERROR),
    "a short reset": (PREFACE + SETTINGS + frame(http2.RST_STREAM, 0, 1, b"\0"), Code.FRAME_SIZE_ERROR),
    "continuation of nothing": (PREFACE + SETTINGS + frame(http2.CONTINUATION, 4, 1), Code.PROTOCOL_ERROR),
    "an interrupted block": (PREFACE + SETTINGS + request(1, flags=1) + SETTINGS, Code.PROTOCOL_ERROR),
    "another stream's continuation": (
        PREFACE + SETTINGS + request(1, flags=1) + frame(http2.CONTINUATION, 4, 3),
        Code.PROTOCOL_ERROR,
    ),
    "a block that cannot be read": (PREFACE + SETTINGS + request(1, b"\xff\xff\xff"), Code.COMPRESSION_ERROR),
    "an index that is none": (PREFACE + SETTINGS + request(1, b"\xfe"), Code.COMPRESSION_ERROR),
    "no window": (PREFACE + SETTINGS + frame(http2.WINDOW_UPDATE, 0, 0, b"\0" * 4), Code.PROTOCOL_ERROR),
    "the window overflows": (
        PREFACE + SETTINGS + frame(http2.WINDOW_UPDATE, 0, 0, b"\x7f\xff\xff\xff"),
        Code.FLOW_CONTROL_ERROR,
    ),
    "depends on itself": (PREFACE + SETTINGS + request(1, b"\0\0\0\1\0" + BLOCK, END | 32), Code.PROTOCOL_ERROR),
}


@pytest.mark.parametrize("case", GO_AWAY)
@pytest.mark.parametrize("piece", [1, 1 << 20])
def test_what_ends_a_connection(case: str, piece: int) -> None:
    data, code = GO_AWAY[case]
    server = Http2()
    with pytest.raises(ConnectionFault) as fault:
        for at in range(0, len(data), piece):
            server.receive(data[at : at + piece])
    assert fault.value.code is code
    assert server.take()[-4:] == struct.pack("!I", code)
    assert server.receive(request(5)) == []


def kinds(data: bytes) -> list[tuple[int, int]]:
    """Kind and stream of each frame."""
    found, at = [], 0
    while at < len(data):
        found.append((data[at + 3], int.from_bytes(data[at + 5 : at + 9], "big")))
        at += 9 + int.from_bytes(data[at : at + 3], "big")
    return found


def literal(name: bytes, value: bytes) -> bytes:
    return b"\0" + bytes((len(name),)) + name + bytes((len(value),)) + value


@pytest.mark.parametrize(
    "block",
    [
        literal(b":method", b"GET"),
        BLOCK + literal(b":path", b"/"),
        BLOCK + literal(b"x", b"y") + literal(b":x", b"y"),
        BLOCK + literal(b":x", b"y"),
        BLOCK + literal(b"X", b"y"),
        BLOCK + literal(b"connection", b"close"),
        BLOCK + literal(b"te", b"gzip"),
        BLOCK + literal(b"x", b"a\nb"),
        BLOCK + literal(b"content-length", b"1"),
        b"",
    ],
)
def test_a_malformed_request_costs_its_stream_alone(block: bytes) -> None:
    server = Http2()
    assert server.receive(PREFACE + SETTINGS + request(1, block)) == []
    assert kinds(server.take())[-1] == (http2.RST_STREAM, 1)
    assert [r.stream for r in server.receive(request(3))] == [3]


def test_a_body_too_long_is_told_at_once_and_the_rest_passed_over() -> None:
    server = served()
    found = server.receive(request(1, flags=4))
    for _ in range(5):
        found += server.receive(frame(http2.DATA, 0, 1, b"x" * 16_384))
        server.take()
    assert [(r.stream, r.body, r.too_large) for r in found] == [(1, b"", True)]
    server.respond(1, OK, b"too long")
    assert kinds(server.take()) == [(http2.HEADERS, 1), (http2.DATA, 1)]
    server.receive(frame(http2.DATA, http2.END_STREAM, 1, b"x"))
    assert server.take() == b""


def test_bodies_that_come_to_no_end_end_the_connection() -> None:
    piece = b"x" * 16_383  # four times, and three bytes are missing
    frames = [request(2 * i + 1, flags=4) + 4 * frame(http2.DATA, 0, 2 * i + 1, piece) for i in range(5)]
    assert ends_after(frames[:4]) == 0
    assert ends_after(frames) == 5


@pytest.mark.parametrize(("over", "ends"), [(-1, 0), (0, 0), (1, 1)])
def test_settings_of_one_frame_are_few(over: int, ends: int) -> None:
    """Each of them moves the windows of up to a hundred streams."""
    settings_frame = frame(http2.SETTINGS, 0, 0, b"\0\4\0\0\0\7" * (http2.MAX_SETTINGS + over))
    assert ends_after([settings_frame]) == ends


def test_a_response_that_waits_for_a_window_is_not_waited_for_by_us() -> None:
    server = served(frame(http2.SETTINGS, 0, 0, b"\0\4\0\0\0\0"), request(1))
    assert (server.waiting, server.unanswered) == (1, 1)
    server.respond(1, OK, b"x")
    assert (server.waiting, server.unanswered) == (1, 0)
    server.receive(frame(http2.WINDOW_UPDATE, 0, 1, b"\0\0\0\1"))
    assert (server.waiting, server.unanswered) == (0, 0)


def test_more_streams_than_may_wait_are_refused() -> None:
    server, asked = served(), 0
    for i in range(http2.MAX_STREAMS + 1):
        asked += len(server.receive(request(2 * i + 1)))
    assert asked == http2.MAX_STREAMS
    assert kinds(server.take())[-1] == (http2.RST_STREAM, 2 * http2.MAX_STREAMS + 1)
    server.respond(1, OK, b"")
    assert len(server.receive(request(2 * http2.MAX_STREAMS + 3))) == 1


def ends_after(pieces: Iterable[bytes]) -> int:
    """After how many the connection ends for being a nuisance."""
    server = served()
    for number, piece in enumerate(pieces, 1):
        try:
            server.receive(piece)
            server.take()
        except ConnectionFault as exc:
            assert exc.code is Code.ENHANCE_YOUR_CALM
            return number
    return 0


def test_nuisances_end_the_connection() -> None:
    """Rapid resets, floods of pings, settings, empty data and continuations."""
    rapid = (request(2 * i + 1) + frame(http2.RST_STREAM, 0, 2 * i + 1, b"\0\0\0\x08") for i in range(10_000))
    assert ends_after(rapid) == http2.MAX_RESETS + 1
    served_frames = http2.MAX_CONTROL  # the first SETTINGS is one of them
    assert ends_after([frame(http2.PING, 0, 0, b"12345678")] * 10_000) == served_frames
    assert ends_after([SETTINGS] * 10_000) == served_frames
    assert ends_after([request(1, flags=4), *[frame(http2.DATA, 0, 1)] * 10_000]) == served_frames + 1
    assert ends_after([request(1, flags=1), *[frame(http2.CONTINUATION, 0, 1)] * 10_000]) == served_frames + 1
    blocks = [request(1, b"", flags=1), *[frame(http2.CONTINUATION, 0, 1, b"x" * 1000)] * 100]
    assert ends_after(blocks) == 1 + http2.MAX_BLOCK_BYTES // 1000 + 1


def test_who_is_answered_may_go_on_for_ever() -> None:
    server = served()
    for i in range(3 * http2.MAX_CONTROL):
        pings = frame(http2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1") + frame(http2.WINDOW_UPDATE, 0, 0, b"\0\0\0\1")
        assert len(server.receive(request(2 * i + 1) + pings)) == 1
        server.respond(2 * i + 1, OK, b"x")
        server.take()
    assert server.waiting == 0


def test_responses_that_nobody_takes_end_the_connection() -> None:
    server = served(frame(http2.SETTINGS, 0, 0, b"\0\4\0\0\0\0"))
    for i in range(17):
        server.receive(request(2 * i + 1))
        server.respond(2 * i + 1, OK, b"x" * 65_535)
    assert kinds(server.take())[-1] == (http2.GOAWAY, 0)


def test_a_stream_that_was_reset_gets_no_response() -> None:
    server = served(request(1), frame(http2.RST_STREAM, 0, 1, b"\0" * 4))
    server.take()
    server.respond(1, OK, b"late")
    assert server.take() == b""


FRAMES = st.builds(
    frame,
    st.integers(0, 12),
    st.integers(0, 255),
    st.sampled_from([0, 1, 2, 3, 5, 7, 0x7FFFFFFF, 0x80000001]),
    st.one_of(st.just(BLOCK), st.binary(max_size=40), st.sampled_from([b"\0\0\0\1", b"\0\4\0\0\0\7", b"12345678"])),
)


@given(st.lists(st.one_of(FRAMES, FRAMES, st.binary(max_size=30)), max_size=12), st.booleans())
@settings(max_examples=400)
def test_any_frames(frames: list[bytes], answering: bool) -> None:
    """A fault or requests, never anything else; and what is said stays a row of whole frames."""
    server = Http2()
    said = b""
    with contextlib.suppress(ConnectionFault):
        for piece in [PREFACE + SETTINGS, *frames]:
            for found in server.receive(piece):
                if answering:
                    server.respond(found.stream, OK, b"x" * 20_000)
            said += server.take()
    said += server.take()
    assert all(kind <= http2.CONTINUATION for kind, _ in kinds(said))
