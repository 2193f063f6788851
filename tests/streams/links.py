"""Links between the two ends of a socket pair, and owners that write down what they are told."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from steering.streams.link import Link
from tests.inspector.origin import inspector_ca
from tests.kit import eventually


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """The sizes of a link."""

    read_bytes: int = 65_536
    high_water_bytes: int = 262_144


class Told:
    """An owner of a link that writes down what it is told."""

    def __init__(self) -> None:
        self.got = b""
        self.secured = 0
        self.drained = 0
        self.ends: list[bool] = []
        self.lost: list[Exception] = []

    def on_secured(self) -> None:
        self.secured += 1

    def on_bytes(self, data: bytes) -> None:
        self.got += data

    def on_eof(self, clean: bool) -> None:
        self.ends.append(clean)

    def on_lost(self, error: Exception) -> None:
        self.lost.append(error)

    def on_drained(self) -> None:
        self.drained += 1

    @property
    def over(self) -> bool:
        return bool(self.ends or self.lost)


@asynccontextmanager
async def pair(room: Room = Room()) -> AsyncIterator[tuple[Link, Told, Link, Told]]:
    """Two links that talk to each other."""
    loop, sides = asyncio.get_running_loop(), socket.socketpair()
    links = []
    for sock in sides:
        sock.setblocking(False)
        told = Told()
        links.append((Link(sock, loop, room, told), told))
    (one, told_one), (two, told_two) = links
    try:
        yield one, told_one, two, told_two
    finally:
        one.close()
        two.close()


@asynccontextmanager
async def secured(
    client: ssl.SSLContext | None = None, room: Room = Room()
) -> AsyncIterator[tuple[Link, Told, Link, Told]]:
    """Two links with TLS between them, the first one the client."""
    async with pair(room) as (one, told_one, two, told_two):
        two.secure(inspector_ca().context("www.example"), server_side=True)
        one.secure(client or inspector_ca().trusting(), server_side=False, server_hostname="www.example")
        await eventually(lambda: (told_one.secured and told_two.secured) or told_one.lost or told_two.lost)
        yield one, told_one, two, told_two
