"""Fetching the files of the repository for TUF: over TLS with the device's certificate, bounded in time.

How many bytes a file may have is for TUF to count; here no answer, however slow or well packed, goes past the end of
the time or takes more memory than a piece.
"""

import http.client
import ssl
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from socket import IPPROTO_TCP, SHUT_RDWR, TCP_NODELAY
from urllib.parse import urlsplit

from tuf.api.exceptions import DownloadError, DownloadHTTPError
from tuf.ngclient import FetcherInterface

from steering.endpoint.marking import create_connection

CONNECT_S, SILENCE_S = 5.0, 15.0
KEPT_S = 75.0  # the service keeps a silent connection for as long
PIECE_BYTES = 262_144


class ServiceFetcher(FetcherInterface):
    """context: asked for each session, so that a renewed certificate is shown from the next one on.  mark: of its
    sockets, 0 for none.  keeps: whether the connection is for the next session too; then ``close`` at the end.
    """

    def __init__(self, context: Callable[[], ssl.SSLContext], mark: int = 0, *, keeps: bool = False) -> None:
        self._context = context
        self._mark = mark
        self._keeps = keeps
        self._connection: http.client.HTTPSConnection | None = None
        self._shown: ssl.SSLContext | None = None
        self._kept_at = 0.0  # of the connection's last session
        self._is_kept = False  # it has not answered in this session
        self._in_session = False
        self._is_over = False
        self._closed = False

    def close(self) -> None:
        """End what is under way, in whatever thread, and begin nothing more: the helper ends and waits for nobody."""
        self._closed = True
        self._cut()
        if not self._in_session:
            self._drop()

    @contextmanager
    def session(self, within_s: float) -> Iterator[None]:
        """One connection for several files; ended, whatever is under way, after ``within_s``."""
        timer = threading.Timer(within_s, self._end)
        timer.daemon = True
        self._in_session, self._is_over, is_whole = True, False, False
        timer.start()
        try:
            self._is_kept = self._may_go_on()
            if not self._is_kept:
                self._drop()
            yield
            is_whole = True
        finally:
            timer.cancel()
            self._kept_at = time.time()
            self._in_session = False
            if self._closed or not (self._keeps and is_whole):
                self._drop()

    def _may_go_on(self) -> bool:
        """By the clock of the day, which knows that the computer has slept."""
        return (
            self._connection is not None
            and self._shown is self._context()
            and 0 <= time.time() - self._kept_at < KEPT_S
        )

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _end(self) -> None:
        self._is_over = True
        self._cut()

    def _cut(self) -> None:
        connection = self._connection
        if connection is not None and connection.sock is not None:
            with suppress(OSError):
                connection.sock.shutdown(SHUT_RDWR)

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            try:
                response = self._ask(url)
            except (OSError, http.client.HTTPException):
                if not self._is_kept:
                    raise
                self._drop()  # nobody is at its other end any more, or the network is another
                self._is_kept = False
                response = self._ask(url)
            self._answered()
            if response.status != 200:
                response.read(PIECE_BYTES)
                raise DownloadHTTPError(f"the service answers with {response.status}", response.status)
            if response.length is None and not response.chunked:
                raise DownloadError("the service's answer does not say where it ends")
        except (OSError, http.client.HTTPException) as exc:
            raise DownloadError(f"the service cannot be reached: {exc or type(exc).__name__}") from exc
        return _pieces(response)

    def _ask(self, url: str) -> http.client.HTTPResponse:
        """Raises OSError, HTTPException, DownloadError."""
        parts = urlsplit(url)
        if self._closed:
            raise DownloadError("the helper is ending")
        if self._is_over:
            raise DownloadError("the service took too long")
        if self._connection is None:
            assert parts.hostname is not None, "the service's address was checked at enrolment"
            self._connection = http.client.HTTPSConnection(parts.hostname, parts.port, timeout=CONNECT_S)
        if self._connection.sock is None:
            self._connect(self._connection)
            self._is_kept = False
        elif self._is_kept:
            self._connection.sock.settimeout(CONNECT_S)
        self._connection.request("GET", parts.path, headers={"Accept-Encoding": "gzip"})
        return self._connection.getresponse()

    def _answered(self) -> None:
        """The connection is alive: from here on it has the time that a new one has."""
        if self._is_kept and self._connection is not None and self._connection.sock is not None:
            self._connection.sock.settimeout(SILENCE_S)
        self._is_kept = False

    def _connect(self, connection: http.client.HTTPSConnection) -> None:
        """As ``connection.connect``, with the mark.  Raises OSError."""
        sock = create_connection(connection.host, connection.port, CONNECT_S, self._mark)
        try:
            sock.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            self._shown = self._context()
            connection.sock = self._shown.wrap_socket(sock, server_hostname=connection.host)
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
