"""HOT PATH.  The heads that nearly every message has, checked and written anew in one pass.

Pure.  A head in the one plain way of writing it ("Name: value", no tab, no blank at an end, no field that needs
thought) is read here, at a quarter of what parser, checks and rendering cost: 12 us for a request of eight fields and
14 for a response of eleven, against 50 and 57 on the same busy machine.  Whatever else there is in a head, however
small the doubt, it is None here and goes the long way, which is the twin: ``check_request(parse_request_head(head))``
and the same for responses make the same of every head that is taken here (tests/inspector/test_quick.py).
"""

import re
from functools import lru_cache

from steering_inspector.fields import HOP_BY_HOP, NAME, Field, HeadError
from steering_inspector.framing import OURS, Body, ChunkedBody, LengthBody
from steering_inspector.request import CONNECTION_AUTH, Authority, Request, parse_authority
from steering_inspector.response import NOT_SENT_ON, Response, response_of
from steering_inspector.settings import Limits

_MAX_NAMES = 2048

_TARGET = re.compile(rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) (/[\x21\x22\x24-\x7e]*) HTTP/1\.1\r\n")
_CONNECT = re.compile(rb"CONNECT ([0-9A-Za-z.:\[\]_-]+) HTTP/1\.1\r\n")
_STATUS = re.compile(rb"HTTP/1\.1 ([2-5][0-9][0-9]) ([\x21-\x7e](?:[\x20-\x7e]{0,98}[\x21-\x7e])?)\r\n")
_LINES = re.compile(rb"(?:[\x20-\x7e\x80-\xff]++\r\n)++")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_METHODS = {name.encode(): name for name in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH")}

# What a field is: sent on as it is, left out, looked at by its own branch, or a reason to go the long way.
_SENT_ON, _LEFT_OUT, _HOST, _CONNECTION, _LENGTH_OF_BODY, _CODING, _AUTH, _DOUBT = range(8)
_ALIKE = dict.fromkeys(HOP_BY_HOP, _LEFT_OUT) | {
    b"connection": _CONNECTION,
    b"content-length": _LENGTH_OF_BODY,
    b"upgrade": _DOUBT,
}
_OF_REQUESTS = _ALIKE | {
    b"host": _HOST,
    b"authorization": _AUTH,
    b"transfer-encoding": _DOUBT,
    b"expect": _DOUBT,
    b"via": _DOUBT,
    b"sec-websocket-key1": _DOUBT,
}
_OF_RESPONSES = (
    _ALIKE
    | {name: _LEFT_OUT for name in NOT_SENT_ON if name not in _ALIKE}
    | {b"transfer-encoding": _CODING, b"www-authenticate": _AUTH, b"sec-websocket-key1": _DOUBT}
)
# Names as they were spelled -> (lower case, kind): most come again and again.
_request_names: dict[bytes, tuple[bytes, int]] = {}
_response_names: dict[bytes, tuple[bytes, int]] = {}


def quick_request(head: bytes, limits: Limits) -> Request | None:
    """The checked request of one head, or None where the long way must say."""
    first = _TARGET.match(head) or _CONNECT.match(head)
    if first is None:
        return None
    lines = _plain_lines(head, first.end(), limits)
    if lines is None:
        return None
    kept: list[bytes] = []
    fields: list[Field] = []
    seen: set[bytes] = set()
    host, length, persistent = b"", b"", True
    for line in lines:
        name, blank, value = line.partition(b": ")
        lower, kind = _request_names.get(name) or _learn(name, _request_names, _OF_REQUESTS)
        if not blank or lower in seen:
            return None
        seen.add(lower)
        if kind == _SENT_ON:
            kept.append(line)
            fields.append((name, value))
        elif kind == _HOST:
            host = value
        elif kind == _CONNECTION:
            connection = value.lower()
            if connection == b"close":
                persistent = False
            elif connection != b"keep-alive":
                return None
        elif kind == _LENGTH_OF_BODY:
            if not _LENGTH.fullmatch(value):
                return None
            length = value
        elif kind == _AUTH:
            if value.lower().startswith(CONNECTION_AUTH):
                return None
            kept.append(line)
            fields.append((name, value))
        elif kind == _DOUBT:
            return None
    body: Body | None = None
    if length:
        body = LengthBody(int(length))
        if body.left == 0:
            body = None
            kept.append(b"Content-Length: 0")
            fields.append((b"Content-Length", b"0"))
    authority = _authority(host)
    method, target = "CONNECT", first[1]
    if first.re is _CONNECT:
        if length:
            return None
        authority = authority and _authority(target)
    else:
        method, target = _METHODS[target], first[2]
    if authority is None:
        return None
    kept.append(b"")
    return Request(
        method=method,
        scheme="",
        authority=authority,
        path=target.decode("ascii"),
        minor=1,
        fields=fields,
        block=b"\r\n".join(kept) if fields else b"",
        body=body,
        keep_alive=persistent,
        websocket=False,
        expects_continue=False,
        connection_auth=False,
        via=[],
        attestations=[],
    )


def quick_response(head: bytes, request: Request, limits: Limits) -> Response | None:
    """The checked response of one head that answers ``request``, or None where the long way must say."""
    first = _STATUS.match(head)
    if first is None:
        return None
    lines = _plain_lines(head, first.end(), limits)
    if lines is None:
        return None
    kept: list[bytes] = []
    fields: list[Field] = []
    length, connection, coding = b"", b"", False
    for line in lines:
        name, blank, value = line.partition(b": ")
        kind = (_response_names.get(name) or _learn(name, _response_names, _OF_RESPONSES))[1]
        if not blank:
            return None
        if kind == _SENT_ON:
            kept.append(line)
            fields.append((name, value))
        elif kind == _LENGTH_OF_BODY:
            if length or coding or not _LENGTH.fullmatch(value):
                return None
            length = value
        elif kind == _CONNECTION:
            if connection:
                return None
            connection = value.lower()
            if connection not in (b"keep-alive", b"close"):
                return None
        elif kind == _CODING:
            if length or coding or value.lower() != b"chunked":
                return None
            coding = True
        elif kind == _AUTH:
            if value.lower().startswith(CONNECTION_AUTH):
                return None
            kept.append(line)
            fields.append((name, value))
        elif kind == _DOUBT:
            return None
    announced: Body | None = None
    if length:
        announced = LengthBody(int(length))
    elif coding:
        announced = ChunkedBody(padded=True)
    kept.append(b"")
    return response_of(
        request.method,
        minor=1,
        status=int(first[1]),
        phrase=first[2].decode("ascii"),
        fields=fields,
        block=b"\r\n".join(kept) if fields else b"",
        announced=announced,
        persistent=connection != b"close",
        connection_auth=False,
    )


def _plain_lines(head: bytes, start: int, limits: Limits) -> list[bytes] | None:
    """The field lines of a head, each a plain one of visible characters and single blanks around its value."""
    end = len(head) - 2
    if end > limits.max_line_bytes or not _LINES.fullmatch(head, start, end) or head[end:] != b"\r\n":
        return None
    if b" \r\n" in head or b":  " in head:
        return None
    lines = head[start : end - 2].split(b"\r\n")
    return lines if len(lines) <= limits.max_fields else None


def _learn(name: bytes, names: dict[bytes, tuple[bytes, int]], kinds: dict[bytes, int]) -> tuple[bytes, int]:
    lower = name.lower()
    doubtful = b"_" in name or lower.startswith(OURS) or not NAME.fullmatch(name)
    learnt = (lower, _DOUBT if doubtful else kinds.get(lower, _SENT_ON))
    if len(names) < _MAX_NAMES and len(name) <= 64:
        names[name] = learnt
    return learnt


@lru_cache(maxsize=4096)
def _authority_of(host: bytes) -> Authority:
    return parse_authority(host.decode("latin-1"))


def _authority(host: bytes) -> Authority | None:
    """Of a Host, or None where there is none or it is to be refused: the long way says why."""
    if not host:
        return None
    try:
        return _authority_of(host)
    except HeadError:
        return None
