"""Bytes between two links, at least one of which speaks TLS: each side's reads are the other's writes.

A side that takes no more stops the other side's reading; an end is passed on as an end, so half-closed connections
stay half-open.  Two plain sockets are better served by ``tunnel.Pair``.
"""

from asyncio import AbstractEventLoop
from collections.abc import Callable

from steering.streams.link import Link

SETTLE_S = 0.05
MAX_STILL_S = 10.0  # for a reader that takes nothing of its last bytes


class _Side:
    """Owns one link and writes to the other."""

    __slots__ = ("_crossing", "carried", "link", "other")

    def __init__(self, crossing: "Crossing", link: Link) -> None:
        self._crossing = crossing
        self.link = link
        self.other: _Side = self
        self.carried = 0

    def on_secured(self) -> None:
        """Links are secured before they are crossed."""

    def on_bytes(self, data: bytes) -> None:
        self.carried += len(data)
        other = self.other.link
        if not other.closed:
            other.write(data)
            if other.congested:
                self.link.pause()

    def on_drained(self) -> None:
        self.other.link.resume()

    def on_eof(self, clean: bool) -> None:
        self.other.link.finish()
        self._crossing.one_ended(None)

    def on_lost(self, error: Exception) -> None:
        self._crossing.one_ended(error)


class Crossing:
    """``on_end`` is called once, when both sides have ended or one has failed; both links are closed then.

    up, down: bytes carried from the client and towards it.
    """

    __slots__ = ("_client", "_loop", "_on_end", "_origin", "_still_s", "_unsent", "closed")

    def __init__(
        self, loop: AbstractEventLoop, client: Link, origin: Link, on_end: Callable[[Exception | None], None]
    ) -> None:
        self._loop = loop
        self._still_s = 0.0
        self._unsent = 0
        self._client, self._origin = _Side(self, client), _Side(self, origin)
        self._client.other, self._origin.other = self._origin, self._client
        self._on_end = on_end
        self.closed = False

    def start(self, from_client: bytes = b"", from_origin: bytes = b"") -> None:
        """Begin.  from_client, from_origin: bytes that were read before."""
        for side in (self._client, self._origin):
            side.link.owner = side
        if from_origin:
            self._origin.on_bytes(from_origin)
        if from_client:
            self._client.on_bytes(from_client)
        for side in (self._client, self._origin):
            if not side.other.link.congested:
                side.link.resume()

    @property
    def up(self) -> int:
        return self._client.carried

    @property
    def down(self) -> int:
        return self._origin.carried

    @property
    def carried(self) -> int:
        return self.up + self.down

    def one_ended(self, error: Exception | None) -> None:
        if self.closed or (error is None and not (self._client.link.eof and self._origin.link.eof)):
            return
        if error is None and self._settles():
            return
        self.close()
        self._on_end(error)

    def _settles(self) -> bool:
        """Whether last bytes are still on their way to a reader that takes them, however slowly."""
        links = (self._client.link, self._origin.link)
        if all(link.finished or link.closed for link in links):
            return False
        unsent = sum(link.unsent for link in links)
        self._still_s = self._still_s + SETTLE_S if unsent == self._unsent else 0.0
        self._unsent = unsent
        if self._still_s >= MAX_STILL_S:
            return False
        self._loop.call_later(SETTLE_S, self.one_ended, None)
        return True

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._client.link.close()
            self._origin.link.close()
