"""The same conversations through the inspector and through its aiohttp twin: the same statuses, fields and bodies."""

import asyncio
from dataclasses import dataclass

import pytest

from tests.inspector.clients import Wire, running
from tests.inspector.origin import fixed, inspector_ca, origin_ca
from tests.inspector.twin import running_twin

HOST = b"Host: www.example\r\n"


def ask(line: bytes, *fields: bytes, body: bytes = b"") -> bytes:
    """A request of HTTP/1.1 to the origin."""
    return line + b" HTTP/1.1\r\n" + HOST + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


CHUNKED = b"Transfer-Encoding: chunked"
CONVERSATIONS: dict[str, list[bytes]] = {
    "get": [ask(b"GET /hello")],
    "get with a query": [ask(b"GET /head?a=b&c=%20d;e")],
    "encoded path": [ask(b"GET /head/%2e%2e/%C3%A4")],
    "absolute form": [b"GET https://www.example/hello HTTP/1.1\r\n" + HOST + b"\r\n"],
    "kept alive": [ask(b"GET /hello"), ask(b"GET /chunked"), ask(b"HEAD /hello"), ask(b"GET /hello")],
    "connection: close": [ask(b"GET /hello", b"Connection: close")],
    "HTTP/1.0": [b"GET /hello HTTP/1.0\r\n" + HOST + b"\r\n"],
    "HTTP/1.0, chunked down": [b"GET /chunked HTTP/1.0\r\n" + HOST + b"\r\n"],
    "head": [ask(b"HEAD /hello")],
    "options": [ask(b"OPTIONS /head")],
    "delete": [ask(b"DELETE /hello")],
    "post": [ask(b"POST /echo", b"Content-Length: 5", body=b"hello")],
    "post of nothing": [ask(b"POST /echo", b"Content-Length: 0")],
    "put": [ask(b"PUT /echo", b"Content-Length: 3", b"Content-Type: a/b", body=b"put")],
    "patch": [ask(b"PATCH /echo", b"Content-Length: 3", body=b"\x00\xff\n")],
    "large post": [ask(b"POST /echo", b"Content-Length: 200000", body=bytes(range(250)) * 800)],
    "chunked up": [ask(b"POST /echo", CHUNKED, body=b"5\r\nhello\r\n0\r\n\r\n")],
    "chunked up in many chunks": [ask(b"POST /echo", CHUNKED, body=b"1\r\na\r\n" * 500 + b"0\r\n\r\n")],
    "chunk extensions": [ask(b"POST /echo", CHUNKED, body=b"5;a=b\r\nhello\r\n0\r\n\r\n")],
    "posts, kept alive": [ask(b"POST /echo", b"Content-Length: 2", body=b"%02d" % n) for n in range(3)],
    "chunked down": [ask(b"GET /chunked")],
    "until close": [ask(b"GET /until-close")],
    "large": [ask(b"GET /big?300000")],
    "large, kept alive": [ask(b"GET /big?300000"), ask(b"GET /big?7"), ask(b"GET /hello")],
    "not modified": [ask(b"GET /not-modified", b'If-None-Match: "a"')],
    "no content": [ask(b"GET /no-content"), ask(b"GET /hello")],
    "moved": [ask(b"GET /moved")],
    "not found": [ask(b"GET /not-found")],
    "unavailable": [ask(b"GET /unavailable")],
    "cookies, several": [ask(b"GET /cookies", b"Cookie: a=b; c=d")],
    "compressed stays compressed": [ask(b"GET /gzip", b"Accept-Encoding: gzip")],
    "bare line feeds": [ask(b"GET /bare-lf")],
    "hop by hop": [ask(b"GET /head", b"Keep-Alive: a", b"Proxy-Connection: b", b"TE: trailers", b"X-Mine: c")],
    "h2c": [ask(b"GET /hello", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAA")],
    "100-continue": [ask(b"POST /echo", b"Content-Length: 5", b"Expect: 100-continue", body=b"hello")],
    "length and chunked": [ask(b"POST /echo", b"Content-Length: 5", CHUNKED)],  # no body: the twin would reset over it
    "two lengths": [ask(b"POST /echo", b"Content-Length: 0", b"Content-Length: 1")],
    "gzip, chunked": [ask(b"POST /echo", b"Transfer-Encoding: gzip, identity")],
    "space before colon": [ask(b"GET /", b"X : a")],
    "folded": [ask(b"GET /", b"X: a", b" b")],
    "NUL": [ask(b"GET /", b"X: a\x00b")],
    "two hosts": [ask(b"GET /", b"Host: other.example")],
    "no host": [b"GET / HTTP/1.1\r\n\r\n"],
    "bare line feed": [b"GET / HTTP/1.1\n" + HOST + b"\r\n"],
}
# Written by each in its own way; aiohttp adds a Content-Type where the origin gave none.
OWN = (b"content-type", b"connection", b"content-length", b"transfer-encoding", b"date", b"server", b"via")
REPLIES = {
    "/no-content": fixed(b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n", close=False),
    "/moved": fixed(b"HTTP/1.1 302 Found\r\nLocation: /hello\r\nContent-Length: 0\r\n\r\n", close=False),
    "/not-found": fixed(b"HTTP/1.1 404 Not Found\r\nContent-Length: 5\r\nX-A: b\r\n\r\nnone\n", close=False),
    "/unavailable": fixed(b"HTTP/1.1 503 Nope\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n"),
    "/cookies": fixed(
        b"HTTP/1.1 200 OK\r\nSet-Cookie: a=1; Secure\r\nSet-Cookie: b=2\r\nContent-Length: 2\r\n\r\nok", close=False
    ),
    "/gzip": fixed(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\n\x1f\x8b\x08\x00",
        close=False,
    ),
}


@dataclass(frozen=True, slots=True)
class Answer:
    """status, fields in order of name, body; of a refusal the status alone, its words are each one's own."""

    status: int
    fields: tuple[bytes, ...] = ()
    body: bytes = b""


def name_of(line: bytes) -> bytes:
    return line.partition(b":")[0].lower()


async def conversation(port: int, origin_port: int, requests: list[bytes]) -> list[Answer]:
    wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
    await wire.send(f"CONNECT www.example:{origin_port} HTTP/1.1\r\nHost: www.example\r\n\r\n".encode())
    await wire.head()
    await wire.start_tls("www.example")
    answers = []
    for request in requests:
        await wire.send(request)
        status, head, body = await wire.answer(request.split(b" ")[0].decode())
        while status < 200:
            status, head, body = await wire.answer(request.split(b" ")[0].decode())
        lines = [line for line in head.partition(b"\r\n\r\n")[0].split(b"\r\n")[1:] if name_of(line) not in OWN]
        ours = status >= 400 and not any(line.startswith((b"X-A", b"Retry-After")) for line in lines)
        answers.append(Answer(status) if ours else Answer(status, tuple(sorted(lines)), _without_via(body)))
    await wire.close()
    return answers


def _without_via(body: bytes) -> bytes:
    """``/head`` shows the request as the origin saw it; the fields of each one's own are left out, and their order."""
    if not body.split(b"\r\n")[0].endswith(b" HTTP/1.1"):
        return body
    first, *fields = body.split(b"\r\n")
    kept = sorted(field for field in fields if field and name_of(field) not in (*OWN, b"host"))
    return b"\r\n".join([first, *kept])


@pytest.mark.parametrize("name", CONVERSATIONS)
async def test_both_end_the_same(name: str) -> None:
    async with running() as rig, running_twin(inspector_ca(), origin_ca().trusting(), rig.origin.port) as twin:
        rig.origin.replies |= REPLIES
        ours = await conversation(rig.explicit, rig.origin.port, CONVERSATIONS[name])
        theirs = await conversation(twin, rig.origin.port, CONVERSATIONS[name])
        assert ours == theirs
