"""Fetching the files of the repository for TUF: over TLS with the device's certificate, bounded in time.

How many bytes a file may have is for TUF to count; here no answer, however slow or well packed, goes past the end of
the time or takes more memory than a piece.
"""

import http.client
import ssl
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import IPPROTO_TCP, SHUT_RDWR, TCP_NODELAY
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient import FetcherInterface

from steering.endpoint.marking import create_connection

CONNECT_S, SILENCE_S = 5.0, 15.0
PIECE_BYTES = 262_144


class ServiceFetcher(FetcherInterface):
    """context: asked for each connection, so that a renewed certificate is shown from the next one on.  mark: of its
    sockets, 0 for none.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext], mark: int = 0) -> None:
        self._context = context
        self._mark = mark
        self._connection: http.client.HTTPSConnection | None = None
        self._closed = False

    def close(self) -> None:
        """End what is under way, in whatever thread, and begin nothing more: the helper ends and waits for nobody."""
        self._closed = True
        self._cut()

    @contextmanager
    def session(self, within_s: float) -> Iterator[None]:
        """One connection for several files; ended, whatever is under way, after ``within_s``."""
        timer = threading.Timer(within_s, self._cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _cut(self) -> None:
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(SHUT_RDWR)

    def _fetch(self, url: str) -> Iterator[bytes]:
        parts = urlsplit(url)
        if self._connection is None:
            assert parts.hostname is not None, "the service's address was checked at enrolment"
            self._connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=CONNECT_S)
        try:
            if self._closed:
                raise DownloadError("the helper is ending")
            if self._connection.sock is None:
                self._connect(self._connection)
            self._connection.request("GET", parts.path, headers={"Accept-Encoding": "gzip"})
            response = self._connection.getresponse()
            if response.status != 200:
                response.read(PIECE_BYTES)
                raise DownloadHTTPError(f"the service answers with {response.status}", response.status)
            if response.length is None and not response.chunked:
                raise DownloadError("the service's answer does not say where it ends")
        except (OSError, http.client.HTTPException) as exc:
            raise DownloadError(f"the service cannot be reached: {exc or type(exc).__name__}") from exc
        return _pieces(response)

    def _connect(self, connection: http.client.HTTPSConnection) -> None:
        """As ``connection.connect``, with the mark.  Raises OSError."""
        sock = create_connection(connection.host, connection.port, CONNECT_S, self._mark)
        try:
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            connection.sock = self._context().wrap_socket(sock, server_hostname=connection.host)
            connection.sock.settimeout(SILENCE_S)
        except BaseException:
            sock.close()
            raise


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body, unpacked.  Raises DownloadError for one that breaks off or does not unpack."""
    zipped = response.getheader("Content-Encoding", "").lower() == "gzip"
    try:
        yield from _unzipped(_read(response)) if zipped else _read(response)
    except (OSError, http.client.HTTPException, zlib.error) as exc:
        raise DownloadError(f"the download broke off: {exc or type(exc).__name__}") from exc


def _read(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := response.read(PIECE_BYTES):  # unlike read1 it lets the connection be used again
        yield piece
    if response.length:
        raise http.client.IncompleteRead(b"", response.length)


def _unzipped(pieces: Iterator[bytes]) -> Iterator[bytes]:
    unzip = zlib.decompressobj(16 + zlib.MAX_WBITS)
    for piece in pieces:
        while piece:
            yield unzip.decompress(piece, PIECE_BYTES)
            piece = unzip.unconsumed_tail
    yield unzip.flush()
    if not unzip.eof:
        raise zlib.error("it ends too early")
