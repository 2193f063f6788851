"""A link inside another link's TLS: it reads what its carrier decrypted, and what it writes its carrier encrypts.

For TLS within TLS.  The other way, a socket pair between the two, was measured beside it: a tenth more CPU for a
tunnel, as much for what is opened, and two more descriptors with their buffers for every connection that waits.
"""

from asyncio import AbstractEventLoop
from socket import socket

from steering.streams.link import UNOWNED, Link, Owner


class Carried(Link):
    """A link over ``carrier``, whose TLS is secured already, and which it owns from now on.

    sent, received: bytes within the carrier's TLS.
    """

    __slots__ = ("carrier",)

    def __init__(self, carrier: Link, loop: AbstractEventLoop, owner: Owner) -> None:
        super().__init__(carrier.sock, loop, carrier.limits, owner)
        self._watch.close()  # the carrier watches
        self.carrier = carrier
        self.eof = carrier.eof
        carrier.owner = self

    # What the carrier says

    def on_secured(self) -> None:
        """It is."""

    def on_bytes(self, data: bytes) -> None:
        if self.closed:
            return
        self.received += len(data)
        if self._tls is None:
            self.owner.on_bytes(data)
        else:
            self._feed(data)

    def on_eof(self, clean: bool) -> None:
        self.deaf = self.carrier.deaf
        if self.closed or self.eof:
            return
        if self._tls is None:
            self._at_eof(clean)
        else:
            self._feed(b"")

    def on_lost(self, error: Exception) -> None:
        self._fail(error)

    def on_drained(self) -> None:
        if self.congested and not self.closed:
            self.congested = False
            self.owner.on_drained()

    # What the carrier is told

    @property
    def unsent(self) -> int:
        return self.carrier.unsent

    def resume(self) -> None:
        if not self.closed and not self.eof:
            self.reading = True
            self.carrier.resume()

    def pause(self) -> None:
        self.reading = False
        self.carrier.pause()

    def _send(self, data: bytes) -> None:
        self.sent += len(data)
        self.carrier.write(data)
        self.congested, self.deaf = self.carrier.congested, self.carrier.deaf

    def _end_sending(self) -> None:
        self.carrier.finish()

    @property
    def finished(self) -> bool:
        return self._finishing and self.carrier.finished

    def close(self) -> None:
        if not self.closed:
            self.closed, self.reading = True, False
            self.owner = UNOWNED
            self.carrier.close()

    def release(self) -> socket:
        raise TypeError("what is carried has no socket of its own")
