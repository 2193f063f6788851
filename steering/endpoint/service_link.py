"""Asking the control service, with the device's certificate; it is believed by the device CA alone.

What goes wrong is one of two: nobody was reached, which passes, or the service refused, which somebody must mend.
"""

import asyncio
import json
import os
import socket
import ssl
from collections.abc import AsyncGenerator, Mapping
from functools import partial
from typing import Any

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError

from steering.endpoint.errors import EndpointError, ServiceRefused, ServiceUnreachable
from steering.endpoint.marking import mark as mark_socket
from steering.policy.findings import printable

TIMEOUT_S = 20.0
KEPT_S = 75.0  # a silent connection, as long as the service keeps it: longer than between two heartbeats
EVENT_SILENCE_S = 50.0  # the service says something every 20 s
MAX_ANSWER_BYTES = 1 << 20
MAX_EVENT_LINE = 4096
MAX_SAID = 500  # characters of why it refuses
_FAILURES = (aiohttp.ClientError, HttpProcessingError, OSError, TimeoutError)


class ServiceLink:
    """url: "https://HOST:PORT".  mark: of its sockets, 0 for none.

    Construct within an event loop; ``close`` at the end.
    """

    def __init__(self, url: str, context: ssl.SSLContext, mark: int = 0) -> None:
        self.url = url
        self._context = context
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(socket_factory=partial(_socket, mark), keepalive_timeout=KEPT_S),
            timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
            headers={"User-Agent": "steering-endpoint"},
            read_bufsize=MAX_EVENT_LINE,
        )

    def replace_context(self, context: ssl.SSLContext) -> None:
        """Show a renewed certificate from the next connection on."""
        self._context = context

    async def close(self) -> None:
        await self._session.close()

    async def get(self, path: str) -> bytes:
        """Raises ServiceUnreachable, ServiceRefused."""
        return await self._ask("GET", path, None)

    async def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Raises ServiceUnreachable, ServiceRefused."""
        content = await self._ask("POST", path, body)
        try:
            answer = json.loads(content)
        except (ValueError, RecursionError) as exc:
            raise ServiceUnreachable(f"{self.url} gives no answer of a Steering service") from exc
        if not isinstance(answer, dict):
            raise ServiceUnreachable(f"{self.url} gives no answer of a Steering service")
        return answer

    async def _ask(self, method: str, path: str, body: Mapping[str, object] | None) -> bytes:
        try:
            async with self._session.request(
                method, self.url + path, json=body, ssl=self._context, allow_redirects=False
            ) as response:
                content = b""
                async for chunk in response.content.iter_any():
                    content += chunk
                    if len(content) > MAX_ANSWER_BYTES:
                        raise ServiceUnreachable(f"{self.url}{path}: an answer without end")
                if response.status != 200:
                    raise _refusal(response.status, content)
                return content
        except _FAILURES as exc:
            raise ServiceUnreachable(f"{self.url} cannot be reached: {_words(exc)}") from exc

    async def events(self) -> AsyncGenerator[str, None]:
        """The data of each event, until the connection ends.  Raises ServiceUnreachable, ServiceRefused."""
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=TIMEOUT_S, sock_read=EVENT_SILENCE_S)
        try:
            async with self._session.get(
                self.url + "/events", ssl=self._context, timeout=timeout, allow_redirects=False
            ) as response:
                if response.status != 200:
                    raise _refusal(response.status, await response.content.read(MAX_EVENT_LINE))
                while line := await response.content.readline():
                    name, _, value = line.decode("utf-8", "replace").rstrip("\r\n").partition(":")
                    if name == "data":
                        yield value.strip()
        except _FAILURES as exc:
            raise ServiceUnreachable(f"{self.url} cannot be reached: {_words(exc)}") from exc


def _socket(own_mark: int, where: tuple[int, int, int, str, object]) -> socket.socket:
    family, kind, protocol, *_ = where
    sock = socket.socket(family, kind, protocol)
    mark_socket(sock, own_mark)
    return sock


def _refusal(status: int, content: bytes) -> EndpointError:
    try:
        said = json.loads(content)
        text = printable(str(said["error"]), MAX_SAID)  # it may be shown before anybody knows who says it
    except (ValueError, KeyError, TypeError, RecursionError):
        return ServiceUnreachable(f"the service answers with {status}, as none of ours does")
    return ServiceRefused(text, status, revoked=bool(said.get("revoked")), unknown=bool(said.get("unknown")))


def _words(exc: BaseException) -> str:
    if isinstance(exc, asyncio.TimeoutError):
        return f"no answer within {TIMEOUT_S:.0f} s"
    if isinstance(exc, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not of this service ({exc.certificate_error})"
    if isinstance(exc, aiohttp.ClientConnectorError):
        number = exc.os_error.errno
        # Its own text has the address of an object in it.
        return os.strerror(number) if number and number > 0 else exc.strerror or type(exc).__name__
    return str(exc) or type(exc).__name__
