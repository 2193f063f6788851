"""HTTP/2 (RFC 9113) as far as one request with a short body and one short response need it: bytes in, requests out.

Pure, but for the connection's own state.  Of a server: no push, no priorities.  Everything that a peer can make grow
has a limit, and whoever works against them loses the connection: header blocks (CONTINUATION floods), streams that are
opened and reset again (CVE-2023-44487), frames that have us answer (PING, SETTINGS, empty DATA).

HPACK decoding is ``hpack``'s, and takes 50 us a request.  A block of indices and literals that are not to be indexed
leaves the table alone and so means the same as long as the table stays: it is remembered.  Clients that repeat their
header fields, as those that POST do, send such blocks from their second request on.
"""

import struct
from dataclasses import dataclass
from enum import IntEnum

from hpack import Decoder, HPACKError

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
MAX_STREAMS = 100
MAX_BLOCK_BYTES = 16_384
MAX_LIST_BYTES = 16_384
MAX_BODY_BYTES = 65_535  # a DNS message
MAX_BODIES_BYTES = 4 * MAX_BODY_BYTES  # of all streams whose request is not whole
MAX_SETTINGS = 32  # in one frame: each may move the windows of all streams
MAX_RESETS = 200  # streams that came to nothing, beyond those that were answered
MAX_CONTROL = 1000  # frames that are no part of a request, likewise
MAX_UNSENT_BYTES = 1 << 20  # of responses that wait for the client's windows
_OUR_FRAME_BYTES = 16_384
_WINDOW = 65_535
_STREAM_WINDOW = 131_072  # none has to be enlarged: it has room for a body, and to see that one is too long
_MAX_WINDOW = (1 << 31) - 1

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED, WITH_PRIORITY = 1, 1, 4, 8, 32
_ENABLE_PUSH, _MAX_CONCURRENT, _INITIAL_WINDOW, _MAX_FRAME, _MAX_LIST = 2, 3, 4, 5, 6
Fields = tuple[tuple[bytes, bytes], ...]


class Code(IntEnum):
    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    COMPRESSION_ERROR = 9
    ENHANCE_YOUR_CALM = 11


class ConnectionFault(Exception):
    """The peer broke the protocol so that nothing more can be said to it but GOAWAY."""

    def __init__(self, code: Code, why: str) -> None:
        super().__init__(why)
        self.code = code


@dataclass(frozen=True, slots=True)
class Request:
    """fields: in order, pseudo-header fields first.  too_large: of the body, only that it was too long is known."""

    stream: int
    fields: Fields
    body: bytes
    too_large: bool = False


class _Stream:
    __slots__ = ("body", "fields", "too_large")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.body = bytearray()
        self.too_large = False


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def _settings(*pairs: tuple[int, int]) -> bytes:
    return frame(SETTINGS, 0, 0, b"".join(struct.pack("!HI", *pair) for pair in pairs))


GREETING = _settings((_MAX_CONCURRENT, MAX_STREAMS), (_INITIAL_WINDOW, _STREAM_WINDOW), (_MAX_LIST, MAX_LIST_BYTES))
_ACKNOWLEDGED = frame(SETTINGS, ACK, 0)


class Http2:
    """One connection.  ``receive`` bytes, ``respond`` to requests, ``take`` what is to be sent."""

    def __init__(self) -> None:
        self._in = bytearray()
        self._out: list[bytes] = [GREETING]
        self._known_as_http2 = self._greeted = self._ended = False
        self._decoder = Decoder(max_header_list_size=MAX_LIST_BYTES)
        self._known: dict[bytes, tuple[Fields, bool]] = {}  # blocks that leave the table as it is
        self._open: dict[int, _Stream] = {}  # whose request is not whole
        self._asked: set[int] = set()  # that wait for our response
        self._overlong: set[int] = set()  # whose body goes on although it is too long
        self._last = 0
        self._block: tuple[int, int, bytearray] | None = None  # stream, flags, what came of its header block
        self._unacknowledged = 0  # bytes of bodies that the connection's window was not given back
        self._window = _WINDOW
        self._windows: dict[int, int] = {}  # of streams with a response that waits, or enlarged beforehand
        self._initial_window = _WINDOW
        self._unsent: dict[int, bytes] = {}
        self._unsent_bytes = 0
        self._max_frame = _OUR_FRAME_BYTES
        self._resets = self._control = 0

    @property
    def waiting(self) -> int:
        """Requests without a whole response."""
        return len(self._asked) + len(self._unsent)

    @property
    def unanswered(self) -> int:
        """Those of them that wait for us, not for the client's windows."""
        return len(self._asked)

    def take(self) -> bytes:
        out = b"".join(self._out)
        self._out.clear()
        return out

    def receive(self, data: bytes) -> list[Request]:
        """The requests that are now whole.  Raises ConnectionFault; what ``take`` gives then ends with GOAWAY."""
        if self._ended:
            return []
        self._in += data
        try:
            return self._requests()
        except ConnectionFault as exc:
            self.end(exc.code)
            raise

    def end(self, code: Code = Code.NO_ERROR) -> None:
        """Say that no new stream will be served."""
        if not self._ended:
            self._ended = True
            self._out.append(frame(GOAWAY, 0, 0, struct.pack("!II", self._last, code)))

    def respond(self, stream: int, block: bytes, body: bytes) -> None:
        """block: a header block that leaves the dynamic table alone (``literal``, static indices)."""
        if stream not in self._asked:
            return  # the client has reset it
        self._asked.discard(stream)
        self._resets, self._control = max(self._resets - 1, 0), max(self._control - 2, 0)
        if len(body) <= min(self._window, self._windows.get(stream, self._initial_window), self._max_frame):
            self._window -= len(body)
            self._windows.pop(stream, None)
            head = len(block).to_bytes(3, "big") + b"\1\4" + stream.to_bytes(4, "big")
            self._out += (head, block, len(body).to_bytes(3, "big") + b"\0\1" + stream.to_bytes(4, "big"), body)
            return
        self._out.append(frame(HEADERS, END_HEADERS, stream, block))
        self._unsent[stream] = body
        self._unsent_bytes += len(body)
        if self._unsent_bytes > MAX_UNSENT_BYTES:
            self.end(Code.ENHANCE_YOUR_CALM)
            return
        self._send(stream)

    # Sending as far as windows go

    def _send(self, stream: int) -> None:
        body = self._unsent[stream]
        window = self._windows.get(stream, self._initial_window)
        while body:
            size = min(len(body), self._window, window, self._max_frame)
            if size <= 0:
                break
            piece, body = body[:size], body[size:]
            self._window -= size
            window -= size
            self._unsent_bytes -= size
            self._out.append(frame(DATA, 0 if body else END_STREAM, stream, piece))
        self._windows[stream] = window
        if body:
            self._unsent[stream] = body
        else:
            del self._unsent[stream], self._windows[stream]

    def _send_all(self) -> None:
        for stream in tuple(self._unsent):
            self._send(stream)

    # Receiving

    def _requests(self) -> list[Request]:
        requests: list[Request] = []
        buffer, at = self._in, 0
        if not self._known_as_http2:
            if not PREFACE.startswith(bytes(buffer[: len(PREFACE)])):
                raise ConnectionFault(Code.PROTOCOL_ERROR, "no HTTP/2 preface")
            if len(buffer) < len(PREFACE):
                return requests
            self._known_as_http2 = True
            at = len(PREFACE)
        while len(buffer) >= at + 9 and not self._ended:
            size = int.from_bytes(buffer[at : at + 3], "big")
            kind, flags = buffer[at + 3], buffer[at + 4]
            if size > _OUR_FRAME_BYTES:
                raise ConnectionFault(Code.FRAME_SIZE_ERROR, "a frame too large")
            if len(buffer) < at + 9 + size:
                break
            if not self._greeted and kind != SETTINGS:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "no SETTINGS after the preface")
            self._greeted = True
            stream = int.from_bytes(buffer[at + 5 : at + 9], "big") & _MAX_WINDOW
            payload = bytes(buffer[at + 9 : at + 9 + size])
            at += 9 + size
            found = self._frame(kind, flags, stream, payload)
            if found is not None:
                requests.append(found)
        del buffer[:at]
        return requests

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> Request | None:
        if self._block is not None and (kind != CONTINUATION or stream != self._block[0]):
            raise ConnectionFault(Code.PROTOCOL_ERROR, "a header block was interrupted")
        match kind:
            case 0:
                return self._on_data(flags, stream, payload)
            case 1:
                return self._on_headers(flags, stream, _unpadded(flags, payload))
            case 9:
                return self._on_continuation(flags, stream, payload)
        self._control += 1
        if self._control > MAX_CONTROL:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that ask nothing")
        match kind:
            case 2:  # PRIORITY means nothing any more (RFC 9113 5.3.2)
                _must(stream != 0)
                if len(payload) != 5:
                    self._reset(stream, Code.FRAME_SIZE_ERROR)
            case 3:
                self._on_reset(stream, payload)
            case 4:
                self._on_settings(flags, stream, payload)
            case 5:
                raise ConnectionFault(Code.PROTOCOL_ERROR, "a client pushes nothing")
            case 6:
                _must(stream == 0)
                _must(len(payload) == 8, Code.FRAME_SIZE_ERROR)
                if not flags & ACK:
                    self._out.append(frame(PING, ACK, 0, payload))
            case 7:
                _must(stream == 0)
                _must(len(payload) >= 8, Code.FRAME_SIZE_ERROR)
            case 8:
                self._on_window(stream, payload)
        return None  # frames of other kinds are passed over (RFC 9113 4.1)

    def _on_headers(self, flags: int, stream: int, payload: bytes) -> Request | None:
        if flags & WITH_PRIORITY:
            _must(len(payload) >= 5, Code.FRAME_SIZE_ERROR)
            _must(int.from_bytes(payload[:4], "big") & _MAX_WINDOW != stream)
            payload = payload[5:]
        _must(stream % 2 == 1)
        if not flags & END_HEADERS:
            self._block = (stream, flags, bytearray(payload))
            return None
        return self._on_block(flags, stream, payload)

    def _on_continuation(self, flags: int, stream: int, payload: bytes) -> Request | None:
        if self._block is None:
            raise ConnectionFault(Code.PROTOCOL_ERROR, "CONTINUATION of nothing")
        _, first_flags, block = self._block
        self._control += 1
        if len(block) + len(payload) > MAX_BLOCK_BYTES or self._control > MAX_CONTROL:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "a header block too long")
        block += payload
        if not flags & END_HEADERS:
            return None
        self._block = None
        return self._on_block(first_flags, stream, bytes(block))

    def _on_block(self, flags: int, stream: int, block: bytes) -> Request | None:
        fields, well_formed = self._read(block)  # whatever comes of it: the table is the connection's
        kept = self._open.get(stream)
        if kept is not None:  # trailers
            if not flags & END_STREAM:
                self._malformed(stream)
                return None
            return self._whole(stream, kept)
        if stream <= self._last:
            raise ConnectionFault(Code.STREAM_CLOSED, "a stream is opened again")
        self._last = stream
        if len(self._open) + self.waiting >= MAX_STREAMS:
            self._count_reset()
            self._reset(stream, Code.REFUSED_STREAM)
            return None
        if not well_formed:
            self._malformed(stream)
            return None
        opened = _Stream(fields)
        if flags & END_STREAM:
            return self._whole(stream, opened)
        self._open[stream] = opened
        return None

    def _read(self, block: bytes) -> tuple[Fields, bool]:
        """The header fields of a block, and whether they are as those of a request have to be."""
        found = self._known.get(block)
        if found is not None:
            return found
        try:
            fields = tuple((bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True))
        except (HPACKError, ValueError, IndexError) as exc:
            raise ConnectionFault(Code.COMPRESSION_ERROR, "a header block that cannot be read") from exc
        read = fields, _well_formed(fields)
        if not leaves_table(block) or len(self._known) >= MAX_STREAMS:
            self._known.clear()
        if leaves_table(block):
            self._known[block] = read
        return read

    def _on_data(self, flags: int, stream: int, payload: bytes) -> Request | None:
        _must(stream != 0 and stream <= self._last)
        self._give_back(len(payload))
        body = _unpadded(flags, payload)
        kept = self._open.get(stream)
        if stream in self._overlong:
            if flags & END_STREAM:
                self._overlong.discard(stream)
            return None
        if kept is None:  # it has ended, or was reset
            self._count_reset()
            self._reset(stream, Code.STREAM_CLOSED)
            return None
        if not body and not flags & END_STREAM:
            self._control += 1
            if self._control > MAX_CONTROL:
                raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many frames that say nothing")
        if len(kept.body) + len(body) > MAX_BODY_BYTES:
            kept.too_large = True
            kept.body.clear()
            self._count_reset()
            if not flags & END_STREAM:
                self._overlong.add(stream)
            return self._whole(stream, kept)
        kept.body += body
        if flags & END_STREAM:
            return self._whole(stream, kept)
        if sum(len(each.body) for each in self._open.values()) > MAX_BODIES_BYTES:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "bodies that come to no end")
        return None

    def _whole(self, stream: int, kept: _Stream) -> Request | None:
        self._open.pop(stream, None)
        length = next((value for name, value in kept.fields if name == b"content-length"), None)
        if length is not None and not kept.too_large and length != str(len(kept.body)).encode():
            self._malformed(stream)
            return None
        self._asked.add(stream)
        return Request(stream, kept.fields, bytes(kept.body), kept.too_large)

    def _give_back(self, size: int) -> None:
        """Enlarge the connection's window again by what was read."""
        self._unacknowledged += size
        if self._unacknowledged > _WINDOW:
            raise ConnectionFault(Code.FLOW_CONTROL_ERROR, "more than the window")
        if self._unacknowledged >= _WINDOW // 2:
            self._out.append(frame(WINDOW_UPDATE, 0, 0, self._unacknowledged.to_bytes(4, "big")))
            self._unacknowledged = 0

    def _malformed(self, stream: int) -> None:
        self._count_reset()
        self._reset(stream, Code.PROTOCOL_ERROR)

    def _on_reset(self, stream: int, payload: bytes) -> None:
        _must(len(payload) == 4, Code.FRAME_SIZE_ERROR)
        _must(stream != 0 and stream <= self._last)
        self._count_reset()
        self._forget(stream)

    def _count_reset(self) -> None:
        self._resets += 1
        if self._resets > MAX_RESETS:
            raise ConnectionFault(Code.ENHANCE_YOUR_CALM, "too many streams that come to nothing")

    def _reset(self, stream: int, code: Code) -> None:
        self._forget(stream)
        self._out.append(frame(RST_STREAM, 0, stream, code.to_bytes(4, "big")))

    def _forget(self, stream: int) -> None:
        self._open.pop(stream, None)
        self._asked.discard(stream)
        self._overlong.discard(stream)
        self._windows.pop(stream, None)
        self._unsent_bytes -= len(self._unsent.pop(stream, b""))

    def _on_settings(self, flags: int, stream: int, payload: bytes) -> None:
        _must(stream == 0)
        _must(len(payload) % 6 == 0 and not (flags & ACK and payload), Code.FRAME_SIZE_ERROR)
        _must(len(payload) <= 6 * MAX_SETTINGS, Code.ENHANCE_YOUR_CALM)
        if flags & ACK:
            return
        for setting, value in struct.iter_unpack("!HI", payload):
            if setting == _ENABLE_PUSH:
                _must(value <= 1)
            elif setting == _INITIAL_WINDOW:
                _must(value <= _MAX_WINDOW, Code.FLOW_CONTROL_ERROR)
                for each in self._windows:
                    self._windows[each] += value - self._initial_window
                    _must(self._windows[each] <= _MAX_WINDOW, Code.FLOW_CONTROL_ERROR)
                self._initial_window = value
            elif setting == _MAX_FRAME:
                _must(16_384 <= value <= 16_777_215)
                self._max_frame = value
        self._out.append(_ACKNOWLEDGED)
        self._send_all()

    def _on_window(self, stream: int, payload: bytes) -> None:
        _must(len(payload) == 4, Code.FRAME_SIZE_ERROR)
        more = int.from_bytes(payload, "big") & _MAX_WINDOW
        if stream == 0:
            _must(more > 0)
            self._window += more
            _must(self._window <= _MAX_WINDOW, Code.FLOW_CONTROL_ERROR)
            self._send_all()
            return
        _must(stream <= self._last)
        if stream not in self._open and stream not in self._asked and stream not in self._unsent:
            return  # it has ended
        window = self._windows.get(stream, self._initial_window) + more
        if not more or window > _MAX_WINDOW:
            self._count_reset()
            self._reset(stream, Code.PROTOCOL_ERROR if not more else Code.FLOW_CONTROL_ERROR)
            return
        self._windows[stream] = window
        if stream in self._unsent:
            self._send(stream)


def literal(index: int, value: bytes) -> bytes:
    """A header field of a static name with a value, without indexing (RFC 7541 6.2.2); both are short."""
    assert 15 <= index < 15 + 127 and len(value) < 127
    return bytes((0x0F, index - 15, len(value))) + value


def _must(holds: bool, code: Code = Code.PROTOCOL_ERROR) -> None:
    if not holds:
        raise ConnectionFault(code, "a frame that may not be")


def _unpadded(flags: int, payload: bytes) -> bytes:
    if not flags & PADDED:
        return payload
    _must(len(payload) > 0, Code.FRAME_SIZE_ERROR)
    padding = payload[0]
    _must(padding < len(payload))
    return payload[1 : len(payload) - padding]


def leaves_table(block: bytes) -> bool:
    """Whether a readable header block certainly changes nothing for those after it (RFC 7541 6): it has indices, and
    literals that are not to be indexed.  Where a number takes more than its first byte, no.
    """
    at, size = 0, len(block)
    while at < size:
        first = block[at]
        at += 1
        if first & 0x80:
            if first == 0xFF:
                return False
            continue
        if first & 0x60:  # indexed from now on, or another size of the table
            return False
        if first & 0x0F == 0x0F:
            at += 1
            if at > size or block[at - 1] & 0x80:
                return False
        for _ in range(1 if first & 0x0F else 2):  # a name of its own, and the value
            if at >= size or block[at] & 0x7F == 0x7F:
                return False
            at += 1 + (block[at] & 0x7F)
    return at == size


_PSEUDO = frozenset((b":method", b":scheme", b":path", b":authority"))
_OF_A_CONNECTION = frozenset((b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"))


def _well_formed(fields: Fields) -> bool:
    """RFC 9113 8.2, 8.3: lower-case names, pseudo-header fields once, first and known, nothing of one connection."""
    pseudo: set[bytes] = set()
    ordinary = False
    for name, value in fields:
        if name.startswith(b":"):
            if ordinary or name in pseudo or name not in _PSEUDO:
                return False
            pseudo.add(name)
        else:
            ordinary = True
            if not name or name != name.lower() or name in _OF_A_CONNECTION or (name == b"te" and value != b"trailers"):
                return False
        if b"\0" in value or b"\r" in value or b"\n" in value:
            return False
    return {b":method", b":scheme", b":path"} <= pseudo
