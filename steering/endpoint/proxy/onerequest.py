"""One plain request and its answer on a connection, and nothing after them.

Pure: bytes in, the bytes to pass on out.  Each request is decided by itself, so what a client sends behind the end of
its request goes nowhere, and the answer tells it that the connection ends here, whatever the origin says.  Only to an
origin that has switched to WebSocket more is passed on.
"""

import re

from steering.endpoint.proxy.body import Body
from steering.endpoint.proxy.request import end_of_head
from steering.formats.attestation import PREFIX

MAX_ANSWER_HEAD = 262_144
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")
_HTTP = b"HTTP/1."
_ENDINGS = (b"connection:", b"keep-alive:", b"proxy-connection:")
_SWITCHING = 101


class OneRequest:
    """body: what follows the head that was passed on.  upgrade: whether the request asks for WebSocket.

    Raises BodyError from ``from_client``.
    """

    __slots__ = ("_answered", "_body", "_head", "_switched", "_upgrade")

    def __init__(self, body: Body, *, upgrade: bool) -> None:
        self._body = body
        self._upgrade = upgrade
        self._switched = False
        self._answered = False  # the head of the final answer has passed
        self._head = bytearray()  # of the answer, as far as it has come

    @property
    def asked(self) -> bool:
        """The request is complete, and nothing may follow it."""
        return self._body.over and not self._switched

    def from_client(self, data: bytes) -> bytes:
        return data if self._switched else self._body.take(data)

    def from_origin(self, data: bytes) -> bytes:
        if self._answered:
            return data
        before = len(self._head)
        self._head += data
        passed = b""
        while not self._answered and (end := end_of_head(self._head, before)) > 0:
            head, before = bytes(self._head[:end]), 0
            del self._head[:end]
            passed += self._judged(head)
        if self._answered or self._is_no_head():
            self._answered = True
            passed += bytes(self._head)
            self._head.clear()
        return passed

    def _is_no_head(self) -> bool:
        """Not HTTP/1: passed on for the client to judge, as in a tunnel."""
        return not _HTTP.startswith(bytes(self._head[: len(_HTTP)])) or len(self._head) > MAX_ANSWER_HEAD

    def _judged(self, head: bytes) -> bytes:
        found = _STATUS.match(head)
        status = int(found[1]) if found else 0
        if status == _SWITCHING and self._upgrade and self._body.over:
            self._switched = self._answered = True
            return _without(head, (PREFIX,))
        if 100 <= status < 200 and status != _SWITCHING:
            return _without(head, (PREFIX,))
        self._answered = True
        return _without(head, (PREFIX, *_ENDINGS), b"Connection: close\r\n") if found else head


def _without(head: bytes, names: tuple[bytes, ...], added: bytes = b"") -> bytes:
    """The head without the fields that begin with ``names``, and with a line more."""
    lines = head[:-2].splitlines(keepends=True)
    return b"".join(line for line in lines if not line.lower().startswith(names)) + added + b"\r\n"
