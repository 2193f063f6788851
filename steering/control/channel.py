"""Messages between the parent and one worker, over a socket pair: a kind, a length, a body.

The parent sends pickles (setup, policies); workers, who talk to strangers, answer in JSON, which the parent can
read without running anything.  The maker of PACs talks to nobody else, and answers with a pickle.
"""

import asyncio
import json
import socket
from enum import IntEnum

MAX_BODY = 256 << 20
MAX_REPORT = 4 << 20


class Kind(IntEnum):
    SETUP = 1  # parent: a pickled worker.Setup
    PIECE = 2  # parent: a piece of a policy (policy.transfer)
    AUTHORITY = 3  # parent: a pickled Authority, or None
    DRAIN = 4  # parent: finish within the seconds in the body
    REPORT = 5  # worker: a JSON object
    ENDPOINT_TLS = 6  # parent: a pickled EndpointTls
    DNS_TLS = 8  # parent: a pickled ServerIdentity
    REVOKED = 7  # parent: a JSON list of the ids of revoked devices
    PAC_JOB = 8  # parent: a pickled pacmaker.PacJob
    PACS = 9  # the maker of PACs: a pickled PacSet
    NO_PACS = 10  # the maker of PACs: why there are none


class Channel:
    """One end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def over(cls, sock: socket.socket) -> "Channel":
        return cls(*await asyncio.open_connection(sock=sock))

    async def send(self, kind: Kind, body: bytes = b"") -> None:
        """Raises ConnectionError when the other end is gone."""
        self._writer.write(bytes([kind]) + len(body).to_bytes(4, "big") + body)
        await self._writer.drain()

    async def report(self, **content: object) -> None:
        await self.send(Kind.REPORT, json.dumps(content).encode())

    async def receive(self, limit: int = MAX_BODY) -> tuple[Kind, bytes]:
        """The next message.  Raises EOFError at the end, ValueError for what is none."""
        try:
            head = await self._reader.readexactly(5)
            size = int.from_bytes(head[1:], "big")
            if size > limit:
                raise ValueError(f"a message of {size} bytes")
            return Kind(head[0]), await self._reader.readexactly(size)
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise EOFError from exc

    @property
    def ended(self) -> bool:
        """Whether the other end is known to be gone, with nothing left to receive."""
        return self._reader.at_eof()

    def close(self) -> None:
        self._writer.close()
