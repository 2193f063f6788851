"""The transport of a connection whose client asks and does not read."""

import asyncio
from collections.abc import Callable


class Unread(asyncio.Transport):
    """What ``protocol`` writes to it is in ``written``, and from HIGH_BYTES on it is told to pause."""

    HIGH_BYTES = 65_536

    def __init__(self, protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 9)})
        self.protocol = protocol
        self.written = bytearray()
        self.closed = False
        self._read = 0
        self._choked = False
        protocol.connection_made(self)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += data
        if len(self.written) - self._read > self.HIGH_BYTES and not self._choked:
            self._choked = True
            self.protocol.pause_writing()

    async def read_until(self, done: Callable[[], bool]) -> None:
        """Have the client read whatever comes."""
        async with asyncio.timeout(10):
            while not done():
                self._read = len(self.written)
                if self._choked:
                    self._choked = False
                    self.protocol.resume_writing()
                await asyncio.sleep(0)

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None: ...
