"""The internet of the tests: names, their addresses, and one machine that answers for all of them.

ADDRESS answers HTTP and HTTPS for every name, with a certificate from ``origin_ca`` chosen by SNI; some names have a
certificate that is wrong in one way.
"""

import asyncio
import datetime
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path

from tests.dns.upstream import Records, UpstreamServer
from tests.inspector.origin import Head, Origin, Reply, TestCa, digest, origin_ca, whole

# Public addresses, so that nothing need be opened up for them; those of a project that answers no web request
# (AS112, RFC 7535).
ADDRESS = "192.31.196.10"
NOBODY = "192.31.196.11"  # an address of this machine where nothing listens
INSIDE = "10.0.0.5"  # in nobody's reach
GATEWAY = "192.31.196.1"  # where the transparent inspector is
ADDRESS6 = "2001:4:112::10"  # of the same machine; one name has no other
ADDRESSES = (*(f"{address}/32" for address in (ADDRESS, NOBODY, GATEWAY)), f"{ADDRESS6}/128")

# What each name's certificate is.  A name that is not here has a good one.
EXPIRED, WRONG_NAME, STRANGER = "expired.example", "wrong-name.example", "stranger.example"

HOME = b"<!doctype html><title>origin</title><p>This is the origin.</p>"

RECORDS: Records = {
    **{
        (f"{name}.", "A"): [ADDRESS]
        for name in (
            "inspected.example", "www.inspected.example", "app.pin.example", "pin.example", "blocked.example",
            "lab.example", "tool.example", "later.example", "cdn.example", "captive.apple.com",
            EXPIRED, WRONG_NAME, STRANGER,
        )
    },
    ("six.example.", "AAAA"): [ADDRESS6],
    ("inspected.example.", "MX"): ["10 mail.inspected.example."],
    ("inspected.example.", "HTTPS"): ['1 . alpn="h3,h2" ipv4hint=192.31.196.10'],
    ("app.pin.example.", "HTTPS"): ['1 . alpn="http/1.1"'],
    ("chain.pin.example.", "CNAME"): ["cdn.example."],
    ("closed.example.", "A"): [NOBODY],
    ("gateway.example.", "A"): [GATEWAY],
    ("rebound.example.", "A"): ["127.0.0.1"],
    # What the company's own server knows; here it is the same one.
    ("steering.example.", "A"): [NOBODY],
    ("wiki.corp.example.", "A"): [INSIDE],
    ("5.0.0.10.in-addr.arpa.", "PTR"): ["wiki.corp.example."],
}  # fmt: skip


@cache
def stranger_ca() -> TestCa:
    """An authority that nobody trusts."""
    return TestCa("nobody's authority")


def _context_for(name: str) -> ssl.SSLContext:
    ca = origin_ca()
    match name:
        case "expired.example":
            return ca.context(name, back=datetime.timedelta(days=20), ahead=datetime.timedelta(days=-10))
        case "wrong-name.example":
            return ca.context("other.example")
        case "stranger.example":
            return stranger_ca().context(name)
    return ca.context(name)


def _by_sni() -> ssl.SSLContext:
    context = origin_ca().context(ADDRESS)

    def choose(connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        if name is not None:
            connection.context = _context_for(name)

    context.sni_callback = choose
    return context


def _answering(answer: bytes) -> Reply:
    """Always these bytes; the connection stays open unless the client asks otherwise, as web servers do."""

    async def reply(head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool | None:
        writer.write(answer)
        await writer.drain()
        return head.get("connection").lower() == "close"

    return reply


def _replies() -> dict[str, Reply]:
    return {
        "/": _answering(whole(HOME, b"Content-Type: text/html\r\n")),
        "/digest": digest,
        # What an ``Origin`` answers for every path that it does not know.
        "/hello": _answering(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
    }


def offer(origin: Origin, files: Mapping[str, bytes]) -> None:
    """Serve ``files``: path -> body."""
    for path, body in files.items():
        origin.replies[path] = _answering(whole(body))


def files_below(folder: Path, prefix: str) -> dict[str, bytes]:
    """What a web server with ``folder`` at ``prefix`` would serve."""
    return {
        f"{prefix}/{path.relative_to(folder).as_posix()}": path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@asynccontextmanager
async def running_internet(resolver: str = "127.0.0.1", port: int = 0) -> AsyncIterator[tuple[Origin, UpstreamServer]]:
    """The machine at ADDRESS, and the DNS server that knows RECORDS, at ``resolver`` (port 0: a free one)."""
    origin = Origin()
    origin.replies = _replies()
    tasks: set[asyncio.Task[None]] = set()

    def accepted(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(origin.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async with UpstreamServer(dict(RECORDS), host=resolver, port=port) as upstream:
        servers = [
            *[
                # Who has gone without a word, as the host behind a network that was taken down, is not waited for.
                await asyncio.start_server(accepted, address, 443, ssl=_by_sni(), ssl_shutdown_timeout=1.0)
                for address in (ADDRESS, ADDRESS6)
            ],
            *[await asyncio.start_server(accepted, address, 80) for address in (ADDRESS, ADDRESS6)],
        ]
        try:
            yield origin, upstream
        finally:
            for server in servers:
                server.close()
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
