"""Files over real HTTP: whole or an error, bounded in time and memory, by one connection."""

import asyncio
import gzip
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError

from steering.control.device_authority import load_device_authority
from steering.control.endpoint_tls import EndpointTls, context_of
from steering.endpoint.bundle.fetch import KEPT_S, PIECE_BYTES, ServiceFetcher
from steering.endpoint.device import trusting
from tests.kit import eventually

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def served(folder: Path, answer: Answer) -> AsyncIterator[tuple[str, ServiceFetcher, list[bytes]]]:
    """url, a fetcher that trusts who serves it, and the requests so far."""
    authority = load_device_authority(folder, time.time())
    identity = authority.issue_server(["127.0.0.1"], time.time())
    context = context_of(EndpointTls(authority_pem=authority.pem, identity=identity), required=False)
    heads: list[bytes] = []
    open_: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_.add(writer)
        try:
            while True:
                heads.append(await reader.readuntil(b"\r\n\r\n"))
                await answer(writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"https://127.0.0.1:{port}", ServiceFetcher(lambda: _trusting(authority.pem)), heads
    finally:
        server.close()
        for writer in open_:
            writer.transport.abort()


def _trusting(pem: bytes) -> ssl.SSLContext:
    return trusting(pem.decode())


def whole(body: bytes, *fields: str, status: str = "200 OK") -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *fields, "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        await writer.drain()

    return answer


async def fetched(fetcher: ServiceFetcher, url: str, limit: int = 1 << 20, within_s: float = 20) -> bytes:
    def fetch() -> bytes:
        with fetcher.session(within_s):
            return fetcher.download_bytes(f"{url}/bundle/metadata/x.json", limit)

    return await asyncio.to_thread(fetch)


ZIPPED = "Content-Encoding: gzip"


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES])
@pytest.mark.parametrize("zipped", [False, True])
async def test_a_file_comes_whole(tmp_path: Path, size: int, zipped: bool) -> None:
    body = bytes(i % 251 for i in range(size))
    answer = whole(gzip.compress(body), ZIPPED) if zipped else whole(body)
    async with served(tmp_path, answer) as (url, fetcher, heads):
        assert await fetched(fetcher, url, 1 << 20) == body
        assert heads[0].startswith(b"GET /bundle/metadata/x.json HTTP/1.1\r\n")
        assert b"Accept-Encoding: gzip" in heads[0]


async def test_several_files_take_one_connection(tmp_path: Path) -> None:
    async with served(tmp_path, whole(b"x")) as (url, fetcher, heads):

        def fetch() -> list[bytes]:
            with fetcher.session(20):
                return [fetcher.download_bytes(f"{url}/{name}", 9) for name in "abc"]

        assert await asyncio.to_thread(fetch) == [b"x"] * 3
        assert len(heads) == 3


@pytest.mark.parametrize("size", [99, 100, 101])
@pytest.mark.parametrize("zipped", [False, True])
async def test_a_file_that_is_longer_than_it_may_be(tmp_path: Path, size: int, zipped: bool) -> None:
    answer = whole(gzip.compress(b"x" * size), ZIPPED) if zipped else whole(b"x" * size)
    async with served(tmp_path, answer) as (url, fetcher, _):
        if size <= 100:
            assert len(await fetched(fetcher, url, 100)) == size
        else:
            with pytest.raises(DownloadLengthMismatchError):
                await fetched(fetcher, url, 100)


async def test_what_is_packed_a_thousandfold_takes_no_memory(tmp_path: Path) -> None:
    bomb = gzip.compress(b"\0" * (256 << 20), 9)
    async with served(tmp_path, whole(bomb, ZIPPED)) as (url, fetcher, _):
        with pytest.raises(DownloadLengthMismatchError):
            await fetched(fetcher, url, 1000)


async def test_codes(tmp_path: Path) -> None:
    for status in ("404 Not Found", "403 Forbidden", "500 Oops", "302 Found", "204 No Content"):
        async with served(tmp_path, whole(b"", status=status)) as (url, fetcher, _):
            with pytest.raises(DownloadHTTPError) as caught:
                await fetched(fetcher, url)
            assert caught.value.status_code == int(status[:3])


async def cut(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345")
    await writer.drain()
    writer.close()


async def no_http(writer: asyncio.StreamWriter) -> None:
    writer.write(b"hello\r\n\r\n")
    await writer.drain()
    writer.close()


async def cut_gzip(writer: asyncio.StreamWriter) -> None:
    await whole(gzip.compress(b"x" * 10_000)[:-12], ZIPPED)(writer)


async def no_gzip(writer: asyncio.StreamWriter) -> None:
    await whole(b"x" * 100, ZIPPED)(writer)


@pytest.mark.parametrize("answer", [cut, no_http, cut_gzip, no_gzip])
async def test_what_breaks_off_is_an_error(tmp_path: Path, answer: Answer) -> None:
    async with served(tmp_path, answer) as (url, fetcher, _):
        with pytest.raises(DownloadError):
            await fetched(fetcher, url)


async def silent(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
    await writer.drain()


async def dripping(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        writer.write(b"x")
        await writer.drain()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("answer", [silent, dripping])
async def test_who_takes_forever_is_cut(tmp_path: Path, answer: Answer) -> None:
    async with served(tmp_path, answer) as (url, fetcher, _), asyncio.timeout(10):
        with pytest.raises(DownloadError):
            await fetched(fetcher, url, within_s=0.3)


async def test_nobody_there_and_somebody_else(tmp_path: Path) -> None:
    async with served(tmp_path, whole(b"x")) as (url, fetcher, _):
        (tmp_path / "other").mkdir()
        other = load_device_authority(tmp_path / "other", time.time())
        with pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"):
            await fetched(ServiceFetcher(lambda: _trusting(other.pem)), url)
    with pytest.raises(DownloadError, match="cannot be reached"):
        await fetched(fetcher, url)


async def test_closed_from_another_thread_it_ends_what_is_under_way_and_begins_nothing(tmp_path: Path) -> None:
    async with served(tmp_path, silence) as (url, fetcher, heads):

        def fetch() -> bytes:
            with fetcher.session(60):
                return fetcher.download_bytes(f"{url}/x", 10)

        fetching = asyncio.create_task(asyncio.to_thread(fetch))
        await eventually(lambda: heads, what="the request")
        fetcher.close()
        with pytest.raises(DownloadError):
            await asyncio.wait_for(fetching, 10)
        with pytest.raises(DownloadError, match="the helper is ending"):
            await asyncio.to_thread(fetch)
        assert len(heads) == 1


@asynccontextmanager
async def keeping(folder: Path, answer: Answer) -> AsyncIterator[tuple[str, ServiceFetcher, list[ssl.SSLContext]]]:
    """url, a fetcher that keeps its connection, and the contexts that it may show: the last is asked for."""
    async with served(folder, answer) as (url, _, _):
        contexts = [_trusting(load_device_authority(folder, time.time()).pem)]
        fetcher = ServiceFetcher(lambda: contexts[-1], keeps=True)
        try:
            yield url, fetcher, contexts
        finally:
            fetcher.close()


def numbered(*, closes: bool = False, silent_after: int = 1 << 30) -> Answer:
    """Says which connection a request came by, the first one being 0.  silent_after: so many answers on the first."""
    seen: list[asyncio.StreamWriter] = []
    answers: list[int] = []

    async def answer(writer: asyncio.StreamWriter) -> None:
        if writer not in seen:
            seen.append(writer)
            answers.append(0)
        number = seen.index(writer)
        answers[number] += 1
        if number == 0 and answers[0] > silent_after:
            return
        await whole(b"%d" % number)(writer)
        if closes:
            writer.close()

    return answer


async def test_a_kept_connection_serves_the_next_session(tmp_path: Path) -> None:
    async with keeping(tmp_path, numbered()) as (url, fetcher, _):
        assert [await fetched(fetcher, url) for _ in range(3)] == [b"0"] * 3


async def test_a_renewed_certificate_takes_a_new_connection(tmp_path: Path) -> None:
    async with keeping(tmp_path, numbered()) as (url, fetcher, contexts):
        assert await fetched(fetcher, url) == b"0"
        contexts.append(_trusting(load_device_authority(tmp_path, time.time()).pem))
        assert [await fetched(fetcher, url) for _ in range(2)] == [b"1"] * 2


@pytest.mark.parametrize(("later_s", "by"), [(KEPT_S - 1, b"0"), (KEPT_S + 1, b"1"), (-60.0, b"1")])
async def test_what_was_kept_too_long_is_not_tried(
    tmp_path: Path, later_s: float, by: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with keeping(tmp_path, numbered()) as (url, fetcher, _):
        assert await fetched(fetcher, url) == b"0"
        then = time.time() + later_s
        monkeypatch.setattr("steering.endpoint.bundle.fetch.time.time", lambda: then)
        assert await fetched(fetcher, url) == by


async def test_where_the_service_let_go_it_is_asked_anew(tmp_path: Path) -> None:
    async with keeping(tmp_path, numbered(closes=True)) as (url, fetcher, _):
        assert [await fetched(fetcher, url) for _ in range(3)] == [b"0", b"1", b"2"]


async def test_where_nobody_answers_any_more_it_is_asked_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steering.endpoint.bundle.fetch.CONNECT_S", 1.0)
    async with keeping(tmp_path, numbered(silent_after=2)) as (url, fetcher, _):
        assert [await fetched(fetcher, url) for _ in range(4)] == [b"0", b"0", b"1", b"1"]


async def test_a_new_connection_gets_no_more_time_than_the_session_has(tmp_path: Path) -> None:
    async with keeping(tmp_path, numbered(silent_after=1)) as (url, fetcher, _):
        assert await fetched(fetcher, url) == b"0"
        with pytest.raises(DownloadError, match="took too long"):
            await fetched(fetcher, url, within_s=0.3)
        assert await fetched(fetcher, url) == b"1"


async def test_after_an_error_nothing_is_kept(tmp_path: Path) -> None:
    async with keeping(tmp_path, numbered()) as (url, fetcher, _):
        with pytest.raises(DownloadLengthMismatchError):
            await fetched(fetcher, url, 0)
        assert await fetched(fetcher, url) == b"1"


async def silence(writer: asyncio.StreamWriter) -> None:
    """No answer, for as long as the client is there."""
    await writer.wait_closed()
