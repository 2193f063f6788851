"""Between a link and its side of a crossing: lets through what belongs to one plain request and its answer."""

from collections.abc import Callable

from steering.endpoint.proxy.body import BodyError
from steering.endpoint.proxy.onerequest import OneRequest
from steering.streams.crossing import Crossing
from steering.streams.link import Link, Owner


class _Sieve:
    """An owner of a link that passes on what ``sift`` lets through."""

    def __init__(self, inner: Owner, sift: Callable[[bytes], bytes], on_end: Callable[[], None]) -> None:
        self._inner = inner
        self._sift = sift
        self._on_end = on_end

    def on_secured(self) -> None:
        self._inner.on_secured()

    def on_bytes(self, data: bytes) -> None:
        try:
            passed = self._sift(data)
        except BodyError as exc:
            self._inner.on_lost(exc)
            return
        if passed:
            self._inner.on_bytes(passed)

    def on_eof(self, clean: bool) -> None:
        self._inner.on_eof(clean)
        self._on_end()

    def on_lost(self, error: Exception) -> None:
        self._inner.on_lost(error)

    def on_drained(self) -> None:
        self._inner.on_drained()


def cross_one(crossing: Crossing, client: Link, origin: Link, request: OneRequest, first: bytes) -> None:
    """Start ``crossing`` for one request, whose head was sent already.  first: what the client sent behind it."""

    def ended() -> None:
        # The origin has said everything.  A client need not close its side, and pools keep a closed connection until
        # they would use it again, so it is taken as closed.
        if request.asked and not client.eof and not client.closed:
            client.pause()
            client.eof = True
            client.owner.on_eof(True)

    crossing.start()
    client.owner = _Sieve(client.owner, request.from_client, lambda: None)
    origin.owner = _Sieve(origin.owner, request.from_origin, ended)
    if first:
        client.owner.on_bytes(first)
